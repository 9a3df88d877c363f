"""Find the epoch after which the validation score clearly drops, a sign of overfitting."""

import math
from collections.abc import Sequence

import numpy as np

FEWEST = 4
"""Smallest number of evaluations that is enough to find a peak."""
BEYOND_PEAK = 2
"""Plans that may peak later are trained for this many times the number of epochs up to the peak."""
_AROUND = 3


def peak_epoch(evaluations: Sequence[tuple[int, float]], clips: float) -> int | None:
    """Return the epoch of the highest smoothed selection score; None if no clear drop follows.

    A drop is clear if it exceeds the largest possible standard error of an accuracy on `clips`
    clips. Each score is averaged with its two neighbours, since the highest of many scores is
    mostly luck. The first and the last evaluation have only one neighbour, so neither can be the
    peak.

    Args:
        evaluations: (epoch, selection score) pairs, ordered by epoch.
        clips: number of evaluated clips.
    """
    if len(evaluations) < FEWEST:
        return None
    scores = np.array([score for _, score in evaluations])
    smoothed = np.lib.stride_tricks.sliding_window_view(scores, _AROUND).mean(axis=1)
    if smoothed.max() - smoothed[-1] <= 0.5 / math.sqrt(clips):
        return None
    return evaluations[int(smoothed.argmax()) + _AROUND // 2][0]
