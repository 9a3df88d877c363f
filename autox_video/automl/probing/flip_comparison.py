"""Use linear heads with and without flips to find out whether flipped clips keep their class."""

import math
from dataclasses import dataclass

import numpy as np

from autox_video.automl.probing.crossval import LINEAR, Scored, cross_validate
from autox_video.automl.probing.samples import Samples

LEAST_LOSS = 0.05
"""Smallest drop in accuracy at which flips are considered harmful."""
DEVIATIONS = 2.0
"""Number of standard errors by which the drop must exceed zero."""


@dataclass(frozen=True, slots=True)
class FlipComparison:
    """Cross-validated scores of linear heads on unflipped clips."""

    with_flips: Scored
    """Score of heads fitted on original and flipped clips."""
    without: Scored
    """Score of heads fitted on original clips only."""

    @property
    def harms(self) -> bool:
        """Whether flips make heads clearly worse, probably because flips change the class."""
        lost = self.without.right - self.with_flips.right
        error = float(lost.std()) / math.sqrt(len(lost))
        return float(lost.mean()) >= max(LEAST_LOSS, DEVIATIONS * error)


def compare(samples: Samples, folds: np.ndarray, *, seconds: float = math.inf) -> FlipComparison:
    """Score linear heads with and without flipped clips.

    Args:
        samples: clips with two views each, the original view and the flipped view.
        folds: folds as returned by `crossval.make_folds`.
        seconds: time limit for each of the two scores.

    Raises:
        TooSlowError: fitting would exceed the time limit.
    """
    without = cross_validate(samples.first_views(), LINEAR, folds, seconds=seconds)
    return FlipComparison(cross_validate(samples, LINEAR, folds, seconds=seconds), without)
