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
        labels: (N,) class of each clip; of several, the rarest.
        folds: 2 or more, and no more than there are groups.
        repeats: divisions, 1 or more.
        seed: 0 or more.
        groups: (N,) labels of clips that stay together, as in `groups`; None: each clip is alone.

    Raises:
        ValueError: there are fewer groups than folds, or fewer than two folds.
    """
    classes = np.unique(labels, return_inverse=True)[1]
    groups = np.unique(alone(len(classes)) if groups is None else groups, return_inverse=True)[1]
    count = int(groups.max(initial=-1)) + 1
    if folds < 2 or count < folds:
        raise ValueError(f"{count} groups of clips cannot be divided into {folds} folds")
    clips = np.zeros((count, int(classes.max()) + 1), dtype=np.int64)
    np.add.at(clips, (groups, classes), 1)
    streams = [np.random.default_rng([seed, repetition]) for repetition in range(repeats)]
    return np.stack([_fold_of_groups(clips, folds, rng)[groups] for rng in streams])


def _fold_of_groups(clips: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Give the fold of each group, by its clips of each class (G, K)."""
    shuffled = rng.permutation(len(clips))
    # The largest come first, while there is room to even out; then class by class.
    order = shuffled[np.lexsort((clips[shuffled].argmax(1), -clips[shuffled].sum(1)))]
    of_class = 1.0 / clips.sum(axis=0)
    has = np.zeros((folds, clips.shape[1]), dtype=np.int64)
    fold = np.empty(len(clips), dtype=np.int64)
    for group in order:
        crowded = np.round(has @ (clips[group] * of_class), 9)
        fold[group] = np.lexsort((rng.permutation(folds), has.sum(axis=1), crowded))[0]
        has[fold[group]] += clips[group]
    return fold
