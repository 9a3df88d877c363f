"""Timelines: numbers computed by hand."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from autox_video.core.errors import ConfigError
from autox_video.prediction.timeline import (
    TimelineOptions,
    bins_of,
    smoothed,
    timeline,
)
from autox_video.prediction.video_prediction import VideoPrediction, Windows

RAW = {"smoothing": 0, "min_seconds": 0}


def windows(scores, *, span=2.0, step=1.0, end=None):
    """Windows of `span` seconds every `step` seconds, with these probabilities (N, K)."""
    starts = np.arange(len(scores)) * step
    ends = starts + span
    if end is not None:
        ends[-1] = end
        starts[-1] = end - span
    return Windows(starts, ends, np.array(scores, dtype=float))


def single(first_class, **how):
    """Windows of two classes, from the probability of the first one in each."""
    return windows([(p, 1 - p) for p in first_class], **how)


def prediction(shown, classes=("a", "b")):
    return VideoPrediction("x.mp4", classes, shown.scores.mean(axis=0), windows=shown)


def segments(shown, classes=("a", "b"), **options):
    made = timeline(prediction(shown, classes), TimelineOptions(**options))
    return [(s.name, round(s.start, 6), round(s.end, 6), round(s.score, 6)) for s in made]


def test_each_second_is_the_mean_of_the_windows_around_it():
    bins = bins_of(single([0.9, 0.5, 0.1]))
    assert bins.edges.tolist() == [0, 1, 2, 3, 4]
    # At 0.5 s only the first window; at 1.5 s both are half a second from their middles.
    assert bins.scores[:, 0] == pytest.approx([0.9, 0.7, 0.3, 0.1])
    assert bins.scores.sum(axis=1) == pytest.approx(1.0)


def test_the_middle_of_a_window_counts_more_than_its_ends():
    bins = bins_of(single([1.0, 0.0, 0.0, 0.0], span=4.0))
    # At 1.5 s: middles at 2 and 3 s, weights 1 - 0.5/2 and 1 - 1.5/2.
    assert bins.scores[1, 0] == pytest.approx(0.75 / (0.75 + 0.25))
    # At 2.5 s: 0.75 of the first, 0.75 of the second, 0.25 of the third.
    assert bins.scores[2, 0] == pytest.approx(0.75 / 1.75)


def test_the_last_bin_ends_with_the_video():
    bins = bins_of(single([0.9, 0.5, 0.1], end=3.5))
    assert bins.edges.tolist() == [0, 1, 2, 3, 3.5]
    assert bins.step_sec == 1


@pytest.mark.parametrize("overlaps", [False, True])
def test_a_part_that_cannot_be_read_has_no_class(overlaps):
    starts = np.array([10.0, 11, 12, 16, 17, 18])
    shown = Windows(starts, starts + 1, np.array([[0.9, 0.1]] * 6))
    bins = bins_of(shown)
    assert bins.edges.tolist() == [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    assert bins.scores[:, 0] == pytest.approx([0.9] * 3 + [0] * 3 + [0.9] * 3)
    two = Windows(starts[[0, 3]], starts[[0, 3]] + 1, shown.scores[[0, 3]])
    assert [s[1:3] for s in segments(two, overlaps=overlaps)] == [(10, 11), (16, 17)]
    # The smoothing neither reaches into the gap nor loses anything to it.
    expected = [("a", 10, 13, 0.9), ("a", 16, 19, 0.9)]
    assert segments(shown, overlaps=overlaps, smoothing=2) == expected
    made = segments(shown, overlaps=overlaps, threshold=0, min_seconds=0)
    assert [s for s in made if s[0] == "a"] == expected


def test_smoothing_is_a_triangle_over_neighbours():
    bins = bins_of(windows([[0.0], [0.0], [1.0], [0.0], [0.0]], span=1.0))
    assert smoothed(bins, None).scores[:, 0].tolist() == [0, 0.25, 0.5, 0.25, 0]
    assert smoothed(bins, 1.0).scores[:, 0].tolist() == [0, 0.25, 0.5, 0.25, 0]
    assert smoothed(bins, 2.0).scores[:, 0] == pytest.approx(np.array([1, 2, 3, 2, 1]) / 9)
    assert smoothed(bins, 0) is bins
    level = bins_of(windows([[0.3]] * 5, span=1.0))
    assert smoothed(level, 2.0).scores == pytest.approx(0.3)  # at the ends, too


def test_equal_neighbours_are_one_segment_with_their_mean():
    shown = single([0.9, 0.7, 0.2, 0.4], span=1.0)
    assert segments(shown, **RAW) == [("a", 0, 2, 0.8), ("b", 2, 4, 0.7)]


def test_a_shorter_last_bin_counts_by_its_length():
    starts = np.array([0.0, 1.0, 2.0])
    shown = Windows(starts, np.array([1, 2, 2.5]), np.array([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]))
    assert segments(shown, **RAW) == [("a", 0, 2.5, round((0.9 + 0.6 + 0.3) / 2.5, 6))]


def test_what_is_below_the_threshold_is_left_out():
    shown = single([0.9, 0.9, 0.55, 0.1, 0.1], span=1.0)
    assert segments(shown, threshold=0.6, **RAW) == [("a", 0, 2, 0.9), ("b", 3, 5, 0.9)]
    assert segments(shown, threshold=0.95, **RAW) == []
    assert segments(shown, threshold=0.9, **RAW) == [("a", 0, 2, 0.9), ("b", 3, 5, 0.9)]


def test_short_runs_join_their_longer_neighbour():
    shown = single([0.9, 0.9, 0.2, 0.9, 0.1, 0.1, 0.1, 0.1], span=1.0)
    # The run of b at 2 s and that of a at 3 s are equally short: the earlier one goes first.
    assert segments(shown, threshold=0.5, smoothing=0, min_seconds=1.5) == [
        ("a", 0, 4, 0.725),
        ("b", 4, 8, 0.9),
    ]
    # A gap is a run as well: of nothing.
    gap = single([0.9, 0.9, 0.5, 0.9, 0.9], span=1.0)
    assert segments(gap, threshold=0.6, smoothing=0, min_seconds=1.5) == [("a", 0, 5, 0.82)]
    assert len(segments(gap, threshold=0.6, smoothing=0, min_seconds=1.0)) == 2
    # A short event between longer stretches of nothing is left out.
    event = single([0.5, 0.5, 0.9, 0.5, 0.5], span=1.0)
    assert segments(event, threshold=0.6, smoothing=0, min_seconds=1.5) == []


def test_what_joins_may_not_pull_a_segment_below_the_threshold():
    shown = single([0.8, 0.8, 0.8, 0.2, 0.8, 0.8, 0.8], span=1.0)
    options = {"smoothing": 0, "min_seconds": 1.5}
    mean = round(5.0 / 7, 6)  # 0.714286; of the first four, it is 0.65
    assert segments(shown, threshold=0.71, **options) == [("a", 0, 7, mean)]
    assert segments(shown, threshold=0.72, **options) == [("a", 0, 3, 0.8), ("a", 4, 7, 0.8)]


def test_by_default_the_shortest_segment_is_half_a_window():
    shown = single([0.9] * 6 + [0.1] * 2 + [0.9] * 6, span=1.0, step=0.25)
    # b is above 0.5 for a quarter of a second: not half of a window.
    assert [s[0] for s in segments(shown, smoothing=0)] == ["a"]
    assert [s[0] for s in segments(shown, smoothing=0, min_seconds=0)] == ["a", "b", "a"]


def test_segments_of_several_classes_overlap():
    scores = [[0.9, 0.1], [0.9, 0.9], [0.9, 0.9], [0.1, 0.9]]
    assert segments(windows(scores, span=1.0), overlaps=True, **RAW) == [
        ("a", 0, 3, 0.9),
        ("b", 1, 4, 0.9),
    ]


def test_hysteresis_extends_a_segment_but_does_not_begin_one():
    scores = [[0.1], [0.45], [0.6], [0.41], [0.39], [0.45], [0.1]]
    shown = windows(scores, span=1.0)
    mean = round((0.45 + 0.6 + 0.41) / 3, 6)
    assert segments(shown, ("a",), overlaps=True, **RAW) == [("a", 1, 4, mean)]


def test_short_gaps_of_a_class_are_closed_before_short_segments_are_left_out():
    shown = windows([[0.9], [0.0], [0.9], [0.0], [0.0], [0.9], [0.0]], span=1.0)
    options = {"overlaps": True, "smoothing": 0}
    assert segments(shown, ("a",), min_seconds=2, **options) == [("a", 0, 3, 0.6)]
    assert len(segments(shown, ("a",), min_seconds=1, **options)) == 3


def test_a_video_without_windows_is_one_segment():
    clip = VideoPrediction("x", ("a", "b"), np.array([0.2, 0.8]), seconds=3.5)
    (segment,) = timeline(clip)
    assert (segment.index, segment.name, segment.start, segment.end) == (1, "b", 0, 3.5)
    assert timeline(clip, TimelineOptions(threshold=0.9)) == []
    (segment,) = timeline(replace(clip, segment=(10.0, float("inf"))))
    assert (segment.start, segment.end) == (10, 13.5)
    assert timeline(clip, TimelineOptions(min_seconds=4)) == []
    assert timeline(clip, TimelineOptions(min_seconds=4, overlaps=True)) == []
    assert timeline(VideoPrediction("x", ("a", "b"), None, error="torn")) == []


def test_segments_of_a_long_video_follow_one_another():
    rng = np.random.default_rng(0)
    shown = windows(rng.dirichlet(np.ones(5), 20_000), span=4.0, step=0.5)
    classes = tuple("abcde")
    made = timeline(prediction(shown, classes), TimelineOptions(threshold=0.3))
    assert len(made) > 100
    assert all(a.end <= b.start for a, b in pairwise(made))
    assert all(s.end - s.start >= 2 and s.score >= 0.3 for s in made)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"threshold": 1.2}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"min_seconds": -1}, "min_seconds"),
        ({"smoothing": float("inf")}, "smoothing"),
    ],
)
def test_values_out_of_range_are_refused(options, name):
    with pytest.raises(ConfigError, match=name):
        TimelineOptions(**options)
