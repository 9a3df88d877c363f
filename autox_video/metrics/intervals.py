"""95% confidence intervals: Wilson intervals for shares of clips, bootstrap for other metrics.

Shape letters: N clips, B bootstrap draws.
"""

import math
from collections.abc import Callable

import numpy as np

from autox_video.metrics.metric import Metric

LEVEL_DEVIATIONS = 1.959964
"""Half-width of the 95% interval of a normal distribution, in standard deviations."""
QUANTILES = (0.025, 0.975)
MOST_DRAWS, FEWEST_DRAWS = 1000, 100
MOST_WORK = 2e8
"""Upper limit on draws x clips x classes, so that an interval takes a few seconds at most."""
_DRAWS_AT_A_TIME = 50

FEW_VALIDATION_CLIPS = 30
"""With fewer validation clips than this, the validation score depends mostly on chance."""
CROSS_VALIDATION, VALIDATION = "cross-validation", "validation"
"""The way a score is measured: on all clips by cross-validation, or on the validation clips."""

Interval = tuple[float, float]
"""Lower and upper bounds of an interval."""


# scipy's function accepts only integer counts; here counts can be means over several runs.
def wilson_interval(right: float, clips: float, *, z: float = LEVEL_DEVIATIONS) -> Interval:
    """Return the 95% interval of an accuracy (Wilson's score interval, JASA 22, 1927).

    Args:
        right: number of correctly classified clips; may be fractional, such as a mean over several
            runs.
        clips: number of clips, 1 or more; for weighted clips, the effective sample size.
        z: half-width of the interval in standard deviations; the default gives a 95% interval.
    """
    share = right / clips
    middle = (share + z * z / (2 * clips)) / (1 + z * z / clips)
    spread = math.sqrt(share * (1 - share) / clips + z * z / (4 * clips * clips))
    half = z * spread / (1 + z * z / clips)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def metric_interval(metric: Metric, scores: np.ndarray, labels: np.ndarray) -> Interval:
    """Return the 95% interval of a metric on N >= 1 clips."""
    clips = len(labels)
    if metric.is_share:
        return wilson_interval(metric.value(scores, labels) * clips, clips)
    if metric.resample is not None:
        figure = metric.resample(scores, labels)
    else:

        def figure(weights: np.ndarray) -> np.ndarray:
            rows = (np.repeat(np.arange(clips), times) for times in weights.astype(int))
            return np.array([metric.compute(scores[drawn], labels[drawn]) for drawn in rows])

    return bootstrap_interval(figure, clips, classes=scores.shape[1])


def bootstrap_interval(
    figure: Callable[[np.ndarray], np.ndarray], clips: int, *, classes: int = 1, seed: int = 0
) -> Interval:
    """Return the 95% percentile bootstrap interval of a metric.

    If all draws give the same value, for example because every clip is correct, the Wilson interval
    is returned.

    Args:
        figure: function that takes the number of times each clip is drawn, (B, N), and returns the
            metric of each draw, (B,), from 0 to 1.
        clips: number of clips, 1 or more.
        classes: number of classes; the more classes there are, the fewer draws are made.
        seed: seed for the draws.
    """
    rng = np.random.default_rng(seed)
    draws = int(min(MOST_DRAWS, max(FEWEST_DRAWS, MOST_WORK / (clips * classes))))
    parts = []
    for start in range(0, draws, _DRAWS_AT_A_TIME):
        size = min(_DRAWS_AT_A_TIME, draws - start)
        parts.append(figure(rng.multinomial(clips, np.full(clips, 1 / clips), size=size) * 1.0))
    values = np.concatenate(parts)
    if np.ptp(values) < 1e-12:
        return wilson_interval(float(values[0]) * clips, clips)
    low, high = np.quantile(values, QUANTILES)
    return float(low), float(high)


def score_text(score: float, clips: float) -> str:
    """Return a score as text with two to four decimals, depending on the number of clips."""
    digits = 2 if clips <= 100 else 3 if clips <= 1000 else 4
    return f"{score:.{digits}f}"
