"""Windows of a recording → features of its steps."""

from types import SimpleNamespace

import numpy as np
import pytest

from autox_video.data.clip_table import ClipTable
from autox_video.evaluation.ensemble import load_models
from autox_video.evaluation.loading import Loading
from autox_video.evaluation.predict import for_testing, record_of
from autox_video.prediction.grid_reader import Grid, GridReader
from autox_video.prediction.recordings.step_features import StepScorer, steps_of
from autox_video.prediction.scan import Scan, Scanned
from tests.prediction.model_files import member, tiny_plan, write_model
from tests.prediction.test_video_model import moving


def layout(*, clip_len=8, interval_sec=0.5, step=4, parts=4):
    grid = Grid(clip_len, interval_sec, step)
    return SimpleNamespace(grid=grid, step_sec=grid.span_sec / parts)


def scanned(starts, parts, *, seconds, begin=0.0, interval_sec=0.5):
    """Make a scan whose features tell the window and the part: (window, part), then two logs."""
    outputs = np.zeros((len(starts), parts, 4), np.float32)
    outputs[:, :, 0] = np.arange(len(starts))[:, None]
    outputs[:, :, 1] = np.arange(parts)
    outputs[:, :, 2:] = np.log([0.25, 0.75])
    times = begin + np.array(starts) * interval_sec
    return Scanned(0, seconds, begin, times, outputs, None)


def test_each_step_takes_its_part_of_the_nearest_window():
    # Windows of 4 s every 2 s over 8 s, four parts of 1 s.
    steps = steps_of(scanned([0, 4, 8], 4, seconds=8.0), layout(), classes=2)
    assert steps.edges.tolist() == list(range(9))
    assert steps.features[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert steps.features[:, 1].tolist() == [0, 1, 2, 1, 2, 1, 2, 3]
    assert steps.classifier.tolist() == [[pytest.approx(0.25)]] * 8


def test_the_last_step_ends_with_the_recording_and_times_are_presentation_times():
    steps = steps_of(scanned([0, 4], 4, seconds=6.3, begin=1.5), layout(), classes=2)
    assert steps.edges[0] == 1.5
    assert steps.edges[-1] == pytest.approx(7.8)
    assert len(steps.features) == 6
    assert steps.features[-1].tolist()[:2] == [1, 3]


def test_parts_that_could_not_be_read_take_the_nearest_window():
    steps = steps_of(scanned([0, 20], 4, seconds=14.0), layout(), classes=2)
    assert steps.features[:, 0].tolist() == [0] * 7 + [1] * 7


@pytest.mark.parametrize("fine", [True, False])
def test_features_are_those_of_the_model(tmp_path, fine):
    """A map of at least four time steps is used as it is; others are averaged over time."""
    plan = tiny_plan(clip_len=8 if fine else 2, frame_interval_sec=0.1 if fine else 0.4)
    path = write_model(tmp_path, member(plan))
    [one] = load_models(path, for_testing(record_of(path)), "cpu")
    scorer = StepScorer(one)
    assert scorer.is_fine is fine
    moving(tmp_path / "a.mp4", 60)
    reader = GridReader(ClipTable(("a.mp4",)), str(tmp_path), scorer.grid, plan.resolution)
    [scan] = Scan(reader, scorer, Loading(4, 0, "cpu"))
    steps = steps_of(scan, scorer, classes=3)
    assert steps.edges[-1] == pytest.approx(6.0)
    assert len(steps.features) == round(6.0 / scorer.step_sec)
    # The mean of the parts of a window is the mean over its map, from which the head predicts.
    means = scan.outputs[:, :, :-3].mean(1)
    logits = means @ one.model.cls_head.fc_cls.weight.detach().numpy().T
    logits = logits + one.model.cls_head.fc_cls.bias.detach().numpy()
    logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    assert np.allclose(logs, scan.outputs[:, 0, -3:], atol=1e-4)
