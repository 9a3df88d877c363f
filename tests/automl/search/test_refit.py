"""A last training on all clips, with a tiny model."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.config import Config

from autox_video.automl import leaderboard
from autox_video.automl.finishing import train_and_score
from autox_video.automl.leaderboard import Row, put_row
from autox_video.automl.prepare import prepare
from autox_video.automl.search import refit
from autox_video.automl.search.refit import Refit, can_refit
from autox_video.automl.search.search import Search
from autox_video.core.errors import ResourceError
from autox_video.data.listing.written_list import read_list
from autox_video.evaluation.predict import read_config
from autox_video.jobs.test import transform
from autox_video.jobs.train import fit
from autox_video.planning.record import RunRecord, write_record
from autox_video.training import interrupt
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from tests.automl.search.test_crossvalidation import left, settings_of
from tests.datasets import TINY, colour_data
from tests.training.tiny import events, same, stop_after, weights

pytestmark = pytest.mark.slow

NUM_CLIPS, EPOCHS = 9, 4


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Nine clips in one list: some of them are set aside for validation."""
    given = {**colour_data(tmp_path_factory.mktemp("clips"), train=3, val=1, test=1), **TINY}
    return {name: value for name, value in given.items() if name != "ann_file_val"}


@pytest.fixture
def run(keys, tmp_path):
    """A run that was trained: its Refit, its plan, the metrics of its best weights."""
    settings = settings_of(keys, tmp_path, epoch=EPOCHS)
    prepared = prepare(settings, resuming=False)
    data = prepared.data
    best = train_and_score(RunRecord(prepared.plan, data), tmp_path)
    return Refit(prepared.plan, data, len(prepared.listing.val), tmp_path), prepared.plan, best


def rows_of(folder):
    return {row.id: replace(row, cost_sec=0) for row in leaderboard.read_rows(folder)}


def set_best(folder, **changes):
    """Change the metrics of the best weights: how well they do is the test's to say."""
    state = read_checkpoint(folder / "best.pth")
    state["meta"]["metrics"].update(changes)
    refit.write_best(folder, state)
    return state["meta"]["metrics"]


def test_its_weights_have_seen_all_clips_and_keep_the_score_of_before(run, tmp_path, capsys):
    last, plan, _ = run
    best = set_best(tmp_path, top1=0.0)
    before = weights(tmp_path / "best.pth")
    last.run(left(), best)
    folder = tmp_path / "refit/finetune"
    every = {*read_list(tmp_path / "train.csv").paths, *read_list(tmp_path / "val.csv").paths}
    assert {*read_list(folder / "train.csv").paths} == every and len(every) == NUM_CLIPS
    meta = read_checkpoint(tmp_path / "best.pth")["meta"]
    assert meta["metrics"] == best and meta["all_clips"] is True
    assert not same(weights(tmp_path / "best.pth"), before)
    assert len(events(folder, "val")) == 1  # none to choose by
    row = rows_of(tmp_path)["refit"]
    assert (row.kind, row.state, row.score) == ("refit", "done", None)
    assert row.config == {"epochs": EPOCHS, "clips": NUM_CLIPS}
    assert not list(folder.glob("*.pth"))
    assert "The refit weights are now the best" in capsys.readouterr().out
    contents = (tmp_path / "best.pth").read_bytes()
    last.run(left(), best)
    assert (tmp_path / "best.pth").read_bytes() == contents
    assert last.reserved(left()) == 0.0
    assert plan.epochs == EPOCHS


def test_what_did_not_learn_is_dropped(run, tmp_path, capsys):
    last, _, _ = run
    best = set_best(tmp_path, top1=1.1)
    contents = (tmp_path / "best.pth").read_bytes()
    last.run(left(), best)
    assert (tmp_path / "best.pth").read_bytes() == contents
    assert rows_of(tmp_path)["refit"].state == "done"
    assert "The best weights are unchanged" in capsys.readouterr().out


def test_it_takes_what_is_kept_for_it_or_nothing(run, tmp_path, capsys):
    last, _, best = run
    whole_sec = last.more * left().of_a_run
    assert last.more == NUM_CLIPS / last.data.num_train
    assert last.reserved(left(2 * whole_sec)) == pytest.approx(whole_sec)
    short = replace(left(2 * whole_sec), share=0.5)
    assert last.reserved(short) == pytest.approx(whole_sec / 2)
    assert last.reserved(left(0.9 * whole_sec)) == pytest.approx(whole_sec)
    assert last.reserved(left(0.7 * whole_sec)) == 0.0
    last.run(left(0.7 * whole_sec), best)
    assert "refit" not in rows_of(tmp_path)
    assert "No time left for a refit" in capsys.readouterr().out
    last.run(left(0.8 * whole_sec), best)
    assert rows_of(tmp_path)["refit"].config["epochs"] == int(0.8 * EPOCHS)


