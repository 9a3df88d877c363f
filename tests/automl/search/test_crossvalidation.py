"""Cross-validation of a plan, with a tiny model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autox_video.automl import leaderboard
from autox_video.automl.prepare import prepare
from autox_video.automl.search import crossvalidation, side_run
from autox_video.automl.search.crossvalidation import (
    CrossValidation,
    has_few_validation_clips,
    make_folds,
)
from autox_video.automl.search.side_run import TimeLeft
from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import NumbersError, ResourceError
from autox_video.data.listing.written_list import read_list
from autox_video.jobs.train import fit
from autox_video.metrics.calibration import choose_temperature
from autox_video.metrics.intervals import wilson_interval
from autox_video.training import interrupt
from tests.automl.search.test_search import PREDICTION
from tests.datasets import TINY, colour_data
from tests.training.tiny import stop_after

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Nine clips in one list: some of them are set aside for validation."""
    given = {**colour_data(tmp_path_factory.mktemp("clips"), train=3, val=1, test=1), **TINY}
    return {name: value for name, value in given.items() if name != "ann_file_val"}


def settings_of(keys, folder, **changes):
    given = {**keys, "time_budget": 100, "work_dir": str(folder), **changes}
    given["test_results_path"] = str(folder / "results.json")
    return settings_from_mapping(given, "test")


def made(keys, folder, repeats=2, **changes):
    """What a run of these settings cross-validates: plan, clips to train on, folds."""
    prepared = prepare(settings_of(keys, folder, **changes), resuming=False)
    data = prepared.data
    folds = [f for f in make_folds(prepared, data, folder) if f.repeat <= repeats]
    return prepared.plan, data.num_train, folds


def runs_in(folder, plan, num_train, folds):
    return CrossValidation(plan, num_train, folds, folder)


def left(seconds=1000.0):
    return TimeLeft(lambda: seconds, 1e6, PREDICTION)


def rows_of(folder):
    return {row.id: replace(row, cost_sec=0) for row in leaderboard.read_rows(folder)}


def test_each_clip_is_held_out_once_in_each_division(keys, tmp_path):
    _, num_train, folds = made(keys, tmp_path)
    every = {*read_list(tmp_path / "train.csv").paths, *read_list(tmp_path / "val.csv").paths}
    assert len(every) == 9 and [fold.id for fold in folds] == [
        f"fold-{repeat}-{number}" for repeat in (1, 2) for number in (1, 2, 3)
    ]
    for repeat in (1, 2):
        held_out = []
        for fold in (fold for fold in folds if fold.repeat == repeat):
            val, train = (read_list(fold.data.val_list), read_list(fold.data.train_list))
            assert {*val.paths}.isdisjoint(train.paths) and {*val.paths, *train.paths} == every
            assert sorted(val.labels) == [0, 1, 2]
            assert fold.data.num_train == len(train) == 6
            assert fold.data.class_clips == (2, 2, 2)
            held_out += val.paths
        assert sorted(held_out) == sorted(every)
    assert num_train < 9
    divisions = [read_list(fold.data.val_list).paths for fold in folds]
    assert set(divisions[:3]) != set(divisions[3:])
    _, _, again = made(keys, tmp_path)
    assert [read_list(fold.data.val_list).paths for fold in again] == divisions


def test_the_score_is_that_of_all_clips(keys, tmp_path):
    plan, num_train, folds = made(keys, tmp_path)
    runs = runs_in(tmp_path, plan, num_train, folds)
    assert runs.temperature() == {}
    runs.run(left())
    rows = rows_of(tmp_path)
    each = [rows[fold.id] for fold in folds]
    assert [row.config["clips"] for row in each] == [3] * 6
    assert all(row.state == "done" and row.scored_on == "cross-validation" for row in each)
    whole = rows["folds"]
    assert whole.score == pytest.approx(sum(row.score for row in each) / 6)
    assert (whole.low, whole.high) == pytest.approx(wilson_interval(whole.score * 9, 9))
    assert whole.config == {"clips": 9, "folds": 3, "repeats": 2}
    assert not list(Path(tmp_path, "folds").rglob("*.pth"))
    assert runs.temperature() == temperature_by_hand(folds)
    Path(tmp_path, "folds", "2-3", "logits.json").write_text("torn")
    assert runs.temperature() == {}


