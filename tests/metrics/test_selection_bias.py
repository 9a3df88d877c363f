"""What chosen weights score on clips that did not choose them: luck is left out, skill is not."""

import numpy as np
import pytest

from autox_video.metrics.selection_bias import score_of_choice


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
