"""What weights are chosen by, and what the choice promises: luck is left out, skill is not."""

import math

import numpy as np
import pytest

from autox_video.metrics.intervals import wilson_interval
from autox_video.metrics.selection_score import (
    main_score,
    main_score_interval,
    score_of_choice,
    selection_score,
)
from autox_video.tasks.task import TASKS


def drawn(chances, clips, seed, *, of_group=1):
    """Outcomes (E, N) of evaluations that are right by chance, whole groups alike; and groups."""
    rng = np.random.default_rng(seed)
    groups = np.arange(clips) // of_group
    right = rng.random((len(chances), groups.max() + 1))[:, groups] < np.array(chances)[:, None]
    losses = np.where(right, 0.3, 1.2)
    return right.astype(float), losses, np.ones(clips), groups


def test_luck_among_equals_is_left_out():
    found, best = [], []
    for seed in range(100):
        outcomes = drawn([0.6] * 50, 20, seed)
        found.append(score_of_choice(*outcomes))
        best.append(outcomes[0].mean(axis=1).max())
    assert np.mean(best) > 0.8  # the luckiest of 50
    assert np.mean(found) == pytest.approx(0.6, abs=0.03)


def test_luck_of_whole_recordings_is_left_out_too():
    found, by_clip = [], []
    for seed in range(200):
        right, losses, weights, groups = drawn([0.6] * 50, 24, seed, of_group=4)
        found.append(score_of_choice(right, losses, weights, groups))
        by_clip.append(score_of_choice(right, losses, weights, np.arange(24)))
    assert np.mean(found) == pytest.approx(0.6, abs=0.05)
    assert np.mean(by_clip) > 0.85  # where clips of a recording are on both sides


def test_what_is_clearly_better_keeps_its_score():
    found = [score_of_choice(*drawn([0.5] * 20 + [0.9], 60, seed)) for seed in range(50)]
    assert np.mean(found) == pytest.approx(0.9, abs=0.02)


def test_one_evaluation_leaves_no_choice():
    right, losses, weights, groups = drawn([0.7], 20, 0)
    assert score_of_choice(right, losses, weights, groups) == pytest.approx(right.mean())


def test_weights_count():
    right = np.array([[1.0, 1.0, 0.0, 0.0]])
    weights = np.array([3.0, 3.0, 1.0, 1.0])
    assert score_of_choice(right, 1 - right, weights, np.arange(4)) == pytest.approx(0.75)


def test_one_recording_cannot_be_left_out():
    right, losses, weights, _ = drawn([0.7, 0.8], 5, 0)
    assert score_of_choice(right, losses, weights, np.zeros(5, dtype=int)) is None


def test_each_kind_of_evaluation_has_its_main_score():
    assert main_score({"top1": 0.1, "loss": 1}) == "top1"
    assert main_score({"mAP": 0.1, "loss": 1}) == "mAP"
    assert main_score({"clips": 0}) is None
    assert main_score(None) is None
    scores = np.array([[0.7, 0.3], [0.4, 0.6]])
    for balanced in (False, True):
        for name, labels in (("single_label", np.array([0, 1])), ("multi_label", np.eye(2))):
            figures = TASKS[name].figures(scores, labels, balanced=balanced)
            assert main_score(figures) == TASKS[name].main_score(balanced=balanced)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Among 36 clips one clip more is luck, where the true classes are less likely.
        ({"top1": 26 / 36, "loss": 0.8}, {"top1": 27 / 36, "loss": 1.1}),
        ({"top1": 30 / 36, "loss": 1.1}, {"top1": 26 / 36, "loss": 0.8}),
        ({"top1": 0.72, "loss": 0.8}, {"top1": 0.72, "loss": 0.9}),
        # What counts is the loss with the temperature.
        ({"top1": 0.7, "loss": 3.0, "calibrated_loss": 0.8}, {"top1": 0.7, "loss": 0.9}),
        ({"mAP": 0.5, "loss": 0.3}, {"mAP": 0.5, "loss": 0.4}),
        ({"top1": 0.1, "loss": 9.0}, {"clips": 0}),
        ({"top1": 0.1, "loss": 9.0}, {"top1": 0.9, "loss": math.nan}),
        ({"top1": 0.1, "loss": 9.0}, {"top1": 0.9, "loss": None}),
    ],
)
def test_weights_are_chosen_by_score_and_loss(one, other):
    assert selection_score({"clips": 36, **one}) > selection_score({"clips": 36, **other})


def test_among_many_clips_the_loss_counts_for_little():
    few, many = {"clips": 36}, {"clips": 36_000}
    better, likelier = {"top1": 0.75, "loss": 1.1}, {"top1": 0.72, "loss": 0.8}
    assert selection_score({**few, **better}) < selection_score({**few, **likelier})
    assert selection_score({**many, **better}) > selection_score({**many, **likelier})
    # Of classes that count alike as many clips as are as sure.
    alike = {"clips": 36_000, "effective_clips": 36.0}
    assert selection_score({**alike, **better}) < selection_score({**alike, **likelier})


def test_a_validation_score_has_an_interval_where_it_is_a_share():
    assert main_score_interval({"top1": 0.5, "clips": 10}) == wilson_interval(5, 10)
    assert main_score_interval({"mAP": 0.5, "clips": 10}) == (None, None)
    assert main_score_interval({"top1": 0.5, "clips": 0}) == (None, None)
    balanced = {"top1": 0.9, "balanced_accuracy": 0.5, "clips": 10, "effective_clips": 4.0}
    assert main_score_interval(balanced) == wilson_interval(2, 4)
