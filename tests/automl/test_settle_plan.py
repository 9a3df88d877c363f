"""The plan of a run, settled by measuring, on real clips and a real model."""

from dataclasses import replace
from pathlib import Path

import pytest

from autox_video.automl import settle_plan
from autox_video.automl.run_plan import record_of
from autox_video.automl.settle_plan import GUESSED, plan_run
from autox_video.config.load import settings_from_mapping
from autox_video.planning.choice import PROBE, Choice
from autox_video.planning.predicted_time import LOADING_SHARE
from autox_video.planning.record import write_record
from autox_video.planning.search_space import space_of
from autox_video.run.clock import BudgetClock
from tests.datasets import TINY, colour_clip, colour_data

pytestmark = pytest.mark.slow


@pytest.fixture
def keys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = {**colour_data(tmp_path / "data", train=3, val=1, test=1), **TINY, "work_dir": "work"}
    del keys["epoch"]
    return keys


def planned(keys, *, resuming=False, before_sec=0.0, **others):
    settings = settings_from_mapping({**keys, **others}, "test")
    budget_sec = None if settings.time_budget == "auto" else settings.time_budget
    clock = BudgetClock(budget_sec, before_sec=before_sec)
    return plan_run(settings, Path("work").absolute(), clock, resuming=resuming)


def test_without_a_budget_the_rules_choose_and_the_time_is_predicted(keys):
    found = planned(keys)
    assert found.plan.epochs == 200
    assert found.prediction.total_sec > 200 * found.prediction.epoch_sec
    assert found.test_clips == 0
    assert found.prediction.testing_sec == 0


def test_with_a_budget_what_fits_is_chosen_and_the_test_is_counted(keys):
    found = planned(keys, time_budget="2m")
    assert 1 <= found.plan.epochs <= found.most_epochs == 200
    assert found.prediction.total_sec <= 120
    assert found.test_clips == 3
    assert found.prediction.testing_sec > 0
    assert found.plan.flat_epochs == found.plan.epochs / 2
    figures = found.plan.choices["epochs"].evidence["figures"]
    assert figures["asked"] == 200
    assert found.plan.choices["time_budget_sec"].evidence["figures"]["measuring_sec"] > 0


def test_the_test_of_longer_clips_is_predicted_to_take_longer(keys):
    def testing_sec():
        found = planned(keys, time_budget="1h", video_length=0.5)
        clock = BudgetClock(3600.0, before_sec=0.0)
        planner = settle_plan._Planner(found.prepared, Path("work"), clock, 4.0)
        return planner._predict(found.plan, GUESSED).testing_sec

    short = testing_sec()
    for name in Path(keys["data_root"]).glob("test *"):
        colour_clip(name, name.name.split()[1], seed=1, seconds=4.0)
    share = LOADING_SHARE * GUESSED.importing_sec
    # Four fifths of four seconds in parts of half a second: seven rounds of one clip.
    assert testing_sec() - share == pytest.approx(7 * (short - share))


def test_epochs_that_the_user_gives_are_the_most(keys):
    assert planned(keys, time_budget="1h", epoch=3).plan.epochs == 3


def test_where_time_is_short_clips_are_smaller_unless_their_size_is_given(keys, tmp_path):
    for name in Path(keys["data_root"]).iterdir():
        colour_clip(name, name.name.split()[1], seed=1, size=(200, 240))
    keys = {key: value for key, value in keys.items() if key not in ("resolution", "clip_len")}
    whole = planned(keys).plan
    assert whole.resolution == 112
    found = planned(keys, time_budget="2s").plan
    assert found.resolution < 112
    assert "fit more epochs into time_budget" in found.choices["resolution"].reason
    sides = [each["resolution"] for each in found.choices["resolution"].evidence["alternatives"]]
    assert sides[0] == 112 and sides[-1] == found.resolution
    assert found.choices["resolution"].source == "budget"
    source = "rule" if found.clip_len == whole.clip_len else "budget"
    assert found.choices["clip_len"].source == source
    assert {"resolution", "clip_len"} <= set(space_of(found))
    given = planned(keys, time_budget="2s", resolution=112).plan
    assert given.resolution == 112 and given.is_given("resolution")


def test_a_test_that_takes_most_of_the_time_is_left_out(keys, capsys):
    found = planned(keys, time_budget="0.5s")
    assert found.test_clips == 0
    assert "the test is left out" in capsys.readouterr().err


