"""Calibration: what was put in is found, few clips do no harm, errors are as worked out by hand."""

import numpy as np
import pytest

from autox_video.metrics.calibration import (
    SURE_DEVIATIONS,
    OutOfFold,
    calibration_figures,
    choose_temperature,
    expected_calibration_error,
    fit_temperature,
    likeliest_temperature,
    with_temperature,
)
from autox_video.metrics.intervals import wilson_interval


def drawn(temperature, *, clips=4000, classes=7, seed=0, spread=2.0):
    """Logits that are too sure by a temperature, and labels drawn from the true ones."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, spread, (clips, classes))
    labels = (true + rng.gumbel(size=true.shape)).argmax(axis=1)
    return true * temperature, labels


def error_at(logits, labels, temperature=1.0):
    return expected_calibration_error(with_temperature(logits, temperature), labels)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.1)
    assert likeliest_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.06)


def test_the_likeliest_one_has_the_least_loss():
    logits, labels = drawn(1.8, clips=300)
    best = likeliest_temperature(logits, labels)

    def cost(t):
        likely = with_temperature(logits, t)[np.arange(300), labels]
        return -np.log(likely).sum() + 0.5 * (np.log(t) / 0.5) ** 2

    assert all(cost(best) <= cost(best * factor) for factor in (0.5, 0.95, 1.05, 2.0))


def test_the_temperature_is_the_nearest_to_1_that_is_not_contradicted():
    logits, labels = drawn(2.5, clips=200)
    found = fit_temperature(logits, labels)

    def cost(t):
        likely = with_temperature(logits, t)[np.arange(200), labels]
        return -np.log(likely).sum()

    least = min(cost(t) for t in np.geomspace(0.1, 15, 4000))
    assert cost(found) == pytest.approx(least + 1.96**2 / 2, abs=0.01)
    assert 1 < found < likeliest_temperature(logits, labels)


@pytest.mark.parametrize("fit", [fit_temperature, likeliest_temperature])
def test_clips_that_count_twice_are_as_two_of_them(fit):
    logits, labels = drawn(3.0, clips=60)
    weights = 1.0 + (np.arange(60) < 20)
    twice = np.concatenate([np.arange(60), np.arange(20)])
    assert fit(logits, labels, weights) == pytest.approx(
        fit(logits[twice], labels[twice]), rel=1e-3
    )
    divisions = np.stack([logits, logits])
    assert fit(divisions, labels) == pytest.approx(fit(logits, labels), rel=1e-3)


def test_the_loss_is_that_at_the_likeliest_temperature():
    logits, labels = drawn(2.0, clips=500)
    found = calibration_figures(logits, labels)
    after = with_temperature(logits, likeliest_temperature(logits, labels))[range(500), labels]
    assert found["calibrated_loss"] == pytest.approx(-np.log(after).mean())
    alike = calibration_figures(logits, labels, balanced=True)
    weights = 1 / np.bincount(labels)[labels]
    weights *= weights.sum() / (weights**2).sum()
    likeliest = likeliest_temperature(logits, labels, weights)
    after = with_temperature(logits, likeliest)[range(500), labels]
    of_classes = [-np.log(after[labels == label]).mean() for label in np.unique(labels)]
    assert alike["calibrated_loss"] == pytest.approx(np.mean(of_classes))


def test_too_sure_becomes_right():
    figures = calibration_figures(*drawn(2.5))
    assert figures["ece"] > 0.15
    assert figures["ece_calibrated"] < 0.03


@pytest.mark.parametrize("clips", [1, 2, 6, 12])
@pytest.mark.parametrize("right", [True, False])
def test_a_handful_of_clips_alike_asks_for_nothing_extreme(clips, right):
    labels = np.arange(clips) % 3
    logits = 2.0 * np.eye(3)[labels if right else (labels + 1) % 3]
    figures = calibration_figures(logits, labels)
    assert 0.5 < figures["temperature"] < 6
    assert figures["ece_calibrated"] <= figures["ece"]
    assert figures["temperature"] <= 1 if right else figures["temperature"] >= 1
    assert figures["temperature"] == 1.0 or clips > 6 or not right


def test_saturated_and_often_wrong_becomes_unsure():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    said = np.where(rng.random(60) < 0.7, labels, 1 - labels)
    logits = np.eye(2)[said] * rng.uniform(50, 150, (60, 1))
    found = choose_temperature(logits, labels)
    assert 50 < found.temperature < 200
    assert found.ece_after < found.ece_before - 0.1


def test_one_clip_that_is_surely_wrong_does_not_make_all_unsure():
    """Seven of eight are right, and so they may be nearly always: they stay about as sure."""
    labels = np.arange(8) % 2
    logits = 5.0 * np.eye(2)[labels]
    logits[3] = (100.0, 0.0)
    before, after = (
        with_temperature(logits, t).max(axis=1).mean()
        for t in (1.0, fit_temperature(logits, labels))
    )
    assert after < before
    assert after == pytest.approx(
        2 * wilson_interval(7, 8, z=SURE_DEVIATIONS)[1] - before, abs=1e-3
    )


def test_the_constant_of_a_clip_does_not_count():
    logits, labels = drawn(3.0, clips=100)
    moved = logits + np.linspace(-500, 500, 100)[:, None]
    assert fit_temperature(moved, labels) == pytest.approx(
        fit_temperature(logits, labels), rel=1e-3
    )
    logs = np.log(with_temperature(logits, 1.0))
    assert with_temperature(logs, 2.0) == pytest.approx(with_temperature(logits, 2.0))


@pytest.mark.parametrize("seed", range(40))
def test_few_clips_never_make_it_clearly_worse(seed):
    """Neither what is said of them nor 5,000 other clips: sure or unsure, of 2 to 10 classes."""
    rng = np.random.default_rng(seed)
    clips, classes = int(rng.integers(6, 61)), int(rng.integers(2, 11))
    sure, spread = np.exp(rng.normal(0, 0.8)), np.exp(rng.uniform(-1, 1.7))
    logits, labels = drawn(sure, clips=clips + 5000, classes=classes, seed=seed, spread=spread)
    few, others = (logits[:clips], labels[:clips]), (logits[clips:], labels[clips:])
    found = choose_temperature(*few)
    assert found.ece_after <= found.ece_before
    assert error_at(*few, found.temperature) <= error_at(*few)
    assert error_at(*others, found.temperature) <= error_at(*others) + 0.02


def test_predictions_out_of_folds_count_where_validation_is_small():
    logits, labels = drawn(4.0, clips=66, classes=3)
    alone = calibration_figures(logits[:6], labels[:6])
    folds = OutOfFold(np.stack([logits[6:]] * 3), labels[6:], np.ones(60, dtype=bool))
    pooled = calibration_figures(logits[:6], labels[:6], in_folds=folds)
    assert alone["temperature"] == 1.0 < pooled["temperature"] < 4
    assert pooled["temperature"] == pytest.approx(fit_temperature(logits, labels), rel=1e-3)
    assert pooled["calibration_clips"] == 66
    assert pooled["calibrated_loss"] == alone["calibrated_loss"]  # of the validation clips


def test_a_class_that_was_not_learnt_from_says_nothing():
    logits, labels = drawn(4.0, clips=60, classes=3)
    logits = np.pad(logits, ((0, 0), (0, 1)))
    unknown = np.full((6, 4), -40.0) + 80 * np.eye(4)[[0] * 6]
    learnt = OutOfFold(logits[None], labels, np.ones(60, dtype=bool))
    found = calibration_figures(unknown, np.full(6, 3), in_folds=learnt)
    assert found["temperature"] == pytest.approx(fit_temperature(logits, labels), rel=1e-3)
    assert found["calibration_clips"] == 60


def test_a_class_that_was_not_learnt_from_keeps_the_others_from_being_surer():
    """Of clips of one class alone that is always told, but hesitantly."""
    logits, labels = np.zeros((10, 8)), np.array([0] * 5 + [1, 2, 3, 4, 5])
    logits[:, 0] = 1.0
    learnt = labels == 0
    assert fit_temperature(logits[learnt], labels[learnt]) < 1
    found = OutOfFold(logits[None], labels, learnt).figures()
    assert (found["temperature"], found["calibration_clips"]) == (1.0, 10)
    assert OutOfFold(logits[None], labels, learnt & False).figures() == {}


def test_where_the_model_went_astray_there_is_nothing_to_calibrate():
    assert calibration_figures(np.full((2, 3), np.nan), np.array([0, 1])) == {}


def test_the_error_is_as_worked_out_by_hand():
    # Two clips at 0.9, one of them right; two at 0.6, both right.
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    found = expected_calibration_error(scores, np.array([0, 1, 0, 0]))
    assert found == pytest.approx(0.5 * abs(0.5 - 0.9) + 0.5 * abs(1.0 - 0.6))


def test_the_order_of_classes_stays():
    logits = np.random.default_rng(1).normal(size=(50, 9))
    for temperature in (0.3, 1.0, 4.0):
        changed = with_temperature(logits, temperature)
        assert np.array_equal(np.argsort(changed), np.argsort(logits))
        assert changed.sum(axis=1) == pytest.approx(1)