def test_the_plan_of_the_best_trial_is_what_is_trained(run, tmp_path):
    last, plan, best = run
    params = {"clip_len": 2 * plan.clip_len, "resolution": plan.resolution, "span": 1.0}
    state = read_checkpoint(tmp_path / "best.pth")
    of_trial = {"origin": "trial-0003", "params": {**params, "epochs": 2}}
    meta = {**state["meta"], **of_trial, "metrics": {**best, "top1": 0.0}}
    refit.write_best(tmp_path, {**state, "meta": meta})
    last.run(left(), meta["metrics"])
    kept = read_checkpoint(tmp_path / "best.pth")["meta"]
    assert (
        kept["origin"] == "trial-0003" and kept["all_clips"] and kept["metrics"] == meta["metrics"]
    )
    _, frames, *_ = read_config(tmp_path / "best.pth").test_item_shape
    assert frames == 2 * plan.clip_len
    assert rows_of(tmp_path)["refit-trial-0003"].config == {"epochs": 2, "clips": NUM_CLIPS}


def test_nothing_rests_on_the_leaderboard(run, tmp_path, monkeypatch, capsys):
    last, plan, best = run
    (tmp_path / "leaderboard.csv").unlink()
    monkeypatch.setattr(leaderboard, "write_text", unwritable)
    params = {"clip_len": 2 * plan.clip_len, "span": 1.0, "epochs": 2}
    state = read_checkpoint(tmp_path / "best.pth")
    meta = {**state["meta"], "origin": "trial-0003", "params": params}
    refit.write_best(tmp_path, {**state, "meta": {**meta, "metrics": {**best, "top1": 0.0}}})
    last.run(left(), {**best, "top1": 0.0})
    kept = read_checkpoint(tmp_path / "best.pth")["meta"]
    assert kept["all_clips"] and kept["params"] == params
    _, frames, *_ = read_config(tmp_path / "best.pth").test_item_shape
    assert frames == 2 * plan.clip_len
    assert "No space left" in capsys.readouterr().err
    contents = (tmp_path / "best.pth").read_bytes()
    last.run(left(), best)  # done, though no row says so
    assert (tmp_path / "best.pth").read_bytes() == contents
    assert last.reserved(left()) == 0.0
    monkeypatch.undo()
    put_row(tmp_path, Row("refit-trial-0003", "refit", plan.backbone, 4, 32, state="running"))
    last.run(left(), best)
    assert rows_of(tmp_path)["refit-trial-0003"].state == "done"


def unwritable(path, text):
    raise ResourceError(f"{path}: cannot be written (No space left).")


def test_no_calibration_of_other_weights_is_told(keys, run, tmp_path, capsys):
    last, plan, _ = run
    best = set_best(tmp_path, top1=0.0)
    settings = settings_of(keys, tmp_path, epoch=EPOCHS)
    write_record(tmp_path, RunRecord(plan, last.data))
    before = transform(settings)
    assert before["calibration"]["temperature"] == best["temperature"]
    last.run(left(), best)
    capsys.readouterr()
    after = transform(settings)
    assert after["calibration"] is None
    shown = capsys.readouterr().out
    assert "refit on train + validation, so their probabilities are not calibrated" in shown
    assert "calibration error" not in shown and "temperature" not in shown
    raw = [p["scores"] for p in after["predictions"]]
    assert all(sum(scores) == pytest.approx(1.0, abs=1e-5) for scores in raw)


def tell_of(folder, scores):
    """Write a course of evaluations, one an epoch, as a training would have told it."""
    lines = [
        {"event": "val", "epoch": at, "iter": at, "top1": score, "loss": 1.0, "clips": 50}
        for at, score in enumerate(scores, start=1)
    ]
    lines.append({"event": "val", "epoch": len(scores), "iter": 9, "clips": 0})  # none was read
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)


def test_it_ends_where_validation_began_to_fall(run, tmp_path):
    last, plan, _ = run
    best = set_best(tmp_path, top1=0.0)
    tell_of(tmp_path, (0.7, 0.9, 0.8, 0.1))
    last.run(left(), best)
    assert rows_of(tmp_path)["refit"].config["epochs"] == 2
    (schedule,) = Config.fromfile(tmp_path / "refit/finetune/config.py").param_scheduler
    steps = math.ceil(NUM_CLIPS / plan.batch_size)
    # The shape is that of the plan, in half of its epochs: flat for half of them.
    assert (schedule.end, plan.flat_epochs) == (2 * steps, EPOCHS / 2)
    assert schedule.fall == schedule.warmup + steps


