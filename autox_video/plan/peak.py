"""Where training should have ended: its evaluations → the epoch after which it did harm."""

from collections.abc import Sequence

FEWEST = 4
"""Evaluations, with fewer of which there is no saying."""
_AROUND = 3


def peak_epoch(evaluations: Sequence[tuple[int, float]], *, error: float) -> int | None:
    """The epoch at which the smoothed merit was highest, where it fell clearly after that.

    Each counts as the mean of itself and its two neighbours: the highest of many is mostly luck.
    So the first one and the last are no peak.

    Args:
        evaluations: epochs in order, each with its merit.
        error: by more than that it must have fallen at the end.
    """
    if len(evaluations) < FEWEST:
        return None
    merits = [merit for _, merit in evaluations]
    starts = range(len(merits) - _AROUND + 1)
    smoothed = [sum(merits[at : at + _AROUND]) / _AROUND for at in starts]
    highest = max(smoothed)
    if highest - smoothed[-1] <= error:
        return None
    return evaluations[smoothed.index(highest) + _AROUND // 2][0]
