"""Find the epoch after which the validation score clearly dropped, a sign of overfitting."""

import math
from collections.abc import Sequence

import numpy as np

FEWEST = 4
"""Smallest number of evaluations from which a peak can be found."""
BEYOND_PEAK = 2
"""Other plans, which may peak later, get this many times the epochs up to the peak."""
_AROUND = 3


def peak_epoch(evaluations: Sequence[tuple[int, float]], clips: float) -> int | None:
    """Return the epoch of the highest smoothed selection score; None without a clear drop after it.

    A clear drop is larger than the largest standard error of an accuracy on `clips` clips. Each
    score is averaged with its two neighbours, since the highest of many scores is mostly luck.
    Therefore the first and the last evaluation cannot be the peak.

    Args:
        evaluations: pairs of an epoch and its selection score, in order of epochs.
        clips: number of clips evaluated.
    """
    if len(evaluations) < FEWEST:
        return None
    scores = np.array([score for _, score in evaluations])
    smoothed = np.lib.stride_tricks.sliding_window_view(scores, _AROUND).mean(axis=1)
    if smoothed.max() - smoothed[-1] <= 0.5 / math.sqrt(clips):
        return None
    return evaluations[int(smoothed.argmax()) + _AROUND // 2][0]
