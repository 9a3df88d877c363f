"""Which weights a run ends with: those of training, or the probe's."""

from pathlib import Path

import pytest
import torch

from autox_video.automl import leaderboard
from autox_video.automl.finishing import HEAD_OF_ALL, keep_better, keep_in_folds, use_all_clips
from autox_video.automl.prepare import prepare
from autox_video.data.listing.written_list import read_list
from autox_video.jobs.test import transform
from autox_video.jobs.train import fit
from autox_video.metrics.headline import IN_FOLDS, headline
from autox_video.metrics.intervals import score_text
from autox_video.metrics.selection_score import main_score
from autox_video.planning.record import RunRecord
from autox_video.training.checkpoints.checkpoint import read_checkpoint, write_checkpoint
from tests.automl.search.test_crossvalidation import settings_of
from tests.datasets import TINY, colour_data

pytestmark = pytest.mark.slow

KEYS = {"backbone": "auto", "epoch": 1, "lr": 1e-9, "time_budget": 90}
"""Training learns nothing: descriptors are better by far."""


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Nine clips in one list: some of them are set aside for validation."""
    given = {**colour_data(tmp_path_factory.mktemp("clips"), train=3, val=1, test=1), **TINY}
    return {name: value for name, value in given.items() if name != "ann_file_val"}


@pytest.fixture(scope="module")
def done(keys, tmp_path_factory):
    """A work dir of a run of few clips, in which the probe has won."""
    folder = tmp_path_factory.mktemp("run")
    best = fit(settings_of(keys, folder, **KEYS))
    assert best["epoch"] == 0
    return folder


def identity_of(keys, folder, work_dir):
    settings = settings_of(keys, work_dir, **KEYS)
    prepared = prepare(settings, resuming=False)
    return RunRecord(prepared.plan, prepared.data).identity


def copy_of(done, folder, **metrics):
    """Weights of training with these metrics, beside the probe of a run."""
    folder.mkdir()
    for name in ("best.pth", "probe.pth"):
        state = read_checkpoint(done / "probe.pth")
        if name == "best.pth":
            state["meta"]["metrics"].update(metrics)
        write_checkpoint(folder / name, state)
    return read_checkpoint(folder / "best.pth")["meta"]["metrics"]


def test_with_few_clips_cross_validation_decides(done):
    rows = {row.id: row for row in leaderboard.read_rows(done)}
    of_probe = read_checkpoint(done / "probe.pth")["meta"]["metrics"][IN_FOLDS]["score"]
    assert of_probe > rows["folds"].score
    scores = [rows[f"{pool}-descriptors-2x32"].score for pool in ("linear", "ordered")]
    assert of_probe == pytest.approx(max(scores), abs=1e-5)


def test_what_the_plan_scores_in_folds_is_kept_with_its_weights(done, tmp_path):
    run = tmp_path / "run"
    best = copy_of(done, run, epoch=5)
    best = {key: value for key, value in best.items() if key != IN_FOLDS}
    state = read_checkpoint(run / "best.pth")
    del state["meta"]["origin"]
    write_checkpoint(run / "best.pth", {**state, "meta": {**state["meta"], "metrics": best}})
    leaderboard.put_row(run, leaderboard.Row("finetune", "finetune", "conv_nano", 2, 32))
    whole = leaderboard.Row(
        "folds", "fold", "conv_nano", 2, 32, {"clips": 9}, 0.25, 0.1, 0.5, "cross-validation"
    )
    assert keep_in_folds(run, best, None, {}) == best
    temperature = {"temperature": 1.5, "ece": 0.3, "ece_calibrated": 0.2, "calibration_clips": 9}
    found = keep_in_folds(run, best, whole, temperature)
    assert headline(found).score == 0.25 != best[main_score(best)]
    assert {**found, IN_FOLDS: None} == {**best, **temperature, IN_FOLDS: None}
    assert read_checkpoint(run / "best.pth")["meta"]["metrics"] == found
    row = leaderboard.find_row(run, "finetune")
    assert (row.score, row.scored_on) == (0.25, "cross-validation")
    assert row.config["validation_score"] == pytest.approx(best[main_score(best)])
    before = (run / "best.pth").read_bytes()
    assert (
        keep_in_folds(run, found, whole, temperature) == found
        and (run / "best.pth").read_bytes() == before
    )


@pytest.mark.parametrize(("in_folds", "epoch"), [(0.99, 0), (1.0, 5), (None, 5)])
def test_the_better_one_is_kept(done, keys, tmp_path, in_folds, epoch):
    best = copy_of(done, tmp_path / "run", epoch=5, top1=1.0, loss=0.0)
    state = read_checkpoint(tmp_path / "run" / "probe.pth")
    state["meta"]["metrics"][IN_FOLDS]["score"] = 1.0
    write_checkpoint(tmp_path / "run" / "probe.pth", state)
    identity = identity_of(keys, tmp_path / "run", tmp_path / "other")
    found = keep_better(tmp_path / "run", best, identity, in_folds)
    assert found["epoch"] == epoch
    assert read_checkpoint(tmp_path / "run" / "best.pth")["meta"]["metrics"] == found


def test_where_scores_are_equal_the_loss_decides_and_is_said(done, keys, tmp_path, capsys):
    best = copy_of(done, tmp_path / "run", epoch=5, calibrated_loss=4.0)
    identity = identity_of(keys, tmp_path / "run", tmp_path / "other")
    assert keep_better(tmp_path / "run", best, identity)["epoch"] == 0
    score = best[main_score(best)]
    assert (
        f"vs. {score_text(score, 6)} with a loss of 4.0000 on the validation"
        in capsys.readouterr().out
    )


def test_a_probe_of_another_run_is_not_compared(done, keys, tmp_path):
    best = copy_of(done, tmp_path / "run", epoch=5, top1=0.0)
    identity = identity_of({**keys, "seed": 7}, tmp_path / "run", tmp_path / "other")
    assert keep_better(tmp_path / "run", best, identity, 0.0) == best


def test_its_head_then_has_learnt_from_all_clips(done, keys, tmp_path, capsys):
    best, probe = (read_checkpoint(done / name) for name in ("best.pth", "probe.pth"))
    assert best["meta"]["metrics"] == probe["meta"]["metrics"]
    assert best["meta"]["all_clips"] is True and HEAD_OF_ALL not in best
    for name, tensor in probe[HEAD_OF_ALL].items():
        torch.testing.assert_close(best["state_dict"][f"cls_head.{name}"], tensor)
    before = probe["state_dict"]["cls_head.fc_cls.weight"]
    assert not torch.equal(probe[HEAD_OF_ALL]["fc_cls.weight"], before)
    assert len(read_list(done / "val.csv")) > 0
    assert transform(settings_of(keys, done, **KEYS))["metrics"]["top1"] == 1.0
    before = (done / "best.pth").read_bytes()
    assert fit(settings_of(keys, done, **KEYS)) == best["meta"]["metrics"]
    assert (done / "best.pth").read_bytes() == before


def test_other_weights_keep_their_head(done, tmp_path):
    copy_of(done, tmp_path / "run", epoch=5)
    before = (tmp_path / "run" / "best.pth").read_bytes()
    use_all_clips(tmp_path / "run")
    use_all_clips(tmp_path / "nowhere")
    assert (tmp_path / "run" / "best.pth").read_bytes() == before


def test_a_probe_alone_has_it_too(keys, tmp_path):
    best = fit(settings_of(keys, tmp_path, backbone="descriptors", time_budget=90))
    assert best["epoch"] == 0 and not Path(tmp_path, "probe.pth").exists()
    assert read_checkpoint(tmp_path / "best.pth")["meta"]["all_clips"] is True
