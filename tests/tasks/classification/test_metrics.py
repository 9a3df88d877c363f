"""Metrics of classification against figures worked out by hand."""

import numpy as np
import pytest

from autox_video.metrics.selection_score import main_score
from autox_video.tasks.classification.metrics import (
    average_precision,
    balancing_weights,
    class_accuracy,
    effective_clips,
)
from autox_video.tasks.task import TASKS

SINGLE, MULTI = TASKS["single_label"], TASKS["multi_label"]


def test_metrics_equal_figures_worked_out_by_hand():
    scores = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    labels = np.array([0, 1, 1, 1])
    measured = SINGLE.figures(scores, labels)
    assert measured["top1"] == 0.5
    assert measured["mean_class_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert measured["loss"] == pytest.approx(-np.log([0.7, 0.3, 0.8, 0.2]).mean())
    assert class_accuracy(scores, labels) == {0: 1.0, 1: pytest.approx(1 / 3)}


def test_where_classes_count_alike_a_rare_one_weighs_as_much():
    scores = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    labels = np.array([0, 1, 1, 1])
    plain, measured = SINGLE.figures(scores, labels), SINGLE.figures(scores, labels, balanced=True)
    assert main_score(measured) == "balanced_accuracy"
    assert measured["balanced_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    losses = -np.log([0.7, 0.3, 0.8, 0.2])
    assert measured["loss"] == pytest.approx((losses[0] + losses[1:].mean()) / 2)
    assert {k: measured[k] for k in plain if k != "loss"} == {
        k: v for k, v in plain.items() if k != "loss"
    }


@pytest.mark.parametrize(
    ("labels", "clips"),
    [([0, 1, 2, 0, 1, 2], 6), ([0, 0, 0, 0], 4), ([0, 1, 1, 1], 4 / (1 + 1 / 3)), ([5], 1)],
)
def test_clips_count_for_less_the_more_unequal_they_weigh(labels, clips):
    """K classes of n_k clips: K^2 over the sum of 1 / n_k, the inverse of the score's variance."""
    assert effective_clips(np.array(labels)) == pytest.approx(clips)


def test_top5_counts_the_rank_of_the_true_class():
    scores = np.tile(np.linspace(0.3, 0.01, 8), (8, 1))
    assert SINGLE.figures(scores, np.arange(8))["top5"] == 5 / 8


def test_top5_gives_nothing_to_a_model_that_says_the_same_of_all_classes():
    assert SINGLE.figures(np.full((8, 8), 1 / 8), np.arange(8))["top5"] == 0.0
    assert SINGLE.figures(np.full((4, 4), 1 / 4), np.arange(4))["top5"] == 1.0


def test_a_score_of_zero_gives_a_finite_loss():
    assert np.isfinite(SINGLE.figures(np.array([[1.0, 0.0]]), np.array([1]))["loss"])


def area_by_the_book(scores, labels):
    """Sum over thresholds t, high to low, of (recall(t) - recall before) * precision(t)."""
    area, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        said = scores >= threshold
        hits = (said & (labels > 0)).sum()
        recall, precision = hits / labels.sum(), hits / said.sum()
        area += (recall - recall_before) * precision
        recall_before = recall
    return area


@pytest.mark.parametrize("levels", [3, 10, 10**6])
def test_average_precision_is_that_of_its_definition(levels):
    rng = np.random.default_rng(levels)
    scores = rng.integers(0, levels, size=(60, 7)) / levels
    labels = (rng.random((60, 7)) < np.linspace(0.02, 0.9, 7)).astype(int)
    labels[:, 2] = 0
    found = average_precision(scores, labels)
    wanted = {
        k: area_by_the_book(scores[:, k], labels[:, k]) for k in range(7) if labels[:, k].any()
    }
    assert found == pytest.approx(wanted)
    assert 2 not in found
    assert MULTI.figures(scores, labels)["mAP"] == pytest.approx(np.mean([*wanted.values()]))


def test_average_precision_worked_out_by_hand():
    scores = np.array([[0.9], [0.8], [0.7], [0.6]])
    assert average_precision(scores, np.array([[1], [0], [1], [0]]))[0] == pytest.approx(5 / 6)
    tied = np.array([[0.5], [0.5]])
    assert average_precision(tied, np.array([[1], [0]]))[0] == 0.5
    assert average_precision(tied, np.array([[0], [1]]))[0] == 0.5


def test_figures_of_several_classes_worked_out_by_hand():
    scores = np.array([[0.9, 0.5, 0.1], [0.6, 0.4, 0.2], [0.1, 0.7, 0.3]])
    labels = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0]])
    measured = MULTI.figures(scores, labels)
    # Class 0: said 0, 1; true 0, 2. Class 1: said 0, 2; true 0, 1. Class 2: nothing either way.
    assert measured["f1"] == pytest.approx(2 * 2 / 8)
    assert measured["mean_class_f1"] == pytest.approx((2 / 4 + 2 / 4) / 2)
    of_class = ((1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2)
    assert measured["mAP"] == pytest.approx(sum(of_class) / 2)
    right = [[0.9, 0.5, 0.9], [0.4, 0.4, 0.8], [0.1, 0.3, 0.7]]
    assert measured["loss"] == pytest.approx(-np.log(right).mean())


def test_clips_of_no_class_at_all_are_measured():
    measured = MULTI.figures(np.array([[0.2, 1.0]]), np.array([[0, 0]]))
    assert (measured["mAP"], measured["f1"], measured["mean_class_f1"]) == (0.0, 0.0, 0.0)
    assert np.isfinite(measured["loss"])


def test_weights_with_which_classes_count_alike():
    weights = balancing_weights(np.array([0, 0, 0, 1]))
    assert weights[:3].sum() == pytest.approx(weights[3])
    assert weights.sum() == pytest.approx(effective_clips(np.array([0, 0, 0, 1])))
