"""Metrics of temporal localisation, from 0 to 1, with bootstrap intervals over recordings.

- Mean average precision at temporal IoU thresholds: the definition of ActivityNet (Caba Heilbron et
  al., CVPR 2015, and its `eval_detection.py`) at the thresholds of THUMOS'14.
- F1@10, 25 and 50 and the edit score: Lea et al., CVPR 2017, section 4, as computed by MS-TCN (Abu
  Farha and Gall, CVPR 2019, `eval.py`), which reports them in percent.

No metric depends on the order in which segments or recordings are given. Recordings without
segments count: predictions in them are false positives.

Shape letters: R recordings, B bootstrap draws, P predictions, S true segments, T thresholds, N
steps, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from autox_video.metrics.intervals import Interval, bootstrap_interval
from autox_video.metrics.metric import Resampled
from autox_video.tasks.localisation.segments import Segments, temporal_iou

TIOU_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Thresholds of the mean average precision."""
F1_THRESHOLDS = (0.1, 0.25, 0.5)
"""Thresholds of the segmental F1 score."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What is true and what is predicted in a recording."""

    truth: Segments
    """The true segments, without background."""
    proposals: Segments
    """Predicted segments with scores for the average precision; they can overlap, and there can be
    many more than true segments."""
    timeline: Segments
    """The predicted segments that a user sees, without background, for F1 and the edit score."""
    true_steps: np.ndarray
    """Labels (N,) of the steps, or targets (N, K) if classes can overlap, for the accuracy."""
    predicted_steps: np.ndarray
    """Predicted labels or targets, of the same shape."""


def localisation_figures(recordings: Sequence[Recording]) -> dict[str, float]:
    """Return all metrics, by the names that results.json uses.

    `mAP` is the mean over TIOU_THRESHOLDS. It and `mAP@...` are 0 without any true segment.
    """
    once = np.ones((1, len(recordings)))
    return {name: float(figure(once)[0]) for name, figure in _figures(recordings).items()}


