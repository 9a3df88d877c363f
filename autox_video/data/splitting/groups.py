"""Groups of clips as labels (N,): the label of a clip is the row of the first clip in its group."""

from collections.abc import Hashable, Iterable

import numpy as np


def alone(count: int) -> np.ndarray:
    """Return group labels (N,) int64 for `count` clips, with one clip in each group."""
    return np.arange(count, dtype=np.int64)


def same(keys: Iterable[Hashable]) -> np.ndarray:
    """Group clips with equal keys; a clip whose key is None is its own group."""
    first: dict[Hashable, int] = {}
    labels = [
        number if key is None else first.setdefault(key, number) for number, key in enumerate(keys)
    ]
    return np.array(labels, dtype=np.int64)


def same_digest(digests: np.ndarray) -> np.ndarray:
    """Group clips with equal digests (N, D) uint8; a digest of zeros matches no other digest."""
    return same(digest if any(digest) else None for digest in map(bytes, digests))


def join(labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """For each pair of clips in `pairs` (P, 2), merge the groups that contain them."""
    if not len(pairs):
        return labels.copy()
    # Importing scipy takes half a second; mistakes in a list should be reported without that delay.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([pairs.T, [alone(len(labels)), labels]], axis=1)
    graph = coo_array((np.ones(edges.shape[1], dtype=bool), edges), shape=(len(labels),) * 2)
    _, first, group = np.unique(
        connected_components(graph, directed=False)[1], return_index=True, return_inverse=True
    )
    return first[group]


def either(labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Group clips that are in the same group according to `labels` or `others`."""
    return join(labels, np.stack([alone(len(others)), others], axis=1))


def members(labels: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each group of two or more clips, ordered by the groups' first clips."""
    order = np.argsort(labels, kind="stable")
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    return [group for group in np.split(order, ends) if len(group) > 1]