def temperature_by_hand(folds):
    """Each of nine clips, twice predicted by a model that has not learnt from it."""
    said = {}
    for fold in folds:
        clips = read_list(fold.data.val_list)
        found = json.loads(Path(fold.data.val_list).with_name("logits.json").read_text())
        assert [clips.labels[n] for n in found["positions"]] == found["labels"]
        for position, logits in zip(found["positions"], found["logits"], strict=True):
            said.setdefault((clips.paths[position], clips.labels[position]), []).append(logits)
    labels = np.array([label for _, label in said])
    fitted = choose_temperature(np.stack([*said.values()], axis=1), labels)
    assert len(labels) == 9
    return {**fitted.figures(), "calibration_clips": 9}


def test_classes_count_alike_where_they_are_made_to(keys, tmp_path, capsys):
    plan, num_train, folds = made(keys, tmp_path, repeats=1, class_balance="on")
    runs_in(tmp_path, plan, num_train, folds).run(left())
    rows = rows_of(tmp_path)
    counts = [rows[fold.id].config["effective_clips"] for fold in folds]
    assert counts == [3.0] * 3  # one of each class
    whole = rows["folds"]
    assert whole.config == {"clips": 9, "effective_clips": 9.0, "folds": 3, "repeats": 1}
    assert (whole.low, whole.high) == pytest.approx(wilson_interval(whole.score * 9, 9))
    assert "Cross-validation of the plan: balanced accuracy " in capsys.readouterr().out


def test_it_goes_on_where_it_was(keys, tmp_path, monkeypatch):
    plan, num_train, folds = made(keys, tmp_path / "whole", repeats=1)
    runs_in(tmp_path / "whole", plan, num_train, folds).run(left())
    plan, num_train, folds = made(keys, tmp_path / "stopped", repeats=1)
    stops = 0
    while True:
        with monkeypatch.context() as patch:
            stop_after(patch, 3)
            try:
                runs_in(tmp_path / "stopped", plan, num_train, folds).run(left())
                break
            except interrupt.Stopped:
                stops += 1
                assert "stopped" in {row.state for row in rows_of(tmp_path / "stopped").values()}
    assert stops > 2
    assert rows_of(tmp_path / "stopped") == rows_of(tmp_path / "whole")


def test_folds_have_fewer_epochs_where_there_is_less_time(keys, tmp_path):
    plan, num_train, folds = made(keys, tmp_path, repeats=1, epoch=4)
    whole_sec = left().of_a_run * 3 * 6 / num_train
    runs_in(tmp_path, plan, num_train, folds).run(left(0.49 * whole_sec))
    assert not rows_of(tmp_path)
    runs_in(tmp_path, plan, num_train, folds).run(left(0.8 * whole_sec))
    assert {row.config["epochs"] for row in rows_of(tmp_path).values() if row.id != "folds"} == {3}


def test_a_fold_that_fails_ends_it(keys, tmp_path, monkeypatch, capsys):
    def fail(config, hooks):
        raise NumbersError("the numbers are not finite.")

    plan, num_train, folds = made(keys, tmp_path, repeats=1)
    monkeypatch.setattr(side_run, "train", fail)
    runs_in(tmp_path, plan, num_train, folds).run(left())
    (row,) = rows_of(tmp_path).values()
    assert (row.id, row.state, row.score) == ("fold-1-1", "failed", None)
    assert "fold-1-1 failed: the numbers are not finite." in capsys.readouterr().out


def test_a_leaderboard_that_cannot_be_written_costs_no_fold(keys, tmp_path, monkeypatch, capsys):
    plan, num_train, folds = made(keys, tmp_path, repeats=1)
    trained = []
    real = side_run.train
    monkeypatch.setattr(
        side_run, "train", lambda config, hooks: trained.append(1) or real(config, hooks)
    )

    def unwritable(path, text):
        raise ResourceError(f"{path}: cannot be written (No space left).")

    with monkeypatch.context() as patch:
        patch.setattr(leaderboard, "write_text", unwritable)
        runs = runs_in(tmp_path, plan, num_train, folds)
        runs.run(left())
    shown = capsys.readouterr()
    assert "Cross-validation of the plan: top-1 " in shown.out and "No space left" in shown.err
    assert not rows_of(tmp_path)
    scores = [json.loads(state.read_text())["score"] for state in states(tmp_path)]
    assert runs.score() == pytest.approx(sum(scores) / 3)
    runs_in(tmp_path, plan, num_train, folds).run(left())  # what is done is done
    assert len(trained) == 3 and rows_of(tmp_path)["folds"].score == pytest.approx(runs.score())
    rows = rows_of(tmp_path)  # which are put where they were missing
    assert [rows[fold.id].score for fold in folds] == pytest.approx(scores)


