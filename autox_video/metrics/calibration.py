"""Probabilities that mean what they say: one temperature, fitted on clips not learnt from.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2):
the softmax of logits / T, which changes no order of the classes. The likeliest T of a few clips is
mostly chance, and can make probabilities worse. So T is the one nearest to 1 that the clips do not
contradict (95%, by likelihood ratio): of few clips it is 1, of many the likeliest. It is used only
where cross-validation over the same clips finds neither the loss nor the calibration error worse
than without it.

Logits here are defined up to a constant of each clip: log-probabilities are logits too.

Letters in shapes: N clips, K classes, R predictions of each clip (the divisions of a
cross-validation, each counting 1/R).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autox_video.metrics.intervals import LEVEL_DEVIATIONS, wilson_interval
from autox_video.tasks.classification.metrics import balancing_weights

BINS = 15
"""Of confidence, as in the paper."""
PRIOR_SPREAD = 0.5
"""Standard deviation of log T before any clip is seen, for the loss by which weights are chosen."""
LOG_RANGE = (math.log(0.05), math.log(1000.0))
PRECISION = 1e-4
DOUBT = LEVEL_DEVIATIONS**2 / 2
"""Nats of log-likelihood within which a temperature is not contradicted: 95% of one parameter."""
SURE_DEVIATIONS = 2.575829
"""Of the normal distribution, for 99%: how far from what the clips show an accuracy may be."""
FOLDS, REPEATS = 5, 3
FEW_TO_FIT = 1000
"""Clips, with more of which one parameter is not overfitted: they are not divided to see it."""


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


def with_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Give the probabilities (..., K) of logits at a temperature; above 1 they are less sure."""
    scaled = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def likeliest_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Give the likeliest temperature under a weak prior, log T normal around 0.

    For the loss that says how good weights are; for probabilities see `fit_temperature`.

    Args:
        logits: (N, K) or (R, N, K), N >= 1.
        labels: (N,) true classes.
        weights: (N,) how many clips each counts as; None: one.
    """
    loss = _loss_by_log(logits, labels, weights)
    return math.exp(_minimum(lambda x: loss(x) + 0.5 * (x / PRIOR_SPREAD) ** 2))


def fit_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Give the temperature nearest to 1 that the clips do not contradict.

    The end, on the side of 1, of its 95% interval by likelihood; 1 where that is inside. The width
    falls with the root of the number of clips: many get the likeliest temperature. A few clips that
    are surely wrong call for much, so it goes no further than where the mean confidence would be as
    far from an accuracy within its 99% interval as it is without a temperature.

    Args:
        logits, labels, weights: as in `likeliest_temperature`.
    """
    loss = _loss_by_log(logits, labels, weights)
    best = _minimum(loss)
    most = loss(best) + DOUBT
    if loss(0.0) <= most:
        return 1.0
    nearest = _crossing(lambda x: loss(x) - most, best)  # the loss has one valley
    return math.exp(min(nearest, _furthest(logits, labels, weights, nearest), key=abs))


def _furthest(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, towards: float
) -> float:
    """How far log T may go on the way from 0."""
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
        """How much too far it is."""
        return (limit - confidence(log_temperature)) * math.copysign(1.0, towards)

    if beyond(0.0) > 0:
        return 0.0
    return _crossing(beyond, towards) if beyond(towards) > 0 else towards


def _loss_by_log(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> Callable[[float], float]:
    """The negative log-likelihood of the clips, in nats, by log T."""
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
    """The log T of the least loss, which has one valley."""
    from scipy.optimize import minimize_scalar

    return float(
        minimize_scalar(loss, bounds=LOG_RANGE, method="bounded", options={"xatol": PRECISION}).x
    )


def _crossing(value: Callable[[float], float], until: float) -> float:
    """The log T between 0 and `until` at which a value changes its sign, on the side of `until`."""
    from scipy.optimize import bisect

    root = bisect(value, 0.0, until, xtol=PRECISION / 2)
    return root if value(root) * value(until) >= 0 else root + math.copysign(PRECISION, until)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A temperature, and the calibration error of the clips that it is from."""

    temperature: float
    """1: the clips do not say that another is better."""
    ece_before: float
    ece_after: float
    """In cross-validation: of clips by a temperature from others. Never above `ece_before`."""

    def figures(self) -> dict[str, float]:
        """The same as an evaluation keeps it."""
        names = ("temperature", "ece", "ece_calibrated")
        return dict(zip(names, (self.temperature, self.ece_before, self.ece_after), strict=True))


def choose_temperature(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> Fitted:
    """Give the temperature to use, 1 where any other is in doubt.

    Args:
        logits: (N, K) or (R, N, K), finite, N >= 1, by a model that has not learnt from the clips.
        labels: (N,) true classes.
        weights: (N,) how many clips each counts as; None: one.
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
    """Logits at temperatures fitted on other clips, for each division of a cross-validation."""
    clips = len(labels)
    draw, divisions = np.random.default_rng(0), []
    for _ in range(REPEATS if clips > 1 else 0):
        fold = draw.permutation(np.arange(clips) % min(FOLDS, clips))
        scaled = np.empty_like(logits)
        for number in range(fold.max() + 1):
            rest, out = fold != number, fold == number
            fitted = fit_temperature(logits[:, rest], labels[rest], weights[rest])
            scaled[:, out] = logits[:, out] / fitted
        divisions.append(scaled)
    return divisions or [logits]


def _mean_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the R predictions: those of one clip are not put in bins together."""
    errors = [expected_calibration_error(with_temperature(each, 1.0), labels) for each in logits]
    return float(np.mean(errors))


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What models say of clips that they have not learnt from."""

    logits: np.ndarray
    """(R, N, K), finite."""
    labels: np.ndarray
    """(N,) true classes."""
    learnt: np.ndarray
    """(N,) whether the models have learnt from other clips of the class."""

    def with_those_of(self, logits: np.ndarray, labels: np.ndarray) -> "OutOfFold":
        """These clips behind others, with logits (M, K) and true classes (M,)."""
        repeated = np.broadcast_to(logits, (len(self.logits), *logits.shape))
        known = np.isin(labels, self.labels[self.learnt])
        return OutOfFold(
            np.concatenate([repeated, self.logits], axis=1),
            np.append(labels, self.labels),
            np.append(known, self.learnt),
        )

    def figures(self, *, balanced: bool = False) -> dict[str, float]:
        """Temperature and errors for an evaluation to keep, and the number of clips; {}: of none.

        A class of which no other clip was learnt from is told wrong, and the model that learns from
        all clips may tell it: such clips are left out. But those that stay are told right too
        often, so that to make surer, all clips have to agree.

        Args:
            balanced: whether all classes count alike.
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
    """Give what an evaluation keeps: temperature, errors without and with it, calibrated loss.

    The loss is that of the validation clips at their likeliest temperature: it says how good
    weights are, whether or not their probabilities are changed. Nothing where logits are no
    numbers.

    Args:
        logits: (N, K) of the validation clips.
        labels: (N,) their true classes.
        balanced: whether all classes count alike for temperature and loss.
        in_folds: of other clips: the temperature is of these, too, and `calibration_clips` says how
            many there are in all.
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
    """Give (N,) each: the loss, and how many clips a clip counts as.

    The weighted mean of the losses is the calibrated loss of `calibration_figures`, which has the
    same arguments.
    """
    weights = balancing_weights(labels) if balanced else np.ones(len(labels))
    scaled = logits.astype(np.float64) / likeliest_temperature(logits, labels, weights)
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    losses = np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]
    return losses, weights
