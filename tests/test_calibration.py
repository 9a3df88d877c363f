"""Calibration: the temperature that was put in is found, the error is as worked out by hand."""

import numpy as np
import pytest

from autox_video.calibration import (
    Calibration,
    calibrated,
    calibration_figures,
    expected_calibration_error,
    fit_temperature,
    read_calibration,
    with_temperature,
)
from autox_video.results import Prediction


def drawn(temperature, *, clips=4000, classes=7, seed=0):
    """Probabilities that are too sure by a temperature, and labels drawn from the true ones."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.full(classes, 0.4), size=clips)
    labels = (rng.random(clips)[:, None] > np.cumsum(true, axis=1)).sum(axis=1)
    return with_temperature(true, 1 / temperature), np.minimum(labels, classes - 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.06)


def test_the_temperature_is_the_likeliest_one():
    scores, labels = drawn(1.8, clips=300)
    best = fit_temperature(scores, labels)

    def cost(t):
        likely = with_temperature(scores, t)[np.arange(300), labels]
        return -np.log(likely).sum() + 0.5 * (np.log(t) / 0.5) ** 2

    assert all(cost(best) <= cost(best * factor) for factor in (0.5, 0.95, 1.05, 2.0))


def test_clips_that_count_twice_are_as_two_of_them():
    scores, labels = drawn(2.0, clips=60)
    weights = 1.0 + (np.arange(60) < 20)
    twice = np.concatenate([np.arange(60), np.arange(20)])
    expected = fit_temperature(scores[twice], labels[twice])
    assert fit_temperature(scores, labels, weights) == pytest.approx(expected, rel=1e-3)


def test_the_loss_is_that_at_the_temperature():
    scores, labels = drawn(2.0, clips=500)
    found = calibration_figures(scores, labels)
    after = with_temperature(scores, found["temperature"])[range(500), labels]
    assert found["calibrated_loss"] == pytest.approx(-np.log(after).mean())
    alike = calibration_figures(scores, labels, balanced=True)
    after = with_temperature(scores, alike["temperature"])[range(500), labels]
    of_classes = [-np.log(after[labels == label]).mean() for label in np.unique(labels)]
    assert alike["calibrated_loss"] == pytest.approx(np.mean(of_classes))


def test_too_sure_becomes_right():
    figures = calibration_figures(*drawn(2.5))
    assert figures["ece"] > 0.15
    assert figures["ece_calibrated"] < 0.03


def test_a_handful_of_right_clips_asks_for_no_certainty():
    scores = np.full((6, 3), 0.1) + 0.7 * np.eye(3)[[0, 1, 2, 0, 1, 2]]
    temperature = fit_temperature(scores, np.array([0, 1, 2, 0, 1, 2]))
    assert 0.4 < temperature < 1.0
    assert with_temperature(scores, temperature).max() < 0.99


def test_zero_and_one_are_no_hindrance():
    temperature = fit_temperature(np.eye(3), np.array([0, 1, 0]))
    assert np.isfinite(temperature)
    assert np.isfinite(with_temperature(np.eye(3), temperature)).all()


def test_where_the_model_went_astray_there_is_nothing_to_calibrate():
    assert calibration_figures(np.full((2, 3), np.nan), np.array([0, 1])) == {}


def test_the_error_is_as_worked_out_by_hand():
    # Two clips at 0.9, one of them right; two at 0.6, both right.
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    found = expected_calibration_error(scores, np.array([0, 1, 0, 0]))
    assert found == pytest.approx(0.5 * abs(0.5 - 0.9) + 0.5 * abs(1.0 - 0.6))


def test_the_order_of_classes_stays():
    scores = np.random.default_rng(1).dirichlet(np.ones(9), size=50)
    for temperature in (0.3, 1.0, 4.0):
        changed = with_temperature(scores, temperature)
        assert np.array_equal(np.argsort(changed), np.argsort(scores))
        assert changed.sum(axis=1) == pytest.approx(1)
    assert with_temperature(scores, 1.0) == pytest.approx(scores)


def test_predictions_of_several_classes_and_unread_ones_stay():
    several = Prediction("a", (0,), (0.9, 0.8), multi_label=True)
    unread = Prediction("b", 0, None, "torn")
    one = Prediction("c", 0, (0.8, 0.2))
    found = calibrated([several, unread, one], Calibration(2.0, 5, 0.2, 0.1))
    assert found[:2] == [several, unread]
    assert found[2].scores == pytest.approx((2 / 3, 1 / 3))


def test_the_record_reports_the_test_clips():
    raw = [Prediction("a", 0, (0.9, 0.1)), Prediction("b", 1, (0.9, 0.1))]
    record = Calibration(3.0, 5, 0.2, 0.1).record(raw)
    assert record["temperature"] == 3.0
    assert record["validation"] == {"clips": 5, "ece_before": 0.2, "ece_after": 0.1}
    assert record["test"]["ece_before"] == pytest.approx(0.4)
    assert record["test"]["ece_after"] == pytest.approx(9 ** (1 / 3) / (9 ** (1 / 3) + 1) - 0.5)
    assert Calibration(3.0, 5, 0.2, 0.1).record([Prediction("a", None, (0.9, 0.1))])["test"] is None


@pytest.mark.parametrize(
    "evaluation",
    [None, {}, {"clips": 0}, {"mAP": 0.5, "clips": 3}]
    + [{"temperature": t, "clips": 3, "ece": 0.1, "ece_calibrated": 0.1} for t in (0, "2", np.nan)],
)
def test_weights_without_a_temperature_are_left_as_they_are(evaluation):
    assert read_calibration(evaluation) is None


def test_what_an_evaluation_kept_is_read():
    scores, labels = drawn(1.5, clips=40)
    figures = {"top1": 0.5, **calibration_figures(scores, labels), "clips": 40, "epoch": 3}
    found = read_calibration(figures)
    assert (found.temperature, found.clips) == (figures["temperature"], 40)