def localisation_intervals(recordings: Sequence[Recording]) -> dict[str, Interval]:
    """Return the 95% interval of each metric over R >= 1 recordings."""
    size, proposals = len(recordings), sum(len(part.proposals) for part in recordings)
    work = max(1, proposals * len(TIOU_THRESHOLDS) // size)
    return {
        name: bootstrap_interval(figure, size, classes=work if name.startswith("mAP") else 1)
        for name, figure in _figures(recordings).items()
    }


def _figures(recordings: Sequence[Recording]) -> dict[str, Resampled]:
    truth = [recording.truth for recording in recordings]
    timelines = [recording.timeline for recording in recordings]
    precisions = average_precision(truth, [recording.proposals for recording in recordings])
    f1 = segmental_f1(truth, timelines)
    steps = [(recording.true_steps, recording.predicted_steps) for recording in recordings]
    figures: dict[str, Resampled] = {"mAP": lambda draws: precisions(draws).mean(axis=1)}
    for column, threshold in enumerate(TIOU_THRESHOLDS):
        figures[f"mAP@{threshold}"] = _column(precisions, column)
    for column, threshold in enumerate(F1_THRESHOLDS):
        figures[f"f1@{round(100 * threshold)}"] = _column(f1, column)
    return {
        **figures,
        "edit_score": edit_score(truth, timelines),
        "step_accuracy": step_accuracy(steps),
    }


def _column(figure: Resampled, column: int) -> Resampled:
    return lambda draws: figure(draws)[:, column]


# Mean average precision


def average_precision(
    truth: Sequence[Segments],
    predicted: Sequence[Segments],
    *,
    thresholds: Sequence[float] = TIOU_THRESHOLDS,
) -> Resampled:
    """Return a function from draws (B, R) to the mean average precision (B, T) over the classes.

    Within a recording and a class, predictions are matched in order of their score. Each is matched
    to the true segment with the highest IoU that has no match yet, and is a true positive if that
    IoU is at least the threshold. Average precision is the area under the precision-recall curve,
    where the precision at a recall is the highest precision at this or a higher recall.

    The mean is over the classes that have true segments in the draw; predictions of other classes
    are ignored. It is 0 for a draw without true segments.

    ActivityNet leaves open what happens to ties. Here, predictions of equal score form one point of
    the curve, and are matched in order of time; of true segments with equal IoU, the earliest is
    matched.

    Args:
        truth: true segments of each recording.
        predicted: predicted segments of each recording.
        thresholds: IoU thresholds above 0, at most 1.
    """
    assert len(truth) == len(predicted), "each recording has true and predicted segments"
    assert all(0 < threshold <= 1 for threshold in thresholds)
    labels = np.unique(np.concatenate([part.labels for part in truth])) if len(truth) else ()
    parts = [
        _class_matches(
            [part.of_class(label) for part in truth],
            [part.of_class(label) for part in predicted],
            np.array(thresholds),
        )
        for label in labels
    ]

    def mean_over_classes(draws: np.ndarray) -> np.ndarray:
        total, classes = np.zeros((len(draws), len(thresholds))), np.zeros((len(draws), 1))
        for part in parts:
            positives = draws @ part.positives
            total += part.precision(draws, positives)
            classes += (positives > 0)[:, None]
        return total / np.maximum(classes, 1)

    return mean_over_classes


def class_average_precision(
    truth: Sequence[Segments],
    predicted: Sequence[Segments],
    *,
    thresholds: Sequence[float] = TIOU_THRESHOLDS,
) -> dict[int, np.ndarray]:
    """Return the average precision (T,) of each class that has true segments.

    See `average_precision` for the arguments and the definition.
    """
    once = np.ones((1, len(truth)))
    labels = np.unique(np.concatenate([part.labels for part in truth])) if len(truth) else ()
    return {
        int(label): average_precision(
            [part.of_class(label) for part in truth], predicted, thresholds=thresholds
        )(once)[0]
        for label in labels
    }


@dataclass(frozen=True, slots=True)
class _Matches:
    """The matched predictions of a class in all recordings, ordered by score, highest first."""

    positives: np.ndarray
    """Number (R,) of true segments in each recording."""
    recordings: np.ndarray
    """Recording (P,) of each prediction."""
    is_right: np.ndarray
    """Whether each prediction is a true positive at each threshold, (T, P)."""
    point_ends: np.ndarray
    """Position of the last prediction of each distinct score."""

    def precision(self, draws: np.ndarray, positives: np.ndarray) -> np.ndarray:
        """Return the average precision (B, T), 0 for draws without true segments."""
        weights = draws[:, self.recordings]
        told = np.cumsum(weights, axis=1)[:, self.point_ends]
        return np.stack([self._area(weights, told, right, positives) for right in self.is_right], 1)

    def _area(
        self, weights: np.ndarray, told: np.ndarray, right: np.ndarray, positives: np.ndarray
    ) -> np.ndarray:
        found = np.cumsum(weights * right, axis=1)[:, self.point_ends]
        precision = found / np.maximum(told, 1e-12)
        highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        gains = np.diff(found, axis=1, prepend=0)
        return (gains * highest).sum(axis=1) / np.maximum(positives, 1e-12)


def _class_matches(
    truth: Sequence[Segments], predicted: Sequence[Segments], thresholds: np.ndarray
) -> _Matches:
    ordered = [part.by_score() for part in predicted]
    is_right = [
        _match(true.by_time(), part, thresholds) for true, part in zip(truth, ordered, strict=True)
    ]
    scores = np.concatenate([part.scores for part in ordered])
    order = np.argsort(-scores, kind="stable")
    scores = scores[order]
    return _Matches(
        positives=np.array([len(part) for part in truth], dtype=float),
        recordings=np.repeat(np.arange(len(ordered)), [len(part) for part in ordered])[order],
        is_right=np.concatenate(is_right, axis=1)[:, order],
        point_ends=np.flatnonzero(np.append(scores[1:] != scores[:-1], len(scores) > 0)),
    )


def _match(truth: Segments, predicted: Segments, thresholds: np.ndarray) -> np.ndarray:
    """Return whether each prediction is a true positive at each threshold, (T, P)."""
    is_right = np.zeros((len(thresholds), len(predicted)), dtype=bool)
    if not len(truth):
        return is_right
    overlaps = temporal_iou(predicted, truth)
    is_free = np.ones((len(thresholds), len(truth)), dtype=bool)
    rows = np.arange(len(thresholds))
    for position in np.flatnonzero(overlaps.max(axis=1) >= thresholds.min()):
        free = np.where(is_free, overlaps[position], -1.0)
        best = free.argmax(axis=1)
        matched = free[rows, best] >= thresholds
        is_right[:, position] = matched
        is_free[rows[matched], best[matched]] = False
    return is_right


# Segmental F1


def segmental_f1(
    truth: Sequence[Segments],
    predicted: Sequence[Segments],
    *,
    thresholds: Sequence[float] = F1_THRESHOLDS,
) -> Resampled:
    """Return a function from draws (B, R) to the segmental F1 score (B, T).

    In order of time, each predicted segment is compared with the true segment of its class with
    which it has the highest IoU. It is a true positive if this IoU is at least the threshold and no
    earlier prediction was matched to this segment, else a false positive. F1 = 2 TP / (2 TP + FP +
    FN), with the counts summed over recordings and classes. Scores play no role.

    F1 is 1 for a draw without any true or predicted segment, where MS-TCN divides by zero.

    Args:
        truth: true segments of each recording, without background.
        predicted: predicted segments of each recording, without background.
        thresholds: IoU thresholds above 0, at most 1.
    """
    assert all(0 < threshold <= 1 for threshold in thresholds)
    pairs = list(zip(truth, predicted, strict=True))
    right = np.array([_true_positives(*pair, np.array(thresholds)) for pair in pairs])
    sizes = np.array([len(true) + len(part) for true, part in pairs])

    def f1(draws: np.ndarray) -> np.ndarray:
        wholes = (draws @ sizes)[:, None]
        return np.where(wholes > 0, 2 * (draws @ right) / np.maximum(wholes, 1e-12), 1.0)

    return f1


def _true_positives(truth: Segments, predicted: Segments, thresholds: np.ndarray) -> np.ndarray:
    """Return the number (T,) of true positives."""
    truth, predicted = truth.by_time(), predicted.by_time()
    if not len(truth) or not len(predicted):
        return np.zeros(len(thresholds))
    overlaps = temporal_iou(predicted, truth) * (predicted.labels[:, None] == truth.labels)
    best, highest = overlaps.argmax(axis=1), overlaps.max(axis=1)
    return np.array([len(np.unique(best[highest >= threshold])) for threshold in thresholds])


# Edit score and accuracy


def edit_score(truth: Sequence[Segments], predicted: Sequence[Segments]) -> Resampled:
    """Return a function from draws (B, R) to the edit score (B,), the mean over recordings.

    The edit score of a recording is 1 - D / max(length of both), where D is the Levenshtein
    distance between the labels of the true and of the predicted segments in order of time. It is 1
    for a recording without any true or predicted segment, where MS-TCN divides by zero.

    Args:
        truth: true segments of each recording. MS-TCN leaves out the background.
        predicted: predicted segments of each recording, also without background.
    """
    pairs = zip(truth, predicted, strict=True)
    return _mean(_similarity, [(a.by_time().labels, b.by_time().labels) for a, b in pairs])


def _similarity(first: np.ndarray, second: np.ndarray) -> float:
    longest = max(len(first), len(second))
    return 1 - levenshtein(first, second) / longest if longest else 1.0


def levenshtein(first: np.ndarray, second: np.ndarray) -> int:
    """Return the number of insertions, deletions and replacements between two label sequences."""
    columns = np.arange(len(second) + 1)
    costs = columns
    for row, label in enumerate(first, start=1):
        replaced = np.minimum(costs[1:] + 1, costs[:-1] + (second != label))
        # An insertion adds 1 for each column, so its minimum runs over the costs less the column.
        costs = np.minimum.accumulate(np.append(row, replaced) - columns) + columns
    return int(costs[-1])


def step_accuracy(steps: Sequence[tuple[np.ndarray, np.ndarray]]) -> Resampled:
    """Return a function from draws (B, R) to the share (B,) of steps that are labelled correctly.

    Known as frame accuracy, or mean over frames. Background counts as a class, and recordings count
    by their number of steps. If classes can overlap, a step counts by its share of correct classes.

    Args:
        steps: true and predicted labels (N,) or targets (N, K) of each recording.
    """
    right = np.array([_right_steps(*pair) for pair in steps])
    sizes = np.array([len(true) for true, _ in steps])
    return lambda draws: (draws @ right) / np.maximum(draws @ sizes, 1e-12)


def _right_steps(truth: np.ndarray, predicted: np.ndarray) -> float:
    assert truth.shape == predicted.shape, "each step has a true and a predicted label"
    return float((truth == predicted).reshape(len(truth), -1).mean(axis=1).sum())


def _mean(value: Callable[..., float], pairs: Sequence[tuple]) -> Resampled:
    values = np.array([value(*pair) for pair in pairs])
    return lambda draws: (draws @ values) / np.maximum(draws.sum(axis=1), 1e-12)
