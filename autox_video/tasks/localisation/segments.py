"""Segments of recordings: overlap, suppression of duplicates, and conversion from and to steps.

A recording is divided into N steps, such as the windows of a scan, by N + 1 edges in seconds. A
label of a step is a class index, or BACKGROUND.

Shape letters: N steps, K classes, S segments, M other segments.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

BACKGROUND = -1
"""The label of a step in which no class occurs."""


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Segments of one recording; true ones, or predicted ones with scores.

    Segments can overlap, can have a length of 0, and can extend beyond the recording.
    """

    starts: np.ndarray
    """Start (S,) of each segment in seconds."""
    ends: np.ndarray
    """End (S,) of each segment in seconds, not before its start."""
    labels: np.ndarray
    """Class index (S,) of each segment."""
    scores: np.ndarray
    """Score (S,) of each segment, higher is better; 1 for true segments."""

    def __post_init__(self) -> None:
        sizes = {len(column) for column in (self.starts, self.ends, self.labels, self.scores)}
        assert len(sizes) == 1, "a segment has a start, an end, a label and a score"
        assert np.isfinite(self.starts).all() and np.isfinite(self.ends).all()
        assert (self.ends >= self.starts).all(), "a segment ends before it starts"
        assert not np.isnan(self.scores).any(), "a score is NaN"

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def of(cls, rows: Sequence[tuple]) -> Segments:
        """Return segments from rows (start, end, label) or (start, end, label, score)."""
        starts, ends, labels = (np.array([row[column] for row in rows]) for column in range(3))
        scores = np.array([row[3] if len(row) > 3 else 1.0 for row in rows], dtype=float)
        return cls(starts.astype(float), ends.astype(float), labels.astype(int), scores)

    @classmethod
    def joined(cls, parts: Sequence[Segments]) -> Segments:
        """Return the segments of all parts, in the order of the parts."""
        parts = [cls.of([]), *parts]
        columns = ("starts", "ends", "labels", "scores")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def __getitem__(self, rows: np.ndarray | slice) -> Segments:
        return Segments(self.starts[rows], self.ends[rows], self.labels[rows], self.scores[rows])

    def of_class(self, label: int) -> Segments:
        """Return the segments of a class."""
        return self[self.labels == label]

    def by_time(self) -> Segments:
        """Return the segments ordered by start, then by end, label and score (highest first)."""
        return self[np.lexsort((-self.scores, self.labels, self.ends, self.starts))]

    def by_score(self) -> Segments:
        """Return the segments ordered by score, highest first; equal scores are ordered by time."""
        return self[np.lexsort((self.labels, self.ends, self.starts, -self.scores))]

    def clipped(self, seconds: float) -> Segments:
        """Return the parts within 0 to `seconds`; segments that lie fully outside are dropped."""
        starts, ends = np.clip(self.starts, 0, seconds), np.clip(self.ends, 0, seconds)
        inside = (self.starts < seconds) & (self.ends > 0)
        return Segments(starts, ends, self.labels, self.scores)[inside]


def temporal_iou(first: Segments, second: Segments) -> np.ndarray:
    """Return the temporal intersection over union (S, M), 0 to 1, whatever the classes.

    The IoU of two segments of length 0 is 0, even if they are equal.
    """
    starts = np.maximum(first.starts[:, None], second.starts)
    overlaps = np.maximum(np.minimum(first.ends[:, None], second.ends) - starts, 0.0)
    lengths = (first.ends - first.starts)[:, None] + (second.ends - second.starts)
    unions = lengths - overlaps
    return np.divide(overlaps, unions, out=np.zeros_like(overlaps), where=unions > 0)


# Suppression of duplicates


def nms(segments: Segments, *, most_iou: float) -> Segments:
    """Return the segments without duplicates, ordered by score (non-maximum suppression).

    A segment is dropped if a segment of the same class with a higher score is kept and overlaps it
    with an IoU above `most_iou`. Of equal scores, the earlier segment counts as higher.
    """
    kept = []
    for label in np.unique(segments.labels):
        left = segments.of_class(label).by_score()
        while len(left):
            kept.append(left[:1])
            left = left[1:][temporal_iou(left[:1], left[1:])[0] <= most_iou]
    return Segments.joined(kept).by_score()


