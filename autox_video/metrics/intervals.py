"""How sure a figure is: 95% intervals, by Wilson for shares of clips, by bootstrap for the rest.

Shape letters: N clips, B draws.
"""

import math
from collections.abc import Callable

import numpy as np

from autox_video.metrics.metric import Metric

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


# scipy's takes whole numbers of right clips only; here they are means of several runs.
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


def metric_interval(metric: Metric, scores: np.ndarray, labels: np.ndarray) -> Interval:
    """Give the 95% interval of a metric of N >= 1 clips."""
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
    """Give a score for people, with as many digits as so many clips bear: two to four."""
    digits = 2 if clips <= 100 else 3 if clips <= 1000 else 4
    return f"{score:.{digits}f}"