def test_nothing_is_compiled_to_find_out_how_fast_it_is(keys, monkeypatch):
    def compiled(*args, **options):
        raise AssertionError("compiling takes minutes")

    monkeypatch.setattr("torch.nn.Module.compile", compiled)
    assert planned(keys, time_budget="1h", compile=True).plan.compile


def test_clips_that_cannot_be_read_any_more_leave_a_guess(keys, monkeypatch):
    monkeypatch.setattr("autox_video.training.measure._read_sec", lambda *_: None)
    assert planned(keys).prediction is None
    found = planned(keys, time_budget="1h")
    assert found.prediction.epoch_sec == pytest.approx(9 * (GUESSED.step_sec + GUESSED.read_sec))


def test_a_run_goes_on_with_its_prediction_and_another_budget_changes_it(keys, capsys):
    first = planned(keys, time_budget="30s", epoch=150)
    figures = first.prediction.to_json()
    write_record(Path("work"), record_of(first))
    again = planned(keys, resuming=True, before_sec=12.0, time_budget="30s", epoch=150)
    assert again.plan.epochs == first.plan.epochs
    assert again.prediction.to_json() == pytest.approx(figures, abs=1e-3)
    assert "earlier starts of this run used 12 s of 30 s" in capsys.readouterr().out
    more = planned(keys, resuming=True, before_sec=12.0, time_budget="10h", epoch=150)
    assert more.plan.epochs == 150
    none = planned(keys, resuming=True)
    assert none.plan.epochs == first.plan.epochs


def test_what_fits_in_memory_is_remembered_for_this_gpu_and_this_model(keys, monkeypatch):
    found, asked = planned(keys), []
    monkeypatch.setattr(
        "autox_video.training.measure.parts_that_fit", lambda *_: asked.append(1) or 2
    )

    def parts(*, gpu_memory_gib=8.0, **changes):
        basis = found.prepared.basis
        hardware = replace(basis.hardware, gpu_memory_gib=gpu_memory_gib)
        prepared = replace(found.prepared, basis=replace(basis, hardware=hardware))
        clock = BudgetClock(None, before_sec=0.0)
        planner = settle_plan._Planner(prepared, Path("work"), clock, 1.0)
        plan = planner._with_parts(replace(found.plan, **changes))
        assert plan.accumulation == 2 and plan.choices["accumulation"].source == "measurement"
        return len(asked)

    assert (parts(), parts()) == (1, 1)
    assert (parts(gpu_memory_gib=80.0), parts(num_classes=700)) == (2, 3)


def test_a_warm_up_that_the_budget_leaves_no_room_for_is_shortened(keys):
    assert planned(keys, time_budget="1h", warmup_epochs=50).plan.warmup_epochs == 50
    plan = planned(keys, time_budget="1s", warmup_epochs=50).plan
    assert plan.warmup_epochs == plan.epochs / 4 and plan.is_given("warmup_epochs")


def test_keys_without_effect_are_named(keys, monkeypatch, capsys):
    monkeypatch.setattr(settle_plan, "_with_probes", lambda prepared, *_: prepared)
    planned(keys, mode="probe", lr=0.1, weight_decay=0.1, flip=False)
    assert "lr, weight_decay: no effect" in "".join(capsys.readouterr())


@pytest.mark.parametrize("budget", ["auto", "1s"])
def test_what_probes_have_settled_stays_whatever_else_is_chosen(keys, monkeypatch, budget):
    def without_mirror_images(prepared, *_):
        tried = [{"value": True, "score": 0.5}, {"value": False, "score": 0.9}]
        flip = Choice(False, PROBE, "other classes", {"alternatives": tried})
        return replace(prepared, plan=prepared.plan.with_choices({"flip": flip}))

    monkeypatch.setattr(settle_plan, "_with_probes", without_mirror_images)
    keys = {key: value for key, value in keys.items() if key not in ("resolution", "clip_len")}
    plan = planned(keys, time_budget=budget).plan
    assert (plan.flip, plan.choices["flip"].reason) == (False, "other classes")
    assert plan.choices["flip"].evidence["alternatives"][1] == {"value": False, "score": 0.9}
    assert "figures" in plan.choices["epochs"].evidence
