"""Clips divided into folds for cross-validation: by class, whole groups, again and again."""

from collections.abc import Sequence

import numpy as np

from autox_video.data.splitting.groups import alone


def repeated_folds(
    labels: Sequence[int],
    *,
    folds: int,
    repeats: int = 1,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Give (R, N): in each repetition, the number 0..folds-1 of the fold of each clip.

    Each fold has every class in nearly the same share: the numbers of clips of a class in two folds
    differ by one at most where no clip belongs to another. A group is never divided. Repetitions
    differ by chance alone; the same arguments give the same folds.

    Args:
        labels: (N,) class of each clip; of several, the rarest (as in `splits`).
        folds: 2 or more, and no more than there are groups.
        repeats: divisions, 1 or more.
        seed: 0 or more.
        groups: (N,) labels of clips that stay together, as in `groups`; None: each clip is alone.

    Raises:
        ValueError: there are fewer groups than folds, or fewer than two folds.
    """
    classes = np.unique(np.asarray(labels), return_inverse=True)[1]
    together = alone(len(classes)) if groups is None else np.asarray(groups)
    of_group = np.unique(together, return_inverse=True)[1]
    number = int(of_group.max(initial=-1)) + 1
    if folds < 2 or number < folds:
        raise ValueError(f"{number} groups of clips cannot be divided into {folds} folds")
    inside = np.zeros((number, int(classes.max()) + 1), dtype=np.int64)
    np.add.at(inside, (of_group, classes), 1)
    found = [
        _divide(inside, folds, np.random.default_rng([seed, repetition]))[of_group]
        for repetition in range(repeats)
    ]
    return np.stack(found)


def most_folds(labels: Sequence[int], groups: np.ndarray | None = None) -> int:
    """Give the most folds of which each can have every class: the groups of the thinnest class."""
    together = alone(len(labels)) if groups is None else np.asarray(groups)
    pairs = np.unique(np.stack([np.asarray(labels), together]), axis=1)
    return int(np.unique(pairs[0], return_counts=True)[1].min())


def _divide(inside: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Give the fold of each group, whose clips by class are the rows of `inside` (G, K)."""
    shuffled = rng.permutation(len(inside))
    # The largest come first, while there is room to even out; then class by class.
    order = shuffled[np.lexsort((inside[shuffled].argmax(1), -inside[shuffled].sum(1)))]
    share = 1.0 / inside.sum(axis=0)
    has = np.zeros((folds, inside.shape[1]), dtype=np.int64)
    fold = np.empty(len(inside), dtype=np.int64)
    for group in order:
        crowded = np.round(has @ (inside[group] * share), 9)
        chosen = np.lexsort((rng.permutation(folds), has.sum(axis=1), crowded))[0]
        fold[group] = chosen
        has[chosen] += inside[group]
    return fold
