"""The search over plans, with a tiny model."""

import shutil
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from autox_video.automl.finishing import origin_of
from autox_video.automl.leaderboard import read_rows
from autox_video.automl.search.search import Search
from autox_video.automl.search.side_run import TimeLeft
from autox_video.config.load import settings_from_mapping
from autox_video.core.errors import ResourceError
from autox_video.jobs.train import fit
from autox_video.metrics.selection_score import selection_score
from autox_video.planning.predicted_time import Prediction
from autox_video.planning.record import RunRecord, TrainingData
from autox_video.training import interrupt
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from autox_video.training.config.build_config import build_config
from autox_video.training.run_training import train
from tests.datasets import TINY, colour_data
from tests.planning.test_plan import plan_for
from tests.training.conftest import clips  # noqa: F401
from tests.training.tiny import stop_after

pytestmark = pytest.mark.slow

PLAN = replace(
    plan_for(videos_per_gpu=4, resolution=32, clip_len=2, workers=0, epoch=2, evaluation=1),
    num_classes=3,
)

PREDICTION = Prediction(
    preparing_sec=0.0,
    training_sec=1.0,
    evaluating_sec=0.1,
    saving_sec=0.0,
    testing_sec=0.0,
    epoch_sec=0.5,
    first_epoch_sec=0.5,
    evaluation_sec=0.05,
    bottleneck="compute",
)


@pytest.fixture(scope="module")
def trained(clips, tmp_path_factory):  # noqa: F811
    work_dir = tmp_path_factory.mktemp("search")
    data = TrainingData(
        str(clips / "videos"),
        str(clips / "train.csv"),
        str(clips / "val.csv"),
        ("red", "green", "blue"),
        num_train=9,
        fingerprint="f" * 32,
    )
    best = train(build_config(RunRecord(PLAN, data), work_dir))
    return work_dir, data, best


@pytest.fixture(autouse=True)
def _three_clips_are_soon_perfect(monkeypatch, request):
    if "perfect" not in request.function.__name__:
        monkeypatch.setattr(Search, "_is_perfect", lambda self: False)


def searched(trained, folder, trials, **keys):
    work_dir, data, best = trained
    if not folder.exists():
        shutil.copytree(work_dir, folder)
    search = Search(PLAN, data, folder, best=best, **keys)

    def seconds():
        """Time for so many trials of this folder."""
        mine = [t for t in search.study.trials if t.user_attrs.get("folder") == str(folder)]
        return 1000.0 if len(mine) < trials else 0.0

    search.run(TimeLeft(lambda: max(seconds(), 0.1), 1e6, PREDICTION))
    return search, [row for row in read_rows(folder) if row.kind == "search"]


def test_trials_are_run_and_the_best_kept(trained, tmp_path):
    search, rows = searched(trained, tmp_path / "w", 3)
    best = search.best
    assert [row.id for row in rows] == ["trial-0001", "trial-0002", "trial-0003"]
    assert all(row.state in ("done", "pruned") and row.cost_sec > 0 for row in rows)
    first = trained[2]
    assert best["top1"] in [*(row.score for row in rows), first["top1"]]
    values = [max([t.value, *t.intermediate_values.values()]) for t in search.study.trials]
    assert max(values) == pytest.approx(selection_score(best))
    assert read_checkpoint(tmp_path / "w/best.pth")["meta"]["metrics"] == best
    kept = max(values[1:]) > values[0]
    for name in ("best.pth", "best.safetensors"):
        assert (origin_of(tmp_path / "w" / name) != "finetune") == kept
    assert len(search.study.trials) == 4
    assert not list(Path(tmp_path, "w/trials").rglob("*.pth"))


def test_a_pruned_trial_ends_with_its_value(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda self: True)
    search, (row,) = searched(trained, tmp_path / "w", 1)
    (trial,) = search.study.get_trials(states=[optuna.trial.TrialState.PRUNED])
    assert row.state == "pruned"
    assert list(trial.intermediate_values.values()) == [trial.value]
    assert not list(Path(tmp_path, "w/trials").rglob("*.pth"))


