"""Repeated, stratified, grouped k-fold splits for cross-validation."""

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
    """Return the fold of each clip (0..folds-1) in each repetition, as an array (R, N).

    Folds are stratified: without groups, the clip counts of a class differ by at most one between
    folds. The clips of a group are always in the same fold. Each repetition draws its folds at
    random, but the same arguments always give the same folds.

    Args:
        labels: class of each clip (N,); the rarest class if a clip has several.
        folds: number of folds, at least 2 and at most the number of groups.
        repeats: number of repetitions, 1 or more.
        seed: random seed, 0 or more.
        groups: group labels (N,) of clips that stay together (see the module `groups`); None: each
            clip is its own group.

    Raises:
        ValueError: there are fewer groups than folds, or fewer than two folds.
    """
    classes = np.unique(labels, return_inverse=True)[1]
    groups = np.unique(alone(len(classes)) if groups is None else groups, return_inverse=True)[1]
    count = int(groups.max(initial=-1)) + 1
    if folds < 2 or count < folds:
        raise ValueError(f"{count} groups of clips cannot be split into {folds} folds")
    clips = np.zeros((count, int(classes.max()) + 1), dtype=np.int64)
    np.add.at(clips, (groups, classes), 1)
    streams = [np.random.default_rng([seed, repetition]) for repetition in range(repeats)]
    return np.stack([_fold_of_groups(clips, folds, rng)[groups] for rng in streams])


def _fold_of_groups(clips: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each group, given the clip counts (G, K) by group and class."""
    shuffled = rng.permutation(len(clips))
    # The largest groups come first, since smaller ones can then even out the folds; groups of equal
    # size are ordered by class.
    order = shuffled[np.lexsort((clips[shuffled].argmax(1), -clips[shuffled].sum(1)))]
    of_class = 1.0 / clips.sum(axis=0)
    has = np.zeros((folds, clips.shape[1]), dtype=np.int64)
    fold = np.empty(len(clips), dtype=np.int64)
    for group in order:
        crowded = np.round(has @ (clips[group] * of_class), 9)
        fold[group] = np.lexsort((rng.permutation(folds), has.sum(axis=1), crowded))[0]
        has[fold[group]] += clips[group]
    return fold
