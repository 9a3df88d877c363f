"""Videos much longer than what the model sees: looked at all over, or it is said."""

import json

import numpy as np
import pytest
from mmaction.models import Recognizer3D
from mmaction.structures import ActionDataSample

from autox_video.config.load import settings_from_mapping
from autox_video.data.clip_table import ClipTable
from autox_video.distributed import processes
from autox_video.jobs.check import check
from autox_video.jobs.test import transform
from autox_video.jobs.train import fit
from autox_video.tasks.task import TASKS
from tests.datasets import COLOURS, TINY, colour_data
from tests.evaluation.test_predict import run, trained  # noqa: F401
from tests.videos import write_video

pytestmark = pytest.mark.slow

TASK = TASKS["single_label"]


def long_clip(path, *parts):
    """Write a video of a frame a second: so many seconds of each colour."""
    frames = [np.full((36, 48, 3), COLOURS[colour]) for colour, sec in parts for _ in range(sec)]
    return write_video(path, np.array(frames, dtype=np.uint8), fps=1)


@pytest.fixture
def seen(monkeypatch):
    """Have models score by the share of each colour that they see; gives views by their size."""
    views = []

    def test_step(model, data):
        inputs = data["inputs"].float()  # B, V, T, H, W, 3
        views.extend([inputs.shape[1]] * inputs.shape[0])
        samples = [ActionDataSample() for _ in inputs]
        for sample, each in zip(samples, inputs, strict=True):
            share = each.mean(dim=(0, 1, 2, 3))
            sample.pred_output = (share / share.sum()).log()
        return samples

    monkeypatch.setattr(Recognizer3D, "test_step", test_step)
    return views


def scores_of(prediction):
    return [round(score, 2) for score in prediction.scores]


@pytest.mark.parametrize("workers", [0, 2])
def test_all_of_a_long_video_counts(trained, seen, workers, capsys):  # noqa: F811
    root, _ = trained
    long_clip(root / "long.mp4", ("red", 14), ("blue", 12), ("red", 14))
    long_clip(root / "blue.mp4", ("blue", 40))
    long_clip(root / "red.mp4", ("red", 40))
    long_clip(root / "short.mp4", ("blue", 4))
    clips = ClipTable(("short.mp4", "long.mp4", "blue.mp4", "red.mp4"), (2, 0, 2, 0))
    short, long, blue, red = run(trained, clips=clips, workers=workers)
    share = (long.scores[0] - blue.scores[0]) / (red.scores[0] - blue.scores[0])
    assert share == pytest.approx(28 / 40, abs=0.05)  # the middle alone is blue
    assert scores_of(short) == scores_of(blue) and short.seen == 1.0
    assert [p.seen for p in (long, blue, red)] == pytest.approx([0.8] * 3)
    assert not any(p.is_partly_seen for p in (short, long, blue, red))
    assert seen == [6] * (1 + 3 * 8)  # a short clip costs what it did
    assert "segments of long clips: 3 clips." in capsys.readouterr().out


def test_what_the_limit_leaves_unseen_is_in_the_record(trained, seen):  # noqa: F811
    root, _ = trained
    long_clip(root / "longer.mp4", ("red", 64))
    (longer,) = run(trained, clips=ClipTable(("longer.mp4",), (0,)))
    assert longer.seen == pytest.approx(0.5) and longer.record(TASK, ("r", "g", "b"))["seen"] == 0.5
    parts = ClipTable(("longer.mp4",), (0,), segments=((10.0, 14.0),))
    (part,) = run(trained, clips=parts)
    assert part.seen == 1.0 and "seen" not in part.record(TASK, ("r", "g", "b"))


def test_several_processes_share_the_parts(trained, seen, monkeypatch):  # noqa: F811
    root, _ = trained
    long_clip(root / "shared.mp4", ("red", 20), ("blue", 20))
    clips = ClipTable(("clip 0.mp4", "shared.mp4"), (0, 0))
    whole = run(trained, clips=clips, batch_size=1)
    gathered = []

    def gather(mine):
        """What the other one would have: nothing, which leaves this one's to be enough."""
        gathered.append(mine)
        return [mine, ({}, {}, {})]

    monkeypatch.setattr(processes, "all_gather", gather)
    assert run(trained, clips=clips, batch_size=1) == whole
    assert len(gathered) == 2  # one for each pass


def test_a_run_says_it_before_training_and_in_its_results(tmp_path, capsys):
    keys = {**colour_data(tmp_path / "data", train=2, val=1, test=1), **TINY}
    videos = tmp_path / "data/videos"
    long_clip(videos / "val red 0.mp4", ("red", 4))
    long_clip(videos / "test red 0.mp4", ("red", 32))
    given = {**keys, "epoch": 1, "work_dir": str(tmp_path / "work")}
    given["test_results_path"] = str(tmp_path / "results.json")
    settings = settings_from_mapping(given, "test")
    check(settings)
    assert "12.5% of val red 0.mp4" in capsys.readouterr().out.replace("\n", " ")
    fit(settings)
    told = capsys.readouterr().err.replace("\n", " ")
    assert "middle 0.5 s" in told and "12.5% of val red 0.mp4" in told
    assert "25.0% of test red 0.mp4" in told
    capsys.readouterr()
    transform(settings)
    assert "the model saw 25.0% of test red 0.mp4" in capsys.readouterr().err.replace("\n", " ")
    records = json.loads((tmp_path / "results.json").read_text())["predictions"]
    assert [record.get("seen") for record in records] == [0.25, None, None]


def test_a_part_that_cannot_be_read_is_a_part_not_seen(trained, seen, monkeypatch):  # noqa: F811
    root, _ = trained
    path = long_clip(root / "cut.mp4", ("red", 40))
    from autox_video.core.errors import VideoError
    from autox_video.data.loading import transforms

    real = transforms._frames_at

    def fails_late(video, times, short_side):
        if times.min() > 20:
            raise VideoError(f"{video.path}: it cannot be decoded there.")
        return real(video, times, short_side)

    monkeypatch.setattr(transforms, "_frames_at", fails_late)
    (cut,) = run(trained, clips=ClipTable((path.name,), (0,)))
    assert cut.scores is not None and 0.3 < cut.seen < 0.6 and cut.is_partly_seen