def test_a_search_goes_on_where_it_was(trained, tmp_path, monkeypatch):
    whole, all_rows = searched(trained, tmp_path / "whole", 2)
    stops = 0
    while True:
        with monkeypatch.context() as patch:
            stop_after(patch, 4)
            try:
                search, rows = searched(trained, tmp_path / "stopped", 2)
                break
            except interrupt.Stopped:
                stops += 1
    assert stops > 1
    one, other = ([(t.params, t.value) for t in s.study.trials] for s in (search, whole))
    assert one == other
    assert search.best == whole.best
    one, other = ([replace(row, cost_sec=0) for row in each] for each in (rows, all_rows))
    assert one == other


def test_two_searches_share_a_storage(trained, tmp_path):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    searched(trained, tmp_path / "a", 1, storage=storage)
    search, rows = searched(trained, tmp_path / "b", 1, storage=storage)
    assert len(search.study.trials) == 4  # each one's own run, and a trial of each
    assert [row.id for row in rows] == ["trial-0003"]


def test_a_storage_that_cannot_be_used_is_a_sentence(trained, tmp_path):
    with pytest.raises(ResourceError, match=r"storage: sqlite:////nowhere/x\.db cannot be used"):
        searched(trained, tmp_path / "w", 1, storage="sqlite:////nowhere/x.db")
    with pytest.raises(ResourceError, match="storage: nonsense cannot be used"):
        searched(trained, tmp_path / "w", 1, storage="nonsense")


def test_a_storage_is_tried_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("autox_video.automl.search.crossvalidation.FEW_VALIDATION_CLIPS", 0)
    keys = {**colour_data(tmp_path / "data", train=2, val=1, test=1), **TINY}
    keys |= {"work_dir": str(tmp_path / "w"), "storage": "sqlite:////nowhere/x.db"}
    keys["test_results_path"] = str(tmp_path / "r.json")
    with pytest.raises(ResourceError, match="storage: sqlite:////nowhere/x"):
        fit(settings_from_mapping({**keys, "time_budget": 60}, "test"))
    assert not (tmp_path / "w/latest.pth").exists()
    fit(settings_from_mapping({**keys, "epoch": 1}, "test"))
    assert "storage: not used" in capsys.readouterr().err


def test_no_trial_is_begun_that_would_not_end_in_time(trained, tmp_path):
    work_dir, data, best = trained
    shutil.copytree(work_dir, tmp_path / "w")
    search = Search(PLAN, data, tmp_path / "w", best=best)
    assert search.run(TimeLeft(lambda: 10.0, 1e6, PREDICTION.scaled(100.0))) == best
    assert len(search.study.trials) == 1


def test_where_validation_is_perfect_nothing_is_tried(trained, tmp_path, capsys):
    work_dir, data, best = trained
    shutil.copytree(work_dir, tmp_path / "w")
    best = {**best, "top1": 1.0}
    search = Search(PLAN, data, tmp_path / "w", best=best)
    assert search.run(TimeLeft(lambda: 1000.0, 1e6, PREDICTION)) == best
    assert len(search.study.trials) == 1
    assert "the validation score is perfect" in capsys.readouterr().out


def test_neighbours_of_the_plan_come_first_and_once(trained, tmp_path):
    search, _ = searched(trained, tmp_path / "w", 3)
    start, *tried = (trial.params for trial in search.study.trials)
    others = [{name for name in point if point[name] != start[name]} for point in tried]
    assert others == [{"flip"}, {"smallest_crop"}, {"weight_decay", "drop_path"}]
    storage = f"sqlite:///{tmp_path / 'w/search.db'}"
    again, _ = searched(trained, tmp_path / "other", 1, storage=storage)
    last = again.study.trials[-1].params
    assert {name for name in last if last[name] != start[name]} == {"lr"}
