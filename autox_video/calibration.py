"""Probabilities that mean what they say: one temperature, fitted on validation clips.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2):
p_k^(1/T), normalised, which changes no order of the classes. T is what the true classes of the
validation clips are likeliest under. A weak prior on log T, normal around 0, keeps a handful of
clips that are all right from asking for certainty.

Letters in shapes: N clips, K classes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autox_video.results import Prediction, balancing_weights, scored

BINS = 15
"""Of confidence, as in the paper."""
PRIOR_SPREAD = 0.5
"""Standard deviation of log T before any clip is seen: T is between 0.4 and 2.7 nineteen in 20."""
LOG_RANGE = (math.log(0.05), math.log(20.0))
PRECISION = 1e-4
_SMALLEST = 1e-12


def expected_calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Give the expected calibration error, 0 to 1, in 15 bins of equal width (Guo et al. 2017).

    The mean over clips of how far the confidence of the predicted class is from the share of clips
    in its bin that are right.

    Args:
        scores: (N, K) probabilities, N >= 1.
        labels: (N,) true classes.
    """
    confidence = scores.max(axis=1)
    right = scores.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def with_temperature(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Give probabilities (N, K) at another temperature; above 1 makes them less sure."""
    logs = np.log(np.clip(scores, _SMALLEST, None)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def fit_temperature(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Give the temperature that fits labelled clips best.

    Args:
        scores: (N, K) probabilities, N >= 1.
        labels: (N,) true classes.
        weights: (N,) how many clips each counts as; None: one.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    logs = np.log(np.clip(scores, _SMALLEST, None))
    true_logs = weights @ logs[np.arange(len(labels)), labels]
    largest = logs.max(axis=1, keepdims=True)

    def loss(log_temperature: float) -> float:
        inverse = math.exp(-log_temperature)
        norm = np.log(np.exp((logs - largest) * inverse).sum(axis=1)) + largest[:, 0] * inverse
        prior = 0.5 * (log_temperature / PRIOR_SPREAD) ** 2
        return float(weights @ norm - true_logs * inverse) + prior

    return math.exp(_smallest(loss, *LOG_RANGE))


def _smallest(loss: Any, low: float, high: float) -> float:
    """Place of the minimum of a function with one valley, by golden section."""
    share = (math.sqrt(5) - 1) / 2
    left, right = high - share * (high - low), low + share * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > PRECISION:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - share * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + share * (high - low)
            at_right = loss(right)
    return (low + high) / 2


def calibration_figures(
    scores: np.ndarray, labels: np.ndarray, *, balanced: bool = False
) -> dict[str, float]:
    """Give what an evaluation keeps: temperature, loss with it, and errors without and with it.

    Nothing where probabilities are no numbers.

    Args:
        scores: (N, K) probabilities of the validation clips.
        labels: (N,) true classes.
        balanced: whether all classes count alike for temperature and loss.
    """
    if not np.isfinite(scores).all():
        return {}
    weights = balancing_weights(labels) if balanced else np.ones(len(labels))
    temperature = fit_temperature(scores, labels, weights)
    after = with_temperature(scores, temperature)
    losses = -np.log(np.clip(after[np.arange(len(labels)), labels], _SMALLEST, None))
    return {
        "temperature": temperature,
        "calibrated_loss": float(np.average(losses, weights=weights)),
        "ece": expected_calibration_error(scores, labels),
        "ece_calibrated": expected_calibration_error(after, labels),
    }


def outcomes(
    scores: np.ndarray, labels: np.ndarray, temperature: float, *, balanced: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give (N,) each: whether the class was found, the calibrated loss, and the clip's weight.

    Args:
        scores: (N, K) probabilities.
        labels: (N,) true classes.
        temperature: that calibrates the probabilities.
        balanced: whether all classes count alike.
    """
    after = with_temperature(scores, temperature)[np.arange(len(labels)), labels]
    weights = balancing_weights(labels) if balanced else np.ones(len(labels))
    return scores.argmax(axis=1) == labels, -np.log(np.clip(after, _SMALLEST, None)), weights


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature of trained weights, and what it was found by."""

    temperature: float
    clips: int
    """Of validation."""
    ece_before: float
    ece_after: float

    def record(self, raw: Sequence[Prediction]) -> dict[str, Any]:
        """The entry in results.json; `raw` are the predictions before it was applied.

        On test clips the errors are only reported, where the clips have labels.
        """
        errors = {"clips": self.clips, "ece_before": self.ece_before, "ece_after": self.ece_after}
        found: dict[str, Any] = {"temperature": self.temperature, "validation": errors}
        scores, labels = scored(raw)
        found["test"] = None
        if len(labels):
            after = with_temperature(scores, self.temperature)
            found["test"] = {
                "clips": len(labels),
                "ece_before": expected_calibration_error(scores, labels),
                "ece_after": expected_calibration_error(after, labels),
            }
        return found


def read_calibration(evaluation: Any) -> Calibration | None:
    """Give the calibration that the evaluation of some weights found; None where it has none."""
    names = ("temperature", "clips", "ece", "ece_calibrated")
    values = [evaluation.get(name) for name in names] if isinstance(evaluation, Mapping) else []
    if not values or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        return None
    lowest, highest = map(math.exp, LOG_RANGE)
    return Calibration(*values) if lowest <= values[0] <= highest else None


def calibrated(predictions: Sequence[Prediction], calibration: Calibration) -> list[Prediction]:
    """Give the predictions with probabilities at the temperature; of several classes, unchanged."""
    return [
        replace(one, scores=_scaled(one.scores, calibration.temperature))
        if one.scores is not None and not one.multi_label
        else one
        for one in predictions
    ]


def _scaled(scores: Sequence[float], temperature: float) -> tuple[float, ...]:
    return tuple(with_temperature(np.array([scores]), temperature)[0].tolist())
