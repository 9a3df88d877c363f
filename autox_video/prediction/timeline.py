"""Turn the predictions of overlapping windows into a timeline of segments.

The probability of a class at a time is the mean over the windows that contain the time, weighted by
a triangle: a window's middle counts fully, its ends count nothing.

Shape letters: N windows, K classes, B bins of time, R runs of equal bins.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from autox_video.core.errors import ConfigError
from autox_video.prediction.video_prediction import VideoPrediction, Windows, one_row_windows

THRESHOLD = 0.5
"""Default threshold: calibrated probabilities of at least 0.5 are more likely right than wrong."""
HYSTERESIS = 0.8
"""In multi-label timelines, a segment reaches as far as the probability is at least this share of
the threshold, and it must reach the threshold somewhere."""
NOTHING = -1
"""Class index of times without a class."""
_LEAST_WEIGHT = 1e-6  # of a window's ends, where no other window contains them
_TINY_SEC = 1e-6  # tolerance for rounding errors in times


@dataclass(frozen=True, slots=True)
class TimelineOptions:
    """How segments are made from probabilities.

    Raises:
        ConfigError: a value is out of range; there is one message per problem.
    """

    threshold: float = THRESHOLD
    """Lowest probability of a segment, 0 to 1."""
    min_seconds: float | None = None
    """Shortest segment, and shortest gap in a segment, in seconds; None for half a window."""
    smoothing: float | None = None
    """How far the smoothing reaches to each side, in seconds; 0 for none, None for one step."""
    overlaps: bool = False
    """Whether segments of different classes may overlap, as in multi-label tasks."""

    def __post_init__(self) -> None:
        problems = []
        if not 0 <= self.threshold <= 1:
            problems.append(f"threshold: {self.threshold:g}: give a probability from 0 to 1.")
        for name in ("min_seconds", "smoothing"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < np.inf:
                problems.append(f"{name}: {value:g}: give a number of seconds, 0 or more.")
        if problems:
            raise ConfigError(*problems)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a video that shows one class."""

    index: int
    """Index of the class."""
    name: str
    """Name of the class."""
    start: float
    end: float
    """Start and end in seconds."""
    score: float
    """Mean probability of the class in the segment."""


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Probabilities over time: bins of equal length, of which only the last may be shorter."""

    edges: np.ndarray
    """Times (B + 1,) in seconds at which bins start and end."""
    scores: np.ndarray
    """Probabilities (B, K) in each bin."""
    is_known: np.ndarray
    """Whether a window contains each bin (B,); parts that cannot be read have no windows."""
    step_sec: float
    """Length of a bin in seconds: the distance between windows."""

    def segment(self, index: int, first: int, end: int, name: str) -> Segment:
        """Return the segment of a class over the bins from `first` to before `end`."""
        lengths = np.diff(self.edges[first : end + 1])
        score = float(np.average(self.scores[first:end, index], weights=lengths))
        return Segment(index, name, float(self.edges[first]), float(self.edges[end]), score)


def timeline(prediction: VideoPrediction, options: TimelineOptions | None = None) -> list[Segment]:
    """Return the segments of a video, sorted by start, then by class; none if it is unreadable.

    Single-label: each time has its most probable class, or none if that class is below the
    threshold. A run shorter than `min_seconds` joins the longer of its neighbours; it is left out
    if it would pull the mean probability of its neighbour below the threshold.

    Multi-label: each class has its own segments. A segment is a stretch of at least HYSTERESIS x
    threshold that reaches the threshold. Gaps shorter than `min_seconds` are closed, then shorter
    segments are left out.

    Args:
        prediction: the prediction; without windows, the whole video counts as one window.
        options: threshold, shortest segment and smoothing; None for the defaults.
    """
    options = options or TimelineOptions()
    if not prediction.is_readable:
        return []
    windows = one_row_windows(prediction)
    if not len(windows) or windows.ends[-1] <= windows.starts[0]:
        return []
    bins = smoothed(bins_of(windows), options.smoothing)
    least_sec = options.min_seconds
    if least_sec is None:
        least_sec = float(np.median(windows.ends - windows.starts)) / 2
    make = _overlapping if options.overlaps else _exclusive
    return make(bins, prediction.classes, options.threshold, least_sec)


def bins_of(windows: Windows) -> Bins:
    """Return the probabilities over time."""
    starts, ends = (np.asarray(a, dtype=np.float64) for a in (windows.starts, windows.ends))
    gaps = np.diff(starts)
    gaps = gaps[:-1] if len(gaps) > 1 else gaps  # the last window may start early
    gaps = gaps[gaps > _TINY_SEC]
    # A bin is no longer than a window, so every window contains the middle of a bin.
    step = min(float(np.median(each)) for each in (gaps, ends - starts) if len(each))
    first, last = float(starts.min()), float(ends.max())
    count = max(1, int(np.ceil((last - first) / step - _TINY_SEC)))
    edges = np.minimum(first + np.arange(count + 1) * step, last)
    edges[-1] = last
    middles = (edges[:-1] + edges[1:]) / 2
    total, weight = _weighted_sums(starts, ends, windows.scores, middles)
    scores = total / np.maximum(weight, _LEAST_WEIGHT / 2)[:, None]
    return Bins(edges, scores, weight > 0, step)


def _weighted_sums(
    starts: np.ndarray, ends: np.ndarray, scores: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each time (B,), the weighted sum (B, K) of scores (N, K) and of weights (B,)."""
    total, weight = np.zeros((len(times), scores.shape[1])), np.zeros(len(times))
    first = np.searchsorted(times, starts - _TINY_SEC)
    last = np.searchsorted(times, ends + _TINY_SEC)
    for offset in range(int((last - first).max())):
        window = np.flatnonzero(first + offset < last)
        place = first[window] + offset
        half = (ends[window] - starts[window]) / 2
        away = np.abs(times[place] - (starts[window] + half))
        share = np.maximum(1 - away / np.maximum(half, _TINY_SEC), _LEAST_WEIGHT)
        np.add.at(total, place, share[:, None] * scores[window])
        np.add.at(weight, place, share)
    return total, weight


