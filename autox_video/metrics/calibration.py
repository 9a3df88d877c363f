"""Calibrate probabilities with a single temperature, fitted on clips not used for training.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2)
takes the softmax of logits / T, which does not change the order of the classes. With few clips, the
maximum-likelihood T is mostly due to chance, and can make the probabilities worse. T is therefore
the value closest to 1 that the clips do not reject (95% likelihood-ratio test). With few clips, T
is usually 1; with many clips, T is close to the maximum-likelihood value. T is used only if it
makes neither the loss nor the calibration error worse in cross-validation over the same clips.

Adding a constant to all logits of a clip does not change any result, so log-probabilities can be
used as logits.

Shape letters: N clips, K classes, R predictions for each clip (one per repeat of a
cross-validation, each with weight 1/R).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autox_video.metrics.intervals import LEVEL_DEVIATIONS, wilson_interval
from autox_video.tasks.classification.metrics import balancing_weights

BINS = 15
"""Number of confidence bins, as in Guo et al. (2017)."""
PRIOR_SPREAD = 0.5
"""Standard deviation of the prior on log T in the loss that is used to choose weights."""
LOG_RANGE = (math.log(0.05), math.log(1000.0))
PRECISION = 1e-4
DOUBT = LEVEL_DEVIATIONS**2 / 2
"""Log-likelihood difference in nats up to which a temperature is not rejected (95% level, one
parameter)."""
SURE_DEVIATIONS = 2.575829
"""Half-width of the 99% interval of the accuracy, in standard deviations."""
FOLDS, REPEATS = 5, 3
FEW_TO_FIT = 1000
"""With more clips than this, the temperature does not overfit and is not cross-validated."""


def expected_calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error, 0 to 1, in 15 bins of equal width (Guo et al. 2017).

    The error is the mean of |accuracy - mean confidence| over the bins, weighted by bin size.

    Args:
        scores: (N, K) probabilities, N >= 1.
        labels: (N,) true classes.
    """
    confidence = scores.max(axis=1)
    right = scores.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def with_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return softmax(logits / temperature), (..., K); temperatures above 1 lower the confidence."""
    scaled = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def likeliest_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the most likely temperature under a weak prior (log T is normal with mean 0).

    This temperature is for the calibrated loss; for probabilities, see `fit_temperature`.

    Args:
        logits: (N, K) or (R, N, K), N >= 1.
        labels: (N,) true classes.
        weights: (N,) weight of each clip; if None, all weights are 1.
    """
    loss = _loss_by_log(logits, labels, weights)
    return math.exp(_minimum(lambda x: loss(x) + 0.5 * (x / PRIOR_SPREAD) ** 2))


