"""Whether flipped clips keep their class: linear heads fitted with and without them."""

import math
from dataclasses import dataclass

import numpy as np

from autox_video.automl.probing.crossval import LINEAR, Scored, cross_validate
from autox_video.automl.probing.samples import Samples

LEAST_LOSS = 0.05
"""Drop in accuracy from which flips count as harmful."""
DEVIATIONS = 2.0
"""Standard errors by which that drop must be above zero."""


@dataclass(frozen=True, slots=True)
class FlipComparison:
    """Cross-validated scores on unflipped clips."""

    with_flips: Scored
    """Of heads fitted on clips and flipped clips."""
    without: Scored
    """Of heads fitted on unflipped clips only."""

    @property
    def harms(self) -> bool:
        """Whether heads are clearly worse with flips: then flipping changes the class."""
        lost = self.without.right - self.with_flips.right
        error = float(lost.std()) / math.sqrt(len(lost))
        return float(lost.mean()) >= max(LEAST_LOSS, DEVIATIONS * error)


def compare(samples: Samples, folds: np.ndarray, *, seconds: float = math.inf) -> FlipComparison:
    """Score linear heads with and without flipped clips.

    Args:
        samples: clips with two views, the original and the flipped one.
        folds: as returned by `crossval.make_folds`.
        seconds: time limit for each of the two.

    Raises:
        TooSlowError: it would take longer.
    """
    without = cross_validate(samples.first_views(), LINEAR, folds, seconds=seconds)
    return FlipComparison(cross_validate(samples, LINEAR, folds, seconds=seconds), without)
