"""Metrics of single-label and multi-label classification.

Shape letters: N clips, K classes, B bootstrap draws.
"""

from functools import partial

import numpy as np

from autox_video.metrics.metric import METRICS, Metric, Resampled

POSITIVE_FROM = 0.5
"""In multi-label tasks, every class with at least this probability is predicted."""


def in_first(scores: np.ndarray, labels: np.ndarray, count: int) -> float:
    """Return the top-`count` accuracy; ties with the true class count as errors."""
    true_score = scores[np.arange(len(labels)), labels]
    rivals = (scores >= true_score[:, None]).sum(axis=1) - 1
    return float((rivals < count).mean())


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of clips whose true class has the highest score."""
    return float((scores.argmax(axis=1) == labels).mean())


def class_accuracy(scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Return the accuracy on the clips of each class that occurs in `labels`."""
    right = scores.argmax(axis=1) == labels
    return {int(label): float(right[labels == label].mean()) for label in np.unique(labels)}


def _mean_class_accuracy(scores: np.ndarray, labels: np.ndarray) -> Resampled:
    right = (scores.argmax(axis=1) == labels).astype(np.float64)
    of_class = np.eye(scores.shape[1])[labels]
    return lambda weights: _mean_over_classes((weights * right) @ of_class, weights @ of_class)


def average_precision(scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Return the average precision of each class that has a positive clip.

    Average precision is the sum of (R_n - R_n-1) P_n over all thresholds, where R is the recall, P
    is the precision, and clips with equal scores share one threshold (scikit-learn's definition).

    Args:
        scores: (N, K) probabilities.
        labels: (N, K), 1 if the clip has the class, else 0.
    """
    once = np.ones((1, len(labels)))
    return {
        int(k): float(_class_precision(scores[:, k], labels[:, k] > 0)(once)[0])
        for k in np.flatnonzero((labels > 0).any(axis=0))
    }


def _class_precision(scores: np.ndarray, is_positive: np.ndarray) -> Resampled:
    """Return a function that computes a class's average precision in each bootstrap draw.

    The average precision is 0 for a draw without positive clips.
    """
    order = np.argsort(-scores, kind="stable")
    # The last clip of each distinct score: a threshold cannot separate equal scores.
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)

    def precision(weights: np.ndarray) -> np.ndarray:
        drawn = weights[:, order]
        hits = np.cumsum(drawn * is_positive[order], axis=1)[:, last]
        predicted = np.cumsum(drawn, axis=1)[:, last]
        precisions = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
        gained = np.diff(hits, prepend=0.0, axis=1)
        return (precisions * gained).sum(axis=1) / np.maximum(hits[:, -1], 1)

    return precision


def _mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> Resampled:
    truth = labels > 0
    occurring = np.flatnonzero(truth.any(axis=0))
    of_class = [_class_precision(scores[:, k], truth[:, k]) for k in occurring]

    def mean(weights: np.ndarray) -> np.ndarray:
        none = np.zeros((1, len(weights)))
        precisions = np.sum([each(weights) for each in of_class] or none, axis=0)
        occurs = np.sum([weights @ (truth[:, k] * 1.0) > 0 for k in occurring] or none, axis=0)
        return precisions / np.maximum(occurs, 1)

    return mean


def _f1(scores: np.ndarray, labels: np.ndarray, *, by_class: bool) -> Resampled:
    """Return a function that computes the macro-averaged or micro-averaged F1 score.

    F1 is 2 TP / (predicted positives + actual positives).
    """
    truth, predicted = labels > 0, scores >= POSITIVE_FROM
    right, wholes = (truth & predicted) * 1.0, truth * 1.0 + predicted

    def over_all(weights: np.ndarray) -> np.ndarray:
        return 2 * (weights @ right).sum(axis=1) / np.maximum((weights @ wholes).sum(axis=1), 1)

    def over_classes(weights: np.ndarray) -> np.ndarray:
        occurs = weights @ (truth * 1.0) > 0
        return _mean_over_classes(2 * (weights @ right), np.where(occurs, weights @ wholes, 0.0))

    return over_classes if by_class else over_all


def _mean_over_classes(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Return the mean of `parts / wholes`, both (B, K), over the classes that occur in a draw."""
    occurs = wholes > 0
    shares = np.divide(parts, wholes, out=np.zeros_like(parts), where=occurs)
    return shares.sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)


def effective_clips(labels: np.ndarray) -> float:
    """Return the effective sample size of clips weighted so that all classes count equally.

    For clip weights w, the effective sample size is (sum w)^2 / sum w^2 (Kish, Survey Sampling,
    1965).

    Args:
        labels: (N,) class indices, N >= 1.
    """
    weights = 1 / np.bincount(labels)[labels]
    return float(weights.sum() ** 2 / (weights**2).sum())


def balancing_weights(labels: np.ndarray) -> np.ndarray:
    """Return clip weights (N,) that balance the classes; the weights sum to `effective_clips`."""
    weights = 1 / np.bincount(labels)[labels]
    return weights * (effective_clips(labels) / weights.sum())


def clip_losses(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood of each clip (N,) in nats, from scores (N, K)."""
    return -np.log(np.clip(scores[np.arange(len(labels)), labels], 1e-12, None))


_SINGLE, _MULTI = ("single_label",), ("multi_label",)
METRICS.register("top1")(Metric("top-1", _SINGLE, accuracy, is_share=True))
METRICS.register("top5")(Metric("top-5", _SINGLE, partial(in_first, count=5), is_share=True))
METRICS.register("mean_class_accuracy")(
    Metric("mean class accuracy", _SINGLE, resample=_mean_class_accuracy)
)
METRICS.register("mAP")(Metric("mAP", _MULTI, resample=_mean_average_precision))
METRICS.register("f1")(Metric("F1@0.5", _MULTI, resample=partial(_f1, by_class=False)))
METRICS.register("mean_class_f1")(
    Metric("mean class F1@0.5", _MULTI, resample=partial(_f1, by_class=True))
)
