"""How sure a figure is: 95% intervals, by Wilson for shares of clips, by bootstrap for the rest.

Letters in shapes: N clips, K classes, B draws.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

LEVEL_DEVIATIONS = 1.959964
"""Of the normal distribution, for 95%."""
QUANTILES = (0.025, 0.975)
MOST_DRAWS, FEWEST_DRAWS = 1000, 100
MOST_WORK = 2e8
"""Draws times clips times classes, so that an interval takes seconds at most."""
_DRAWS_AT_A_TIME = 50

FEW_VALIDATION_CLIPS = 30
"""Validation clips, with fewer of which their score is mostly chance."""
CROSS_VALIDATION, VALIDATION = "cross-validation", "validation"
"""What a score can be measured on: clips in turn, each by a model that has not learnt from it, or
the validation clips."""

Interval = tuple[float, float]
"""Lower and upper end."""


def wilson_interval(right: float, clips: float, *, z: float = LEVEL_DEVIATIONS) -> Interval:
    """Give the 95% interval of a share of clips (Wilson's score interval, JASA 22, 1927).

    Args:
        right: how many; a mean of several runs may lie between whole numbers.
        clips: of how many, 1 or more; where they weigh differently, how many alike are as sure.
        z: standard deviations of the normal distribution, for another level than 95%.
    """
    share = right / clips
    middle = (share + z * z / (2 * clips)) / (1 + z * z / clips)
    spread = math.sqrt(share * (1 - share) / clips + z * z / (4 * clips * clips))
    half = z * spread / (1 + z * z / clips)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def single_label_intervals(
    scores: np.ndarray, labels: np.ndarray, measured: dict[str, float]
) -> dict[str, Interval]:
    """Give the intervals of top-1, top-5 and mean class accuracy.

    Args:
        scores: (N, K) probabilities, N >= 1.
        labels: (N,) true classes.
        measured: those figures.
    """
    shares = {
        name: wilson_interval(measured[name] * len(labels), len(labels))
        for name in ("top1", "top5")
    }
    right = (scores.argmax(axis=1) == labels).astype(np.float64)
    of_class = np.eye(scores.shape[1])[labels]

    def mean_class_accuracy(weights: np.ndarray) -> np.ndarray:
        return _mean_where((weights * right) @ of_class, weights @ of_class)

    found = bootstrap_interval(mean_class_accuracy, len(labels), classes=scores.shape[1])
    return {**shares, "mean_class_accuracy": found}


def multi_label_intervals(
    scores: np.ndarray, labels: np.ndarray, *, positive_from: float
) -> dict[str, Interval]:
    """Give the intervals of mAP, F1 and mean class F1.

    Args:
        scores: (N, K) probabilities, N >= 1.
        labels: (N, K) of 0 and 1.
        positive_from: the score from which a class is predicted.
    """
    truth, said = labels > 0, scores >= positive_from
    right, both = (truth & said) * 1.0, truth * 1.0 + said
    occurring = np.flatnonzero(truth.any(axis=0))
    sorted_classes = [_in_order(scores[:, k], truth[:, k]) for k in occurring]

    def mean_precision(weights: np.ndarray) -> np.ndarray:
        none = np.zeros((1, len(weights)))
        found = [_average_precision(weights, *each) for each in sorted_classes]
        occurs = [weights @ (truth[:, k] * 1.0) > 0 for k in occurring]
        return np.sum(found or none, axis=0) / np.maximum(np.sum(occurs or none, axis=0), 1)

    def f1(weights: np.ndarray) -> np.ndarray:
        each = 2 * (weights @ right).sum(axis=1)
        return each / np.maximum((weights @ both).sum(axis=1), 1)

    def mean_class_f1(weights: np.ndarray) -> np.ndarray:
        occurs = weights @ (truth * 1.0) > 0
        return _mean_where(2 * (weights @ right), np.where(occurs, weights @ both, 0.0))

    figures = {"mAP": mean_precision, "f1": f1, "mean_class_f1": mean_class_f1}
    size = {"clips": len(labels), "classes": scores.shape[1]}
    return {name: bootstrap_interval(figure, **size) for name, figure in figures.items()}


def bootstrap_interval(
    figure: Callable[[np.ndarray], np.ndarray], clips: int, *, classes: int = 1, seed: int = 0
) -> Interval:
    """Give the 95% interval of a figure of clips: percentiles over draws of as many clips.

    Where no draw differs from another, as where every clip is right, it is Wilson's.

    Args:
        figure: of (B, N) numbers of times that each clip is drawn, (B,) in 0..1.
        clips: N, 1 or more.
        classes: more of them mean more work, and fewer draws.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    draws = int(min(MOST_DRAWS, max(FEWEST_DRAWS, MOST_WORK / (clips * classes))))
    found = []
    for start in range(0, draws, _DRAWS_AT_A_TIME):
        size = min(_DRAWS_AT_A_TIME, draws - start)
        found.append(figure(rng.multinomial(clips, np.full(clips, 1 / clips), size=size) * 1.0))
    values = np.concatenate(found)
    if np.ptp(values) < 1e-12:
        return wilson_interval(float(values[0]) * clips, clips)
    low, high = np.quantile(values, QUANTILES)
    return float(low), float(high)


def _mean_where(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Mean over the classes (B, K) that occur in a draw."""
    occurs = wholes > 0
    each = np.divide(parts, wholes, out=np.zeros_like(parts), where=occurs)
    return each.sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)


def _in_order(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, ...]:
    """Clips by falling score, which of them are positive, and the last one of each score."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return order, truth[order], last


def _average_precision(
    weights: np.ndarray, order: np.ndarray, truth: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Average precision in each draw; 0 where no positive clip is drawn."""
    drawn = weights[:, order]
    hits, said = np.cumsum(drawn * truth, axis=1)[:, last], np.cumsum(drawn, axis=1)[:, last]
    precision = np.divide(hits, said, out=np.zeros_like(hits), where=said > 0)
    gained = np.diff(hits, prepend=0.0, axis=1)
    positives = hits[:, -1]
    return (precision * gained).sum(axis=1) / np.maximum(positives, 1)


def score_text(score: float, clips: float) -> str:
    """Give a score for people, with as many digits as so many clips bear: two to four."""
    digits = 2 if clips <= 100 else 3 if clips <= 1000 else 4
    return f"{score:.{digits}f}"


def score_interval(figures: Mapping[str, float]) -> tuple[float | None, float | None]:
    """The 95% interval of validation figures: of their main score; Nones for mAP, no share."""
    if "top1" not in figures or not figures.get("clips"):
        return None, None
    clips = figures.get("effective_clips", figures["clips"])
    return wilson_interval(figures.get("balanced_accuracy", figures["top1"]) * clips, clips)