def soft_nms(segments: Segments, *, sigma: float = 0.5, least_score: float = 1e-3) -> Segments:
    """Return the segments with the scores of duplicates lowered, ordered by score.

    Each segment in order of the current scores multiplies the scores of the remaining segments of
    its class by exp(-IoU^2 / sigma) (Bodla et al., ICCV 2017, equation 3). Segments whose score
    falls below `least_score` are dropped.
    """
    kept = []
    for label in np.unique(segments.labels):
        left = segments.of_class(label).by_score()
        left = left[left.scores >= least_score]
        while len(left):
            kept.append(left[:1])
            decay = np.exp(-(temporal_iou(left[:1], left[1:])[0] ** 2) / sigma)
            rest = left[1:]
            rest = Segments(rest.starts, rest.ends, rest.labels, rest.scores * decay)
            left = rest[rest.scores >= least_score].by_score()
    return Segments.joined(kept).by_score()


# From steps to segments


def segments_of_labels(
    labels: np.ndarray, edges: np.ndarray, *, background: Collection[int] = (BACKGROUND,)
) -> Segments:
    """Return a segment with score 1 for each run of equal labels, in order of time.

    Args:
        labels: (N,) integers.
        edges: (N + 1,) seconds.
        background: labels of which no segments are made.
    """
    if not len(labels):
        return Segments.of([])
    firsts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    ends = np.append(firsts[1:], len(labels))
    found = Segments(edges[firsts], edges[ends], labels[firsts], np.ones(len(firsts)))
    return found[~np.isin(found.labels, list(background))]


def segments_above(scores: np.ndarray, edges: np.ndarray, thresholds: Sequence[float]) -> Segments:
    """Return a segment for each run of steps whose score for a class is at least a threshold.

    The score of a segment is the mean over its steps. With several thresholds, the same event gives
    segments of several lengths, of which `nms` or `soft_nms` selects.

    Args:
        scores: (N, K), independent for each class, so that classes can overlap.
        edges: (N + 1,) seconds.
        thresholds: lower bounds of the score.
    """
    found = {}
    sums = np.concatenate([np.zeros((1, scores.shape[1])), np.cumsum(scores, axis=0, dtype=float)])
    for threshold in thresholds:
        above = np.pad(scores >= threshold, ((1, 1), (0, 0))).astype(np.int8)
        for label in range(scores.shape[1]):
            turns = np.flatnonzero(np.diff(above[:, label]))
            for first, end in zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True):
                mean = (sums[end, label] - sums[first, label]) / (end - first)
                found[first, end, label] = (edges[first], edges[end], label, mean)
    return Segments.of(list(found.values()))


def most_probable(scores: np.ndarray) -> np.ndarray:
    """Return the most probable label (N,) of each step.

    Args:
        scores: (N, K) probabilities of classes that exclude each other; the rest up to 1 is the
            probability of BACKGROUND.
    """
    best = scores.argmax(axis=1)
    return np.where(scores.max(axis=1) > 1 - scores.sum(axis=1), best, BACKGROUND)


# From segments to steps


def targets_of_segments(segments: Segments, edges: np.ndarray, *, classes: int) -> np.ndarray:
    """Return for each step and class whether the class occurs, (N, K) of 0 and 1.

    A class occurs in a step if one of its segments covers at least half of the step. A segment that
    covers half of no step is assigned to the step that it overlaps most, so that short events are
    not lost. Segments outside the steps are left out.

    Args:
        segments: the true segments.
        edges: (N + 1,) seconds.
        classes: number of classes K.
    """
    targets = np.zeros((len(edges) - 1, classes), dtype=np.int8)
    for start, end, label in zip(segments.starts, segments.ends, segments.labels, strict=True):
        targets[_steps_of(start, end, edges), label] = 1
    return targets


def labels_of_segments(segments: Segments, edges: np.ndarray) -> np.ndarray:
    """Return the label (N,) of each step; see `targets_of_segments` for the rule.

    Where segments of several classes overlap, the one that starts last is the label.
    """
    labels = np.full(len(edges) - 1, BACKGROUND)
    ordered = segments.by_time()
    for start, end, label in zip(ordered.starts, ordered.ends, ordered.labels, strict=True):
        labels[_steps_of(start, end, edges)] = label
    return labels


def _steps_of(start: float, end: float, edges: np.ndarray) -> np.ndarray:
    """Return whether each step (N,) belongs to a segment; see `targets_of_segments`."""
    overlaps = np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)
    steps = overlaps >= np.diff(edges) / 2
    if not steps.any() and len(steps):
        best = overlaps.argmax()
        # Without an overlap, a segment of length 0 lies in the step, and any other beside it.
        steps[best] = overlaps[best] > 0 or (overlaps[best] == 0 and start == end)
    return steps
