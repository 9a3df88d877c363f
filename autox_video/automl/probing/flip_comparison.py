"""Compare linear heads with and without flips to see whether flips change the class."""

import math
from dataclasses import dataclass

import numpy as np

from autox_video.automl.probing.crossval import LINEAR, Scored, cross_validate
from autox_video.automl.probing.samples import Samples

LEAST_LOSS = 0.05
"""Smallest drop in accuracy at which flips are considered harmful."""
DEVIATIONS = 2.0
"""Smallest drop, in standard errors, at which flips are considered harmful."""


@dataclass(frozen=True, slots=True)
class FlipComparison:
    """Cross-validated scores of linear heads, measured on unflipped clips."""

    with_flips: Scored
    """Score of heads fitted on original and flipped clips."""
    without: Scored
    """Score of heads fitted on original clips only."""

    @property
    def harms(self) -> bool:
        """Whether heads are clearly worse with flips, probably because flips change the class."""
        lost = self.without.right - self.with_flips.right
        error = float(lost.std()) / math.sqrt(len(lost))
        return float(lost.mean()) >= max(LEAST_LOSS, DEVIATIONS * error)


def compare(samples: Samples, folds: np.ndarray, *, seconds: float = math.inf) -> FlipComparison:
    """Score linear heads with and without flipped clips.

    Args:
        samples: the clips, each with its original views followed by the flipped views.
        folds: folds as returned by `crossval.make_folds`.
        seconds: time limit for computing each of the two scores.

    Raises:
        TooSlowError: fitting would exceed the time limit.
    """
    without = cross_validate(samples.unflipped(), LINEAR, folds, seconds=seconds)
    return FlipComparison(cross_validate(samples, LINEAR, folds, seconds=seconds), without)
