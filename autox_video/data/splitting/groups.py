"""Clips that belong together, as labels: the number of the first clip of each one's group."""

from collections.abc import Hashable, Iterable

import numpy as np


def alone(count: int) -> np.ndarray:
    """Give (N,) int64 labels of `count` clips of which none belongs to another."""
    return np.arange(count, dtype=np.int64)


def join(labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Give the labels once each pair, a row of (P, 2) clip numbers, belongs together too."""
    labels = labels.copy()
    while True:
        one, other = labels[pairs[:, 0]], labels[pairs[:, 1]]
        apart = one != other
        if not apart.any():
            return labels
        pairs = pairs[apart]
        higher = np.maximum(one, other)[apart]
        np.minimum.at(labels, higher, np.minimum(one, other)[apart])
        while not np.array_equal(labels, labels[labels]):
            labels = labels[labels]


def same(keys: Iterable[Hashable]) -> np.ndarray:
    """Give the labels of clips of which those with equal keys belong together; None to no other."""
    first: dict[Hashable, int] = {}
    labels = [
        index if key is None else first.setdefault(key, index) for index, key in enumerate(keys)
    ]
    return np.array(labels, dtype=np.int64)


def both(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Give the labels of clips that belong together if they do by the one, or by the other."""
    return join(one, np.stack([alone(len(other)), other], axis=1))


def members(labels: np.ndarray) -> list[np.ndarray]:
    """Give the clip numbers of each group of two clips or more, in order of their first clips."""
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    several = np.flatnonzero(sizes[group] > 1)
    order = several[np.argsort(labels[several], kind="stable")]
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    return [group for group in np.split(order, ends) if len(group)]
