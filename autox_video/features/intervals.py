"""How sure a score is."""

import math
from collections.abc import Mapping

_Z95 = 1.959964


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95% interval of a share of `count` clips (Wilson, 1927, JASA 22)."""
    if count == 0:
        return 0.0, 1.0
    z = _Z95**2 / count
    middle = (share + z / 2) / (1 + z)
    half = math.sqrt(z * (share * (1 - share) + z / 4)) / (1 + z)
    return max(0.0, middle - half), min(1.0, middle + half)


def score_interval(figures: Mapping[str, float]) -> tuple[float | None, float | None]:
    """The 95% interval of validation figures: of top-1; Nones for mAP, which is no share."""
    return wilson(figures["top1"], int(figures["clips"])) if "top1" in figures else (None, None)
