"""How long a run takes, as arithmetic."""

from dataclasses import replace

import pytest

from autox_video.planning.predicted_time import (
    LOADING_SHARE,
    STARTING_SHARE,
    Amount,
    Measured,
    Prediction,
    epochs_that_fit,
    evaluations,
    predict,
)

MEASURED = Measured(
    first_read_sec=0.010, read_sec=0.002, step_sec=0.030, view_sec=0.008, test_read_sec=0.010
)
GPU = Amount(
    train=100,
    val=20,
    test=10,
    test_views=3,
    interval=2,
    workers=4,
    processes=1,
    shares_cores=False,
)


def test_every_part_is_counted():
    found = predict(MEASURED, GPU, 5, used_sec=4.0)
    assert found.preparing_sec == 4.0 + STARTING_SHARE * 4.0
    assert found.training_sec == pytest.approx(5 * 100 * 0.030)
    assert found.evaluating_sec == pytest.approx(3 * 20 * 0.008)
    assert found.testing_sec == pytest.approx(LOADING_SHARE * 4.0 + 10 * 3 * 0.008)
    parts = found.preparing_sec + found.training_sec + found.evaluating_sec
    assert found.total_sec == pytest.approx(parts + found.saving_sec + found.testing_sec)
    assert found.bottleneck == "compute"


def test_the_test_may_be_that_of_a_slower_probe():
    found = predict(replace(MEASURED, probe_view_sec=0.02), GPU, 5, used_sec=4.0)
    assert found.testing_sec == pytest.approx(LOADING_SHARE * 4.0 + 10 * 3 * 0.02)
    assert found.evaluating_sec == pytest.approx(3 * 20 * 0.008)
    quick = predict(replace(MEASURED, probe_view_sec=0.002), GPU, 5, used_sec=4.0)
    assert quick == predict(MEASURED, GPU, 5, used_sec=4.0)


@pytest.mark.parametrize(("epochs", "count"), [(1, 1), (3, 3), (6, 5), (7, 6)])
def test_averages_are_evaluated_where_there_are_weights_for_them(epochs, count):
    found = predict(MEASURED, replace(GPU, averages=2), epochs, used_sec=0.0)
    assert found.evaluating_sec == pytest.approx(count * 20 * 0.008)


def test_longer_test_clips_take_longer_and_nothing_else_does():
    found = predict(MEASURED, replace(GPU, test_rounds=2.5), 5, used_sec=4.0)
    short = predict(MEASURED, GPU, 5, used_sec=4.0)
    assert found.testing_sec == pytest.approx(LOADING_SHARE * 4.0 + 2.5 * 10 * 3 * 0.008)
    assert replace(found, testing_sec=0.0) == replace(short, testing_sec=0.0)


def test_smaller_clips_at_first_save_time():
    early = replace(GPU, early_share=0.5, early_size=0.5)
    found, whole = (predict(MEASURED, amount, 4, used_sec=0.0) for amount in (early, GPU))
    assert (found.early_share, found.early_cost) == (0.5, pytest.approx(0.5))
    assert found.training_sec == pytest.approx(0.75 * whole.training_sec)
    assert epochs_that_fit(found, early, 100.0) > epochs_that_fit(whole, GPU, 100.0)
    slow = replace(MEASURED, first_read_sec=0.4, read_sec=0.4)
    assert predict(slow, early, 4, used_sec=0.0).early_cost == 1.0  # decoding takes as long


def test_slow_decoding_sets_the_pace():
    slow = replace(MEASURED, first_read_sec=0.4, read_sec=0.2)
    found = predict(slow, GPU, 5, used_sec=0.0)
    assert found.first_epoch_sec == pytest.approx(100 * 0.4 / 4)
    assert found.epoch_sec == pytest.approx(100 * 0.2 / 4)
    assert found.training_sec == pytest.approx(10 + 4 * 5)
    assert found.bottleneck == "decode"


def test_on_a_cpu_reading_costs_the_model_time():
    for workers, epoch_sec in ((0, 3.2), (1, 3.2), (2, 3.1)):
        amount = replace(GPU, shares_cores=True, workers=workers)
        found = predict(MEASURED, amount, 1, used_sec=0.0)
        assert found.epoch_sec == pytest.approx(epoch_sec)


def test_processes_share_the_work():
    one, two = (predict(MEASURED, replace(GPU, processes=n), 4, used_sec=0.0) for n in (1, 2))
    assert one.training_sec == pytest.approx(2 * two.training_sec)
    assert one.evaluation_sec == pytest.approx(2 * two.evaluation_sec)


@pytest.mark.parametrize(
    ("done", "epochs", "interval", "count"),
    [(0, 5, 2, 3), (0, 4, 2, 2), (2, 5, 2, 2), (3, 4, 2, 1), (4, 4, 2, 0), (0, 1, 3, 1)],
)
def test_evaluations(done, epochs, interval, count):
    assert evaluations(done, epochs, interval) == count


def after_preparing(epochs, amount):
    found = predict(MEASURED, amount, epochs, used_sec=0.0)
    return found.total_sec - found.preparing_sec


@pytest.mark.parametrize("others", [{}, {"averages": 2}, {"early_share": 0.5, "early_size": 0.5}])
@pytest.mark.parametrize("left_sec", [1.0, 10.0, 30.0, 31.7, 100.0, 1234.5])
def test_what_fits_is_the_most_that_does(left_sec, others):
    amount = replace(GPU, **others)
    one = predict(MEASURED, amount, 1, used_sec=0.0)
    fit = epochs_that_fit(one, amount, left_sec)
    if fit:
        assert after_preparing(fit, amount) <= left_sec
    # One evaluation may be reckoned too many.
    assert after_preparing(fit + 2, amount) > left_sec


def test_a_prediction_is_kept_within_its_budget():
    found = predict(MEASURED, GPU, 50, used_sec=0.0)
    cut = found.within(20.0)
    assert cut.total_sec == pytest.approx(20.0)
    assert cut.testing_sec == found.testing_sec
    assert found.within(1e6) == found


def test_plain_values_come_back():
    found = predict(MEASURED, GPU, 5, used_sec=4.0)
    again = Prediction.from_json(found.to_json())
    assert again.total_sec == pytest.approx(found.total_sec)
    assert again.bottleneck == found.bottleneck
