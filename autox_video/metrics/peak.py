"""Where training should have ended: its evaluations → the epoch after which it did harm."""

import math
from collections.abc import Sequence

FEWEST = 4
"""Evaluations, with fewer of which there is no saying."""
BEYOND_PEAK = 2
"""Times the epochs up to the peak, that other plans are tried with: they may learn longer."""
_AROUND = 3


def peak_epoch(evaluations: Sequence[tuple[int, float]], clips: float) -> int | None:
    """The epoch at which the smoothed merit was highest, where it fell clearly after that.

    Clearly is by more than the largest standard error that a share of so many clips has.

    Each counts as the mean of itself and its two neighbours: the highest of many is mostly luck.
    So the first one and the last are no peak.

    Args:
        evaluations: epochs in order, each with its merit.
        clips: that were evaluated.
    """
    if len(evaluations) < FEWEST:
        return None
    merits = [merit for _, merit in evaluations]
    starts = range(len(merits) - _AROUND + 1)
    smoothed = [sum(merits[at : at + _AROUND]) / _AROUND for at in starts]
    highest = max(smoothed)
    if highest - smoothed[-1] <= 0.5 / math.sqrt(clips):
        return None
    return evaluations[smoothed.index(highest) + _AROUND // 2][0]