def states(folder):
    return sorted(folder.glob("folds/*/state.json"))


def test_a_full_disk_ends_it_with_a_sentence(keys, tmp_path, monkeypatch, capsys):
    plan, num_train, folds = made(keys, tmp_path, repeats=1)
    told = "state.json: cannot be written (No space left on device)."

    def refuse(path, content):
        raise ResourceError(told)

    monkeypatch.setattr(side_run, "write_json", refuse)
    runs = runs_in(tmp_path, plan, num_train, folds)
    runs.run(left())
    assert f"fold-1-1 failed: {told}" in capsys.readouterr().out
    assert runs.score() is None and rows_of(tmp_path)["fold-1-1"].state == "failed"


def test_a_fold_of_other_clips_is_run_anew(keys, tmp_path):
    plan, num_train, folds = made(keys, tmp_path, repeats=1)
    runs = runs_in(tmp_path, plan, num_train, folds)
    runs.run(left())
    assert ["score" in runs._state(fold) for fold in folds] == [True, True, True]
    first, second, _ = folds
    Path(first.data.val_list).write_bytes(Path(second.data.val_list).read_bytes())
    assert ["score" in runs._state(fold) for fold in folds] == [False, True, True]
    assert runs.score() is None


@pytest.mark.parametrize(
    ("changes", "clips", "few"),
    [
        ({}, 29, True),
        ({}, 30, False),
        ({"ann_file_val": "v.csv"}, 3, False),
        ({"evaluation": 0}, 3, False),
        ({"time_budget": "auto"}, 3, False),
    ],
)
def test_when_clips_are_few(keys, tmp_path, monkeypatch, changes, clips, few):
    prepared = prepare(settings_of(keys, tmp_path), resuming=False)
    monkeypatch.setattr(
        crossvalidation, "FEW_VALIDATION_CLIPS", len(prepared.listing.val) + 30 - clips
    )
    asked = {key: changes[key] for key in ("ann_file_val",) if key in changes}
    settings = prepared.basis.settings.model_copy(update=asked)
    budget = None if "time_budget" in changes else 100.0
    plan = replace(prepared.plan, evaluation=changes.get("evaluation", 1), time_budget_sec=budget)
    prepared = replace(prepared, basis=replace(prepared.basis, settings=settings))
    assert has_few_validation_clips(prepared, plan) == few


def test_a_run_of_few_clips_ends_with_it(keys, tmp_path, capsys):
    fit(settings_of(keys, tmp_path, time_budget=150, epoch=2))
    rows = rows_of(tmp_path)
    assert rows["folds"].config["clips"] == 9 and "finetune" in rows
    assert not any(row.kind == "search" for row in rows.values())
    said = capsys.readouterr().out
    assert "Cross-validation of the plan: top-1 " in said
    assert "9 clips, 3 folds, repeats: " in said
    assert (tmp_path / "best.pth").is_file()


def test_where_validation_fell_folds_have_the_epochs_of_the_last_training(
    keys, tmp_path, monkeypatch
):
    for name in ("run_plan", "search.refit"):
        monkeypatch.setattr(f"autox_video.automl.{name}.peak_of", lambda folder: 1)
    monkeypatch.setattr(crossvalidation, "MOST_REPEATS", 1)
    fit(settings_of(keys, tmp_path, time_budget=150, epoch=4))
    rows = rows_of(tmp_path).values()
    assert [row.config["epochs"] for row in rows if row.kind == "refit"] == [1]
    folds = [row.config["epochs"] for row in rows if row.kind == "fold" and "epochs" in row.config]
    assert folds == [1] * 3


def test_folds_of_a_shorter_plan_count_for_nothing(keys, tmp_path):
    plan, num_train, folds = made(keys, tmp_path, repeats=1)
    short = runs_in(tmp_path, plan, num_train, folds)
    for fold in folds:
        state = {"clips_of": crossvalidation._digest(fold.data), "epochs": plan.epochs}
        side_run.write_state(fold.folder, {**state, "clips": 3, "score": 0.5})
    assert short.score() == 0.5
    for epochs, counts in ((plan.epochs, True), (20 * plan.epochs, False)):
        again = runs_in(tmp_path, replace(plan, epochs=epochs), num_train, folds)
        assert (again.score() is not None) is counts
