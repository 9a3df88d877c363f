"""The study of a search: what it is named by, and storages that several share."""

import multiprocessing
import shutil
import sys
from dataclasses import replace

import optuna
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from autox_video.automl.search import side_run
from autox_video.automl.search.search import Search
from autox_video.automl.search.side_run import TimeLeft
from autox_video.automl.search.study import check_storage, open_study, study_name
from autox_video.core.errors import ResourceError
from autox_video.planning.record import TrainingData
from autox_video.planning.search_space import space_of
from tests.automl.search.test_search import PLAN, PREDICTION, searched, trained  # noqa: F401
from tests.planning.test_plan import GPU, STATS, SWIN_B, plan_for
from tests.postgres import postgres
from tests.training.conftest import clips  # noqa: F401

DATA = TrainingData("/d", "t.csv", "v.csv", ("a", "b"), num_train=9, fingerprint="f" * 64)
BASE = plan_for(time_budget=60)


@pytest.fixture(autouse=True)
def _three_clips_are_soon_perfect(monkeypatch):
    monkeypatch.setattr(Search, "_is_perfect", lambda self: False)


def name_of(plan, data=DATA):
    return study_name(plan, space_of(plan), data)


@pytest.mark.parametrize(
    "other",
    [
        plan_for(resolution=96),
        plan_for(resolution=BASE.resolution),  # given, it is not searched
        plan_for(clip_len=8),
        plan_for(video_length=1),
        plan_for(lr=0.1),
        plan_for(videos_per_gpu=4),
        plan_for(augment="light"),
        plan_for(augment="strong"),
        plan_for(flip=False),
        plan_for(flip=True),
        plan_for(class_balance=True),
        plan_for(drop_path=0.1),
        plan_for(ema=0.9),
        plan_for(pretrained=SWIN_B),
        plan_for(pretrained=replace(SWIN_B, path="checkpoints/other.pth")),
        plan_for(backbone="swin_nano"),
    ],
    ids=lambda plan: plan.backbone,
)
def test_another_space_or_another_objective_is_another_study(other):
    assert name_of(other) != name_of(BASE)


@pytest.mark.parametrize("changes", [{"freeze": 1}, {"augment_strength": 0.5}])
def test_fields_that_were_added_tell_studies_apart_once_they_are_used(changes):
    assert name_of(replace(BASE, **changes)) != name_of(BASE)


def test_each_of_these_plans_has_a_study_of_its_own():
    plans = [plan_for(**{key: value}) for key, value in (("lr", 0.1), ("lr", 0.2), ("seed", 1))]
    names = [name_of(plan) for plan in (BASE, *plans)]
    assert len(set(names)) == 3 and names[0] == names[3]
    assert name_of(BASE, replace(DATA, fingerprint="e" * 64)) != names[0]
    assert name_of(BASE, replace(DATA, task="multi_label")) != names[0]


def test_machines_that_differ_in_time_and_memory_share_a_study():
    for other in (
        plan_for(epoch=3, seed=7, workers=1, time_budget=3600, cache="/frames"),
        plan_for(precision="bfloat16", compile=True, gradient_checkpointing=True),
        replace(BASE, accumulation=4, device="cuda:0", lr=BASE.lr * (1 + 1e-14)),
    ):
        assert name_of(other) == name_of(BASE)
    far = replace(SWIN_B, path="/other/machine/b.pth")
    assert name_of(plan_for(STATS, GPU, far)) == name_of(plan_for(STATS, GPU, SWIN_B))


