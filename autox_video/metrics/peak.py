"""Overfitting: the epoch after which validation got clearly worse."""

import math
from collections.abc import Sequence

import numpy as np

FEWEST = 4
"""Fewest evaluations for a decision."""
BEYOND_PEAK = 2
"""Other plans are tried with this many times the epochs up to the peak: they may learn longer."""
_AROUND = 3


def peak_epoch(evaluations: Sequence[tuple[int, float]], clips: float) -> int | None:
    """Return the epoch of the highest smoothed selection score; None unless it fell clearly after.

    A clear drop is more than the largest standard error of an accuracy on that many clips. Each
    score is averaged with its two neighbours, since the highest of many is mostly luck; so the
    first and the last evaluation cannot be the peak.

    Args:
        evaluations: epochs in order, each with its selection score.
        clips: number of clips evaluated.
    """
    if len(evaluations) < FEWEST:
        return None
    scores = np.array([score for _, score in evaluations])
    smoothed = np.lib.stride_tricks.sliding_window_view(scores, _AROUND).mean(axis=1)
    if smoothed.max() - smoothed[-1] <= 0.5 / math.sqrt(clips):
        return None
    return evaluations[int(smoothed.argmax()) + _AROUND // 2][0]
