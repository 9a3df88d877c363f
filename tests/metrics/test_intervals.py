"""Intervals: Wilson's against known figures, the bootstrap against the figures it is of."""

import numpy as np
import pytest

from autox_video.metrics.intervals import (
    bootstrap_interval,
    metric_interval,
    score_text,
    wilson_interval,
)
from autox_video.metrics.metric import METRICS, Metric
from autox_video.tasks.task import TASKS


@pytest.mark.parametrize(
    ("right", "clips", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 1 - 0.1611, 1.0),
    ],
)
def test_wilson_equals_published_figures(right, clips, low, high):
    assert wilson_interval(right, clips) == pytest.approx((low, high), abs=6e-5)


def test_the_interval_covers_the_truth_in_about_95_of_100():
    rng = np.random.default_rng(0)
    intervals = [wilson_interval(rng.binomial(60, 0.9), 60) for _ in range(2000)]
    assert 0.93 < np.mean([low <= 0.9 <= high for low, high in intervals]) < 0.98


def test_the_bootstrap_of_a_mean_has_the_spread_of_theory():
    right = np.repeat([1.0, 0.0], [150, 50])
    low, high = bootstrap_interval(lambda weights: weights @ right / 200, 200)
    spread = 1.96 * np.sqrt(0.75 * 0.25 / 200)
    assert (low, high) == pytest.approx((0.75 - spread, 0.75 + spread), abs=0.012)


def test_the_same_clips_give_the_same_interval():
    right = np.arange(30) % 3 / 2
    one, again = (bootstrap_interval(lambda w: w @ right / 30, 30) for _ in range(2))
    assert one == again


def test_all_right_is_not_certain():
    found = TASKS["single_label"].intervals(np.eye(4), np.arange(4))
    assert found["mean_class_accuracy"] == wilson_interval(4, 4)
    assert found["top1"][0] < 0.6


def test_a_metric_of_clips_drawn_once_is_the_metric_itself():
    """What resampling computes at once is what is computed clip by clip."""
    rng = np.random.default_rng(1)
    scores = np.round(rng.random((50, 6)), 1)  # many clips share a score
    truth = (rng.random((50, 6)) < 0.3).astype(int)
    truth[:, 5] = 0  # a class that does not occur
    rows = rng.integers(50, size=(4, 50))
    draws = np.stack([np.bincount(drawn, minlength=50) for drawn in rows]) * 1.0
    for name in ("mAP", "f1", "mean_class_f1"):
        at_once = METRICS[name].resample(scores, truth)(draws)
        singly = [METRICS[name].value(scores[drawn], truth[drawn]) for drawn in rows]
        assert at_once == pytest.approx(singly)


def test_a_metric_that_is_not_resampled_at_once_has_an_interval_too():
    rng = np.random.default_rng(2)
    scores, labels = rng.random((40, 5)), rng.integers(4, size=40)
    known = METRICS["mean_class_accuracy"]

    def compute(scores, labels):
        return known.value(scores, labels)

    plain = metric_interval(Metric("mine", ("single_label",), compute), scores, labels)
    assert plain == pytest.approx(metric_interval(known, scores, labels))


def test_intervals_hold_their_figures():
    rng = np.random.default_rng(3)
    labels = rng.integers(6, size=80)
    scores = rng.random((80, 6)) + 0.6 * np.eye(6)[labels]
    task = TASKS["single_label"]
    measured = task.figures(scores, labels)
    for name, (low, high) in task.intervals(scores, labels).items():
        assert 0 <= low < measured[name] < high <= 1 or measured[name] == high == 1


@pytest.mark.parametrize(
    ("clips", "text"),
    [
        (6, "0.83"),
        (100, "0.83"),
        (101, "0.833"),
        (1000, "0.833"),
        (1001, "0.8333"),
        (1e9, "0.8333"),
    ],
)
def test_a_score_has_the_digits_that_its_clips_bear(clips, text):
    assert score_text(5 / 6, clips) == text
