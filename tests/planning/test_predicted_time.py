"""How long a run takes, as arithmetic."""

from dataclasses import replace

import pytest

from autox_video.planning.predicted_time import (
    LOADING_SHARE,
    STARTING_SHARE,
    Clips,
    Measured,
    Prediction,
    evaluations,
    predict,
)
from tests.planning.test_plan import GPU, plan_for

MEASURED = Measured(
    first_read_sec=0.010, read_sec=0.002, step_sec=0.030, view_sec=0.008, test_read_sec=0.010
)
CLIPS = Clips(train=100, val=20, test=10)
PLAN = replace(plan_for(hardware=GPU), workers=4, soup=0, test_clips=1)


def predicted(epochs, measured=MEASURED, clips=CLIPS, *, used_sec=4.0, **changes):
    plan = replace(PLAN, epochs=epochs, **changes)
    return predict(measured, plan, clips, used_sec=used_sec)


def test_every_part_is_counted():
    found = predicted(5)
    assert found.preparing_sec == 4.0 + STARTING_SHARE * 4.0
    assert found.training_sec == pytest.approx(5 * 100 * 0.030)
    assert found.evaluating_sec == pytest.approx(3 * 20 * 0.008)
    assert found.testing_sec == pytest.approx(LOADING_SHARE * 4.0 + 10 * 3 * 0.008)
    parts = found.preparing_sec + found.training_sec + found.evaluating_sec
    assert found.total_sec == pytest.approx(parts + found.saving_sec + found.testing_sec)
    assert found.bottleneck == "compute"
    assert predicted(5, clips=replace(CLIPS, test=0)).testing_sec == 0.0
    assert predicted(5, evaluation=0).evaluating_sec == 0.0


def test_the_test_may_be_that_of_a_slower_probe():
    found = predicted(5, replace(MEASURED, probe_view_sec=0.02))
    assert found.testing_sec == pytest.approx(LOADING_SHARE * 4.0 + 10 * 3 * 0.02)
    assert found.evaluating_sec == pytest.approx(3 * 20 * 0.008)
    assert predicted(5, replace(MEASURED, probe_view_sec=0.002)) == predicted(5)


@pytest.mark.parametrize(("epochs", "count"), [(1, 1), (3, 3), (6, 5), (7, 6)])
def test_averages_are_evaluated_where_there_are_weights_for_them(epochs, count):
    found = predicted(epochs, soup=3)
    assert found.evaluating_sec == pytest.approx(count * 20 * 0.008)


def test_longer_test_clips_take_longer_and_nothing_else_does():
    found = predicted(5, clips=replace(CLIPS, test_rounds=2.5))
    assert found.testing_sec == pytest.approx(LOADING_SHARE * 4.0 + 2.5 * 10 * 3 * 0.008)
    assert replace(found, testing_sec=0.0) == replace(predicted(5), testing_sec=0.0)


def test_smaller_clips_at_first_save_time():
    early = {"early_share": 0.5, "early_side": 56, "resolution": 112}
    found, whole = predicted(4, **early), predicted(4)
    assert (found.early_share, found.early_cost) == (0.5, pytest.approx(0.25))
    assert found.training_sec == pytest.approx(0.625 * whole.training_sec)
    assert found.epochs_within(100.0, PLAN) > whole.epochs_within(100.0, PLAN)
    slow = replace(MEASURED, first_read_sec=0.4, read_sec=0.4)
    assert predicted(4, slow, **early).early_cost == 1.0  # decoding takes as long


def test_slow_decoding_sets_the_pace():
    found = predicted(5, replace(MEASURED, first_read_sec=0.4, read_sec=0.2))
    assert found.first_epoch_sec == pytest.approx(100 * 0.4 / 4)
    assert found.epoch_sec == pytest.approx(100 * 0.2 / 4)
    assert found.training_sec == pytest.approx(10 + 4 * 5)
    assert found.bottleneck == "decode"


@pytest.mark.parametrize(("workers", "epoch_sec"), [(0, 3.2), (1, 3.2), (2, 3.1)])
def test_on_a_cpu_reading_costs_the_model_time(workers, epoch_sec):
    assert predicted(1, device="cpu", workers=workers).epoch_sec == pytest.approx(epoch_sec)


def test_processes_share_the_work():
    one, two = (predicted(4, processes=n) for n in (1, 2))
    assert one.training_sec == pytest.approx(2 * two.training_sec)
    assert one.evaluation_sec == pytest.approx(2 * two.evaluation_sec)


@pytest.mark.parametrize(
    ("done", "epochs", "interval", "count"),
    [(0, 5, 2, 3), (0, 4, 2, 2), (2, 5, 2, 2), (3, 4, 2, 1), (4, 4, 2, 0), (0, 1, 3, 1)],
)
def test_evaluations(done, epochs, interval, count):
    assert evaluations(done, epochs, interval) == count


@pytest.mark.parametrize("changes", [{}, {"soup": 3}, {"early_share": 0.5, "early_side": 56}])
@pytest.mark.parametrize("left_sec", [1.0, 10.0, 30.0, 31.7, 100.0, 1234.5])
def test_what_fits_is_the_most_that_does(left_sec, changes):
    def after_preparing(epochs):
        found = predicted(epochs, **changes)
        return found.total_sec - found.preparing_sec

    fit = predicted(1, **changes).epochs_within(left_sec, replace(PLAN, **changes))
    if fit:
        assert after_preparing(fit) <= left_sec
    # One evaluation may be reckoned too many.
    assert after_preparing(fit + 2) > left_sec


def test_a_prediction_is_kept_within_its_budget():
    found = predicted(50)
    cut = found.within(20.0)
    assert cut.total_sec == pytest.approx(20.0)
    assert cut.testing_sec == found.testing_sec
    assert found.within(1e6) == found


def test_plain_values_come_back():
    found = predicted(5)
    again = Prediction.from_json(found.to_json())
    assert again.total_sec == pytest.approx(found.total_sec)
    assert again.bottleneck == found.bottleneck
