"""Segments: overlap, suppression of duplicates, and conversion from and to steps."""

import numpy as np
import pytest

from autox_video.tasks.localisation.segments import (
    BACKGROUND,
    Segments,
    labels_of_segments,
    most_probable,
    nms,
    segments_above,
    segments_of_labels,
    soft_nms,
    targets_of_segments,
    temporal_iou,
)

A, B = 0, 1
EDGES = np.arange(11) * 0.5
"""Edges of ten steps of half a second."""


def rows(segments):
    """The segments as a list of tuples."""
    columns = (segments.starts, segments.ends, segments.labels, segments.scores)
    return [tuple(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def times(segments):
    return [row[:3] for row in rows(segments)]


def test_iou_by_hand():
    first = Segments.of([(0, 10, A), (20, 20, A)])
    second = Segments.of([(0, 10, B), (5, 15, A), (10, 12, A), (0, 2.5, A), (20, 20, A)])
    found = temporal_iou(first, second)
    np.testing.assert_allclose(found, [[1, 1 / 3, 0, 0.25, 0], [0] * 5])
    assert temporal_iou(first[:0], second).shape == (0, 5)


@pytest.mark.parametrize(
    "bad", [[(2, 1, A)], [(0, np.nan, A)], [(0, np.inf, A)], [(0, 1, A, np.nan)]]
)
def test_wrong_segments_are_refused(bad):
    with pytest.raises(AssertionError):
        Segments.of(bad)


def test_segments_are_clipped_to_the_recording():
    found = Segments.of([(-1, 2, A), (8, 12, B), (10, 11, A), (-3, 0, A), (12, 13, A)]).clipped(10)
    assert times(found) == [(0, 2, A), (8, 10, B)]


def test_nms_keeps_the_best_of_each_class():
    segments = Segments.of(
        [(0, 9, A, 0.6), (0, 10, A, 0.9), (0, 10, B, 0.5), (6, 16, A, 0.7), (1, 9, A, 0.8)]
    )
    assert rows(nms(segments, most_iou=0.5)) == [
        (0, 10, A, 0.9),
        (6, 16, A, 0.7),
        (0, 10, B, 0.5),
    ]
    # (6, 16) has an IoU of exactly 4 / 16 with (0, 10).
    assert len(nms(segments, most_iou=0.25)) == 3
    assert len(nms(segments, most_iou=0.24)) == 2
    assert len(nms(segments, most_iou=1.0)) == 5


def test_a_dropped_segment_drops_no_other():
    chain = Segments.of([(0, 10, A, 0.9), (3, 13, A, 0.8), (6, 16, A, 0.7)])
    assert times(nms(chain, most_iou=0.5)) == [(0, 10, A), (6, 16, A)]


def test_equal_scores_keep_the_earliest_in_any_order():
    segments = Segments.of([(1, 11, A, 0.5), (0, 10, A, 0.5), (0, 9, A, 0.5)])
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        assert times(nms(segments[np.array(order)], most_iou=0.5)) == [(0, 9, A)]


def test_soft_nms_by_hand():
    segments = Segments.of([(0, 10, A, 0.9), (0, 8, A, 0.8), (5, 15, A, 0.6), (0, 10, B, 0.5)])
    # (5, 15) has an IoU of 1/3 with (0, 10), and 1/5 with (0, 8); its score stays above that of
    # (0, 8), which is lowered by an IoU of 4/5 first.
    third = 0.6 * np.exp(-((1 / 3) ** 2) / 0.5)
    second = 0.8 * np.exp(-(0.8**2) / 0.5) * np.exp(-(0.2**2) / 0.5)
    found = soft_nms(segments, sigma=0.5)
    assert times(found) == [(0, 10, A), (0, 10, B), (5, 15, A), (0, 8, A)]
    np.testing.assert_allclose(found.scores, [0.9, 0.5, third, second])
    assert len(soft_nms(segments, sigma=0.5, least_score=second + 1e-6)) == 3


def test_suppression_of_nothing_is_nothing():
    nothing = Segments.of([])
    assert len(nms(nothing, most_iou=0.5)) == len(soft_nms(nothing)) == 0


def test_runs_of_labels_are_segments():
    labels = np.array([A, A, BACKGROUND, B, B, B, A, BACKGROUND, BACKGROUND, B])
    assert rows(segments_of_labels(labels, EDGES)) == [
        (0.0, 1.0, A, 1.0),
        (1.5, 3.0, B, 1.0),
        (3.0, 3.5, A, 1.0),
        (4.5, 5.0, B, 1.0),
    ]
    assert times(segments_of_labels(labels, EDGES, background=(A, B))) == [
        (1.0, 1.5, BACKGROUND),
        (3.5, 4.5, BACKGROUND),
    ]
    assert len(segments_of_labels(labels, EDGES, background=())) == 6
    assert len(segments_of_labels(labels[:0], EDGES[:1])) == 0


def test_steps_above_a_threshold_are_segments():
    scores = np.zeros((10, 2))
    scores[1:4, A] = 0.5, 0.9, 0.7
    scores[3:, B] = 0.6
    found = segments_above(scores, EDGES, (0.5,))
    assert times(found) == [(0.5, 2.0, A), (1.5, 5.0, B)]
    np.testing.assert_allclose(found.scores, [0.7, 0.6])
    several = segments_above(scores, EDGES, (0.5, 0.55, 0.6, 0.8))
    assert times(several) == [(0.5, 2, A), (1.5, 5, B), (1, 2, A), (1, 1.5, A)]
    np.testing.assert_allclose(several.scores, [0.7, 0.6, 0.8, 0.9])
    assert len(segments_above(scores, EDGES, (0.95,))) == 0


def test_the_most_probable_label_can_be_background():
    scores = np.array([[0.6, 0.3], [0.1, 0.2], [0.3, 0.3], [0.3, 0.4], [0.0, 1.0]])
    assert most_probable(scores).tolist() == [A, BACKGROUND, BACKGROUND, B, B]


def test_a_step_has_the_classes_that_cover_half_of_it():
    segments = Segments.of([(0.25, 1.0, A), (0.3, 1.2, B), (4.6, 9, A)])
    targets = targets_of_segments(segments, EDGES, classes=3)
    assert np.argwhere(targets).tolist() == [[0, A], [1, A], [1, B], [9, A]]


@pytest.mark.parametrize(
    ("segment", "steps"),
    [
        ((0.9, 1.12, A), [2]),
        ((1.2, 1.3, A), [2]),
        ((1.2, 1.2, A), [2]),
        ((5.0, 5.0, A), [9]),
        ((5.0, 6.0, A), []),
        ((7.0, 7.0, A), []),
        ((-2.0, 0.1, A), [0]),
    ],
)
def test_short_segments_are_not_lost(segment, steps):
    targets = targets_of_segments(Segments.of([segment]), EDGES, classes=1)
    assert np.flatnonzero(targets[:, A]).tolist() == steps
    labels = labels_of_segments(Segments.of([segment]), EDGES)
    assert np.flatnonzero(labels == A).tolist() == steps


def test_of_overlapping_segments_the_later_is_the_label():
    segments = Segments.of([(1, 2, B), (0, 4, A)])
    expected = [A, A, B, B, A, A, A, A, BACKGROUND, BACKGROUND]
    assert labels_of_segments(segments, EDGES).tolist() == expected


@pytest.mark.parametrize("seed", range(5))
def test_labels_become_segments_and_the_same_labels_again(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 3, size=10)
    segments = segments_of_labels(labels, EDGES)
    assert labels_of_segments(segments, EDGES).tolist() == labels.tolist()
    targets = targets_of_segments(segments, EDGES, classes=3)
    assert (targets == np.eye(4)[labels][:, :3]).all()
    assert sorted(times(segments_above(targets * 0.9, EDGES, (0.5,)))) == sorted(times(segments))