def fit_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the temperature closest to 1 that the clips do not reject.

    The result is 1 if the 95% likelihood interval of T contains 1, and otherwise the end of the
    interval that is closer to 1. The width of the interval is inversely proportional to the square
    root of the number of clips. Since a few confident mistakes can lead to a large T, T is limited
    to the value at which the mean confidence is as far from the 99% interval of the accuracy as
    without a temperature.

    Args:
        logits, labels, weights: as in `likeliest_temperature`.
    """
    loss = _loss_by_log(logits, labels, weights)
    best = _minimum(loss)
    most = loss(best) + DOUBT
    if loss(0.0) <= most:
        return 1.0
    nearest = _crossing(lambda x: loss(x) - most, best)  # the loss has a single minimum
    return math.exp(min(nearest, _furthest(logits, labels, weights, nearest), key=abs))


def _furthest(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, towards: float
) -> float:
    """Return the log T between 0 and `towards` that is furthest from 0 and within the limit."""
    logits = logits.reshape(-1, *logits.shape[-2:])
    weights = np.ones(len(labels)) if weights is None else weights
    clips = float(weights.sum())

    def mean(values: np.ndarray) -> float:
        return float((values @ weights).mean()) / clips

    def confidence(log_temperature: float) -> float:
        return mean(with_temperature(logits, math.exp(log_temperature)).max(axis=-1))

    right = mean(logits.argmax(axis=-1) == labels) * clips
    low, high = wilson_interval(right, clips, z=SURE_DEVIATIONS)
    limit = 2 * (high if towards > 0 else low) - confidence(0.0)

    def beyond(log_temperature: float) -> float:
        """Return by how much log T exceeds the limit; negative if log T is within the limit."""
        return (limit - confidence(log_temperature)) * math.copysign(1.0, towards)

    if beyond(0.0) > 0:
        return 0.0
    return _crossing(beyond, towards) if beyond(towards) > 0 else towards


def _loss_by_log(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> Callable[[float], float]:
    """Return the negative log-likelihood of the clips in nats, as a function of log T."""
    logits = logits.astype(np.float64)
    logits = logits.reshape(-1, *logits.shape[-2:])
    logits = logits - logits.max(axis=-1, keepdims=True)
    weights = np.ones(len(labels)) if weights is None else weights
    true_logits = float((logits[:, np.arange(len(labels)), labels] @ weights).mean())

    def loss(log_temperature: float) -> float:
        inverse = math.exp(-log_temperature)
        norms = np.log(np.exp(logits * inverse).sum(axis=-1))
        return float((norms @ weights).mean()) - true_logits * inverse

    return loss


def _minimum(loss: Callable[[float], float]) -> float:
    """Return the log T that minimises the loss, which has a single minimum."""
    from scipy.optimize import minimize_scalar

    return float(
        minimize_scalar(loss, bounds=LOG_RANGE, method="bounded", options={"xatol": PRECISION}).x
    )


def _crossing(value: Callable[[float], float], until: float) -> float:
    """Return the root of `value` between 0 and `until`, as a log T rounded towards `until`."""
    from scipy.optimize import bisect

    root = bisect(value, 0.0, until, xtol=PRECISION / 2)
    return root if value(root) * value(until) >= 0 else root + math.copysign(PRECISION, until)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A temperature, and the calibration errors (ECE) on the clips used to fit it."""

    temperature: float
    """The fitted temperature; 1 if no other temperature is clearly better."""
    ece_before: float
    ece_after: float
    """Cross-validated ECE with the temperature; never above `ece_before`."""

    def figures(self) -> dict[str, float]:
        """Return the entries for the metrics of an evaluation."""
        names = ("temperature", "ece", "ece_calibrated")
        return dict(zip(names, (self.temperature, self.ece_before, self.ece_after), strict=True))


def choose_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> Fitted:
    """Return the temperature to use, which is 1 unless another temperature is clearly better.

    Args:
        logits: (N, K) or (R, N, K), finite, N >= 1, of a model that was not trained on the clips.
        labels: (N,) true classes.
        weights: (N,) weight of each clip; if None, all weights are 1.
    """
    logits = logits.reshape(-1, *logits.shape[-2:])
    weights = np.ones(len(labels)) if weights is None else weights
    before = _mean_error(logits, labels)
    unchanged = Fitted(1.0, before, before)
    temperature = fit_temperature(logits, labels, weights)
    scaled = logits / temperature
    if temperature == 1.0 or _mean_error(scaled, labels) > before:
        return unchanged
    tried = [scaled] if len(labels) > FEW_TO_FIT else _held_out(logits, labels, weights)
    after = float(np.mean([_mean_error(each, labels) for each in tried]))
    losses = [_loss_by_log(each, labels, weights)(0.0) for each in (logits, *tried)]
    if after > before or np.mean(losses[1:]) > losses[0]:
        return unchanged
    return Fitted(temperature, before, after)


