"""Clips that belong together, as labels (N,): the number of the first clip of each one's group."""

from collections.abc import Hashable, Iterable

import numpy as np


def alone(count: int) -> np.ndarray:
    """Give (N,) int64 labels of `count` clips of which none belongs to another."""
    return np.arange(count, dtype=np.int64)


def same(keys: Iterable[Hashable]) -> np.ndarray:
    """Give the labels of clips of which those with equal keys belong together; None to no other."""
    first: dict[Hashable, int] = {}
    labels = [
        number if key is None else first.setdefault(key, number) for number, key in enumerate(keys)
    ]
    return np.array(labels, dtype=np.int64)


def same_digest(digests: np.ndarray) -> np.ndarray:
    """Give the labels of clips of equal content, by (N, D) uint8; zeros are equal to nothing."""
    return same(digest if any(digest) else None for digest in map(bytes, digests))


def join(labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Give the labels once each pair, a row of (P, 2) clip numbers, belongs together too."""
    if not len(pairs):
        return labels.copy()
    # Takes half a second to import, which a mistake in a list is not to wait for.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([pairs.T, [alone(len(labels)), labels]], axis=1)
    graph = coo_array((np.ones(edges.shape[1], dtype=bool), edges), shape=(len(labels),) * 2)
    _, first, group = np.unique(
        connected_components(graph, directed=False)[1], return_index=True, return_inverse=True
    )
    return first[group]


def either(labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Give the labels of clips that belong together if they do by the ones, or by the others."""
    return join(labels, np.stack([alone(len(others)), others], axis=1))


def members(labels: np.ndarray) -> list[np.ndarray]:
    """Give the clip numbers of each group of two clips or more, in order of their first clips."""
    order = np.argsort(labels, kind="stable")
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    return [group for group in np.split(order, ends) if len(group) > 1]