@pytest.mark.slow
def test_other_plans_may_use_the_same_storage(trained, tmp_path):  # noqa: F811
    work_dir, data, best = trained
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    searched(trained, tmp_path / "a", 1, storage=storage)
    for number, keys in enumerate(({"resolution": 64}, {"clip_len": 4}, {"lr": 0.5})):
        folder = tmp_path / f"other{number}"
        shutil.copytree(work_dir, folder)
        other = Search(replace(PLAN, **keys), data, folder, best=best, storage=storage)
        assert [t.number for t in other.study.trials] == [0]
    assert len(optuna.get_all_study_names(storage)) == 4


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("sqlite:////nowhere/x.db", "unable to open database file"),
        ("nonsense", "nonsense cannot be used"),
        ("redis://localhost/0", "redis://localhost/0 cannot be used"),
        ("nosuch://me:secret@host/name", "nosuch://me:***@host/name cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_known_before_training(storage, said):
    with pytest.raises(ResourceError) as caught:
        check_storage(storage, BASE, DATA)
    (sentence,) = caught.value.problems
    assert said in sentence and "secret" not in sentence
    assert "set storage: auto" in sentence


@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("insert", {}, Exception("UNIQUE constraint failed")),
        ProgrammingError("create", {}, Exception('relation "studies" already exists')),
        OperationalError("create", {}, Exception("table studies already exists")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_two_that_make_the_tables_at_once_both_get_them(monkeypatch, tmp_path, error):
    real, met = optuna.create_study, []

    def create_study(**options):
        if len(met) < 2:
            met.append(options)
            raise error
        return real(**options)

    monkeypatch.setattr(optuna, "create_study", create_study)
    assert open_study(f"sqlite:///{tmp_path / 'x.db'}", "mine").study_name == "mine"
    met[:] = []
    monkeypatch.setattr("autox_video.automl.search.study._WAITS_SEC", (0.0,))
    with pytest.raises(type(error)):
        open_study(f"sqlite:///{tmp_path / 'x.db'}", "mine")


def test_a_driver_that_is_missing_is_named(monkeypatch):
    for module in ("psycopg", "psycopg2", "MySQLdb"):
        monkeypatch.setitem(sys.modules, module, None)
    for address, package in (
        ("postgresql", "psycopg"),  # which of them is the default depends on SQLAlchemy
        ("postgresql+psycopg", "psycopg[binary]"),
        ("postgresql+psycopg2", "psycopg2-binary"),
        ("mysql", "mysqlclient"),
    ):
        with pytest.raises(ResourceError) as caught:
            check_storage(f"{address}://me:secret@host/name", BASE, DATA)
        assert f"the Python package {package}" in str(caught.value)
        assert "is missing" in str(caught.value) and "secret" not in str(caught.value)


def search_on(storage, folder, trials=3):
    """Search around one plan, with trainings that only give figures; never the best so far."""
    ran = []

    def train(config, hooks):
        ran.append(config)
        figures = {"top1": 0.5 + len(ran) / 100, "loss": 1.0, "clips": 50}
        hooks[0].is_hopeless(1, figures)
        return figures

    side_run.train = train  # in this process, which ends with it
    folder.mkdir()
    best = {"top1": 0.9, "loss": 0.1, "clips": 50, "epoch": 1}
    one = Search(BASE, DATA, folder, best=best, storage=storage)
    left = TimeLeft(lambda: 1000.0 if len(ran) < trials else 0.1, 1e6, PREDICTION)
    assert one.run(left) == best and len(ran) == trials


def run_two_at_once(storage, tmp_path):
    """Have two processes search at the same time; gives the trials of their study."""
    fork = multiprocessing.get_context("fork")  # all is imported already
    both = [fork.Process(target=search_on, args=(storage, tmp_path / name)) for name in ("a", "b")]
    for process in both:
        process.start()
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    return open_study(storage, name_of(BASE)).trials


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_machines_search_together(kind, tmp_path):
    if kind == "sqlite":
        check_joint(run_two_at_once(f"sqlite:///{tmp_path / 'shared.db'}", tmp_path), tmp_path)
        return
    with postgres() as storage:
        check_joint(run_two_at_once(storage, tmp_path), tmp_path)
        other = plan_for(time_budget=60, resolution=96)
        check_storage(storage, other, DATA)
        assert name_of(other) in optuna.get_all_study_names(storage)
        with pytest.raises(ResourceError) as caught:
            check_storage(storage.replace("/postgres?", "/nosuch?"), BASE, DATA)
        assert "secret" not in str(caught.value) and "nosuch" in str(caught.value)


def check_joint(trials, tmp_path):
    """Each has its own run and three trials in the study; no number is of both."""
    origins = [trial.user_attrs["origin"] for trial in trials if "origin" in trial.user_attrs]
    assert sorted(origins) == [str(tmp_path / name) for name in ("a", "b")]
    of_each = {
        name: [t for t in trials if t.user_attrs.get("folder") == str(tmp_path / name)]
        for name in ("a", "b")
    }
    assert [len(mine) for mine in of_each.values()] == [3, 3] and len(trials) == 8
    for name, mine in of_each.items():
        assert all(trial.state.is_finished() for trial in mine)
        folders = {path.name for path in (tmp_path / name / "trials").iterdir()}
        assert folders == {f"{trial.number:04d}" for trial in mine}
        rows = (tmp_path / name / "leaderboard.csv").read_text().count("trial-")
        assert rows == 3
    assert [trial.number for trial in trials] == list(range(8))
    points = [sorted(trial.params.items()) for mine in of_each.values() for trial in mine]
    assert all(points.count(point) == 1 for point in points)