def _held_out(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Return logits / T for each repeat of a cross-validation, with T fitted on the other folds."""
    clips = len(labels)
    draw, repeats = np.random.default_rng(0), []
    for _ in range(REPEATS if clips > 1 else 0):
        fold = draw.permutation(np.arange(clips) % min(FOLDS, clips))
        scaled = np.empty_like(logits)
        for number in range(fold.max() + 1):
            rest, out = fold != number, fold == number
            fitted = fit_temperature(logits[:, rest], labels[rest], weights[rest])
            scaled[:, out] = logits[:, out] / fitted
        repeats.append(scaled)
    return repeats or [logits]


def _mean_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of the R ECEs, each computed separately on one set of predictions."""
    errors = [expected_calibration_error(with_temperature(each, 1.0), labels) for each in logits]
    return float(np.mean(errors))


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Out-of-fold predictions, each by a model that was not trained on the clip it predicts."""

    logits: np.ndarray
    """Finite logits (R, N, K)."""
    labels: np.ndarray
    """True classes (N,)."""
    learnt: np.ndarray
    """Whether each clip's class occurred in the training clips of the model predicting it, (N,)."""

    def with_those_of(self, logits: np.ndarray, labels: np.ndarray) -> "OutOfFold":
        """Return these predictions, preceded by predictions with logits (M, K) and labels (M,)."""
        repeated = np.broadcast_to(logits, (len(self.logits), *logits.shape))
        known = np.isin(labels, self.labels[self.learnt])
        return OutOfFold(
            np.concatenate([repeated, self.logits], axis=1),
            np.append(labels, self.labels),
            np.append(known, self.learnt),
        )

    def figures(self, *, balanced: bool = False) -> dict[str, float]:
        """Return the calibration entries for an evaluation, including the number of clips used.

        If a class has no other training clips, its clips are always misclassified out of fold,
        although the model trained on all clips may classify them correctly. These clips are left
        out. The remaining clips are easier than average; if their temperature is below 1, the
        temperature is fitted on all clips instead, and is at most 1.

        Args:
            balanced: whether all classes count equally.

        Returns:
            {} if no clips remain.
        """
        if not self.learnt.any():
            return {}
        fitted, clips = self._fitted(self.learnt, balanced=balanced), int(self.learnt.sum())
        if fitted.temperature < 1 and clips < len(self.labels):
            every, clips = np.ones(len(self.labels), dtype=bool), len(self.labels)
            fitted = self._fitted(every, balanced=balanced)
            if fitted.temperature > 1:
                fitted = Fitted(1.0, fitted.ece_before, fitted.ece_before)
        return {**fitted.figures(), "calibration_clips": clips}

    def _fitted(self, clips: np.ndarray, *, balanced: bool) -> Fitted:
        labels = self.labels[clips]
        weights = balancing_weights(labels) if balanced else None
        return choose_temperature(self.logits[:, clips], labels, weights)


def calibration_figures(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    balanced: bool = False,
    in_folds: OutOfFold | None = None,
) -> dict[str, float]:
    """Return the temperature, the ECE with and without the temperature, and the calibrated loss.

    The calibrated loss is the loss of the validation clips at their most likely temperature. This
    loss is used to rank weights, regardless of which temperature is chosen.

    Args:
        logits: (N, K) logits of the validation clips.
        labels: (N,) true classes of the validation clips.
        balanced: whether all classes count equally in the temperature and the loss.
        in_folds: out-of-fold predictions for other clips, on which the temperature is also fitted;
            `calibration_clips` is then the total number of clips.

    Returns:
        {} if the logits are not finite.
    """
    if not np.isfinite(logits).all():
        return {}
    weights = balancing_weights(labels) if balanced else np.ones(len(labels))
    likeliest = likeliest_temperature(logits, labels, weights)
    loss = _loss_by_log(logits, labels, weights)(math.log(likeliest)) / weights.sum()
    figures = {"calibrated_loss": float(loss)}
    if in_folds is not None and np.isfinite(in_folds.logits).all():
        figures |= in_folds.with_those_of(logits, labels).figures(balanced=balanced)
    if "temperature" not in figures:
        figures |= choose_temperature(logits, labels, weights).figures()
    return figures


def calibrated_losses(
    logits: np.ndarray, labels: np.ndarray, *, balanced: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the losses (N,) and weights (N,) of clips; for arguments, see `calibration_figures`.

    The weighted mean of the losses is the calibrated loss that `calibration_figures` returns.
    """
    weights = balancing_weights(labels) if balanced else np.ones(len(labels))
    scaled = logits.astype(np.float64) / likeliest_temperature(logits, labels, weights)
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    losses = np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]
    return losses, weights
