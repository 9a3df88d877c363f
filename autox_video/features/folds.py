"""Cross-validation: which clips are tried on which part, and how sure a share of right ones is."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

FOLDS = 5
FEW_CLIPS = 500
"""Up to so many clips the division is repeated: chance in one division would decide."""

REPEATS = 3
_Z95 = 1.959964


def repeats_for(clips: int) -> int:
    """How many divisions to average over."""
    return REPEATS if clips <= FEW_CLIPS else 1


def divide(
    targets: np.ndarray, groups: Sequence[int], *, folds: int = FOLDS, seed: int = 0
) -> np.ndarray:
    """Divide clips into parts of about equal size with about equal shares of each class.

    The largest groups go first, each to the part that misses its classes most.

    Args:
        targets: (n, K) 1 where a clip is of a class, else 0.
        groups: of each clip; those of one group are in one part.
        folds: parts.
        seed: of the order among groups of equal size.

    Returns:
        (n,) int64, the part of each clip. One may be empty where there are fewer groups.
    """
    targets = np.asarray(targets, dtype=np.float64)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((group.max(initial=-1) + 1, targets.shape[1] + 1))
    # The number of clips counts like one more class.
    np.add.at(counts, group, np.column_stack([targets, np.ones(len(targets))]))
    wanted = np.maximum(counts.sum(0), 1e-9) / folds
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    filled = np.zeros((folds, counts.shape[1]))
    part = np.empty(len(counts), dtype=np.int64)
    for number in order.tolist():
        # The growth of the squared distance from what each part should have.
        share = counts[number] / wanted
        cost = (2 * (filled / wanted - 1) + share) @ share
        part[number] = chosen = int(cost.argmin())
        filled[chosen] += counts[number]
    return part[group]


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
