"""Where training should have ended: validation scores → the epoch after which it did harm."""

import math
from collections.abc import Sequence

FEWEST = 4
"""Evaluations, with fewer of which there is no saying."""


def peak_epoch(evaluations: Sequence[tuple[int, float]], clips: float) -> int | None:
    """The epoch at which the smoothed score was highest, where it fell clearly after that.

    Clearly is by more than the standard error of a share of so many clips (with Wilson's correction
    for shares near 0 and 1). Each score counts as the mean of itself and its two neighbours: the
    highest of many is mostly luck.

    Args:
        evaluations: epochs in order, with their scores in 0..1.
        clips: that were evaluated, 1 or more.
    """
    if len(evaluations) < FEWEST:
        return None
    scores = [score for _, score in evaluations]
    near = [scores[max(0, at - 1) : at + 2] for at in range(len(scores))]
    smoothed = [sum(some) / len(some) for some in near]
    highest = max(smoothed)
    error = math.sqrt(highest * (1 - highest) / clips + 1 / (4 * clips**2))
    if highest - smoothed[-1] <= error:
        return None
    return evaluations[smoothed.index(highest)][0]
