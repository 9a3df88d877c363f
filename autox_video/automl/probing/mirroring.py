"""Whether mirror images show what clips show: heads that learn from them, and without them."""

import math
from dataclasses import dataclass

import numpy as np

from autox_video.automl.probing.crossval import LINEAR, Scored, cross_validate
from autox_video.automl.probing.samples import Samples

LEAST_LOSS = 0.05
"""Of the share of clips told right, that mirror images must cost to be called harmful."""
DEVIATIONS = 2.0
"""Of that loss over the clips, by which it must be above nothing."""


@dataclass(frozen=True, slots=True)
class Mirroring:
    """What heads score on plain clips that they have not learnt from."""

    with_images: Scored
    """Having learnt from clips and their mirror images."""
    without: Scored
    """Having learnt from clips alone."""

    @property
    def harms(self) -> bool:
        """Whether mirror images clearly made heads worse: then they are of other classes."""
        lost = self.without.right - self.with_images.right
        error = float(lost.std()) / math.sqrt(len(lost))
        return float(lost.mean()) >= max(LEAST_LOSS, DEVIATIONS * error)


def compare(samples: Samples, folds: np.ndarray, *, seconds: float = math.inf) -> Mirroring:
    """Score linear heads with mirror images and without.

    Args:
        samples: clips with two views, the plain one and its mirror image.
        folds: as returned by `crossval.make_folds`.
        seconds: what each of the two may take.

    Raises:
        TooSlowError: it would take longer.
    """
    without = cross_validate(samples.first_views(), LINEAR, folds, seconds=seconds)
    return Mirroring(cross_validate(samples, LINEAR, folds, seconds=seconds), without)