def test_a_trial_whose_validation_fell_is_trained_anew_up_to_there(run, tmp_path):
    last, _, best = run
    state = read_checkpoint(tmp_path / "best.pth")
    of_trial = {"origin": "trial-0003", "params": {"epochs": 4}}
    meta = {**state["meta"], **of_trial, "metrics": {**best, "top1": 0.0}}
    refit.write_best(tmp_path, {**state, "meta": meta})
    (tmp_path / "trials/0003").mkdir(parents=True)
    tell_of(tmp_path / "trials/0003", (0.1, 0.5, 0.9, 0.9, 0.1, 0.1))
    last.run(left(), meta["metrics"])
    assert rows_of(tmp_path)["refit-trial-0003"].config["epochs"] == 3


def test_it_goes_on_where_it_was_stopped(run, tmp_path, monkeypatch):
    last, _, _ = run
    best = set_best(tmp_path, top1=0.0)
    before = (tmp_path / "best.pth").read_bytes()
    last.run(left(), best)
    whole = weights(tmp_path / "best.pth")
    (tmp_path / "refit/finetune/state.json").unlink()
    (tmp_path / "leaderboard.csv").unlink()
    (tmp_path / "best.pth").write_bytes(before)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(interrupt.Stopped):
            last.run(left(), best)
    assert rows_of(tmp_path)["refit"].state == "stopped"
    assert (tmp_path / "best.pth").read_bytes() == before
    last.run(left(0.001), best)  # begun, it is finished in the time that there is
    assert rows_of(tmp_path)["refit"].state == "done"
    assert same(weights(tmp_path / "best.pth"), whole)


def test_other_best_weights_have_a_last_training_of_their_own(run, tmp_path, capsys):
    last, _, _ = run
    best = set_best(tmp_path, top1=0.0)
    last.run(left(), best)
    capsys.readouterr()
    last.run(left(), best)
    assert "Refit on all" not in capsys.readouterr().out
    last.run(left(), set_best(tmp_path, top1=0.1, epoch=3))
    assert "Refit on all" in capsys.readouterr().out


def test_where_validation_fell_what_follows_is_shorter(keys, tmp_path, monkeypatch, capsys):
    for name in ("run_plan", "search.refit"):
        monkeypatch.setattr(f"autox_video.automl.{name}.peak_of", lambda folder: 1)
    monkeypatch.setattr("autox_video.automl.search.crossvalidation.FEW_VALIDATION_CLIPS", 0)
    monkeypatch.setattr(Search, "_is_perfect", lambda self: len(self.study.trials) > 1)
    asked = []
    reserved = Refit.reserved
    monkeypatch.setattr(
        Refit, "reserved", lambda self, left: asked.append(left.share) or reserved(self, left)
    )
    fit(settings_of(keys, tmp_path, epoch=EPOCHS))
    rows = rows_of(tmp_path)
    assert asked == [2 / EPOCHS]  # of the trials, which may be the best
    assert rows["trial-0001"].config["epochs"] == 2
    assert [row.config["epochs"] for row in rows.values() if row.kind == "refit"] == [1]
    assert "fell clearly after epoch 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"time_budget": "auto"}, False),
        ({"evaluation": 0}, False),
        ({"search": "off"}, False),
        ({"ann_file_val": "val.txt"}, False),
    ],
)
def test_clips_that_the_user_set_aside_stay_aside(keys, tmp_path, changes, wanted):
    prepared = prepare(settings_of(keys, tmp_path), resuming=False)
    budget = None if "time_budget" in changes else prepared.plan.time_budget_sec
    evaluation = changes.get("evaluation", prepared.plan.evaluation)
    plan = replace(prepared.plan, time_budget_sec=budget, evaluation=evaluation)
    asked = {key: changes[key] for key in ("ann_file_val", "search") if key in changes}
    settings = prepared.basis.settings.model_copy(update=asked)
    assert (
        can_refit(replace(prepared, basis=replace(prepared.basis, settings=settings)), plan)
        is wanted
    )
    none = replace(prepared.listing, val=prepared.listing.val.select([]))
    assert not can_refit(replace(prepared, listing=none), plan)


def test_a_run_ends_with_it(keys, tmp_path, monkeypatch):
    monkeypatch.setattr("autox_video.automl.search.crossvalidation.MOST_REPEATS", 1)
    best = fit(settings_of(keys, tmp_path, epoch=2))
    rows = rows_of(tmp_path)
    assert {row.kind for row in rows.values()} == {"finetune", "fold", "refit"}
    assert "Refit on all 9 clips" in (tmp_path / "train.log").read_text()
    assert read_checkpoint(tmp_path / "best.pth")["meta"]["metrics"]["top1"] == best["top1"]
    assert Path(tmp_path / "results.json").is_file()
