"""Where training should have ended: its evaluations → the epoch after which it did harm."""

import math
from collections.abc import Sequence

import numpy as np

FEWEST = 4
"""Evaluations, with fewer of which there is no saying."""
BEYOND_PEAK = 2
"""Times the epochs up to the peak, that other plans are tried with: they may learn longer."""
_AROUND = 3


def peak_epoch(evaluations: Sequence[tuple[int, float]], clips: float) -> int | None:
    """The epoch at which the smoothed selection score was highest, where it fell clearly after.

    Clearly is by more than the largest standard error that a share of so many clips has. Each
    counts as the mean of itself and its two neighbours, since the highest of many is mostly luck:
    so the first one and the last are no peak.

    Args:
        evaluations: epochs in order, each with its selection score.
        clips: that were evaluated.
    """
    if len(evaluations) < FEWEST:
        return None
    scores = np.array([score for _, score in evaluations])
    smoothed = np.lib.stride_tricks.sliding_window_view(scores, _AROUND).mean(axis=1)
    if smoothed.max() - smoothed[-1] <= 0.5 / math.sqrt(clips):
        return None
    return evaluations[int(smoothed.argmax()) + _AROUND // 2][0]