def smoothed(bins: Bins, smoothing_sec: float | None) -> Bins:
    """Return the bins after a weighted mean over neighbours: 1, 2, ..., r, ..., 2, 1.

    Args:
        bins: the bins.
        smoothing_sec: how far the mean reaches to each side in seconds; None for one bin, 0 for no
            smoothing.
    """
    reach = 1 if smoothing_sec is None else round(smoothing_sec / bins.step_sec)
    reach = min(reach, len(bins.scores) - 1)
    if reach < 1:
        return bins
    weights = np.concatenate([np.arange(1, reach + 2), np.arange(reach, 0, -1)]) / (reach + 1) ** 2
    is_known = bins.is_known[:, None]
    count = len(bins.scores)

    def mean(values: np.ndarray) -> np.ndarray:
        padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
        return sum(w * padded[i : i + count] for i, w in enumerate(weights))

    # Only neighbours that are known count.
    scores = mean(bins.scores) / np.maximum(mean(is_known.astype(float)), _LEAST_WEIGHT)
    return replace(bins, scores=scores * is_known)


# ---- one class at a time ----


def _exclusive(
    bins: Bins, classes: Sequence[str], threshold: float, least_sec: float
) -> list[Segment]:
    best = bins.scores.argmax(axis=1)
    best[(bins.scores.max(axis=1) < threshold) | ~bins.is_known] = NOTHING
    runs = _joined(_runs(best), bins, threshold, least_sec)
    return [bins.segment(c, first, end, classes[c]) for c, first, end in runs if c != NOTHING]


def _runs(values: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (value, first, end) for each stretch of equal values (B,)."""
    cuts = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return [(int(values[a]), a, b) for a, b in pairwise(cuts)]


def _joined(
    runs: list[tuple[int, int, int]], bins: Bins, threshold: float, least_sec: float
) -> list[tuple[int, int, int]]:
    """Let each run that is too short join its longer neighbour, the shortest run first.

    Of equally long neighbours, the earlier one is chosen. A run that would pull the mean of its
    neighbour below the threshold becomes a run of NOTHING instead.
    """
    by_first = {run[1]: run for run in runs}
    by_end = {run[2]: run for run in runs}

    def seconds(run: tuple[int, int, int]) -> float:
        return round(float(bins.edges[run[2]] - bins.edges[run[1]]), 6)

    def union(value: int, runs: list[tuple[int, int, int]]) -> tuple[int, int, int]:
        return value, min(first for _, first, _ in runs), max(end for _, _, end in runs)

    queue = [(seconds(run), run[1], run) for run in runs]
    heapq.heapify(queue)
    while queue and queue[0][0] < least_sec - _TINY_SEC:
        run = heapq.heappop(queue)[2]
        if by_first.get(run[1]) != run:
            continue  # it has been joined to another run
        beside = [near for near in (by_end.get(run[1]), by_first.get(run[2])) if near]
        longest = sorted(beside, key=seconds, reverse=True)[:1]
        for value in (*(near[0] for near in longest), NOTHING):
            parts = [run, *(near for near in beside if near[0] == value)]
            joined = union(value, parts)
            if value == NOTHING or bins.segment(*joined, "").score >= threshold:
                break
        if joined == run:
            continue  # a gap that has to stay
        for _, first, end in parts:
            del by_first[first], by_end[end]
        by_first[joined[1]] = by_end[joined[2]] = joined
        heapq.heappush(queue, (seconds(joined), joined[1], joined))
    return [by_first[first] for first in sorted(by_first)]


# ---- each class by itself ----


def _overlapping(
    bins: Bins, classes: Sequence[str], threshold: float, least_sec: float
) -> list[Segment]:
    segments = [
        bins.segment(index, first, end, name)
        for index, name in enumerate(classes)
        for first, end in _stretches(bins, index, threshold, least_sec)
    ]
    return sorted(segments, key=lambda segment: (segment.start, segment.index))


def _stretches(bins: Bins, index: int, threshold: float, least_sec: float) -> list[tuple[int, int]]:
    """Return (first, end) for each stretch of bins in which a class is present."""
    scores, edges = bins.scores[:, index], bins.edges
    is_on = (scores >= HYSTERESIS * threshold) & bins.is_known
    kept: list[tuple[int, int]] = []
    for value, first, end in _runs(is_on.astype(int)):
        if not value or scores[first:end].max() < threshold:
            continue
        if kept and edges[first] - edges[kept[-1][1]] < least_sec - _TINY_SEC:
            kept[-1] = (kept[-1][0], end)
        else:
            kept.append((first, end))
    return [(a, b) for a, b in kept if edges[b] - edges[a] >= least_sec - _TINY_SEC]
