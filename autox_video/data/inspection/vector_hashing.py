"""Find pairs of vectors with high cosine similarity, without comparing all pairs.

The method is locality-sensitive hashing: each bit of a key says on which side of a random plane a
vector lies (Charikar, "Similarity estimation techniques from rounding algorithms", 2002, section
3); only vectors with equal keys are compared.

Shape legend: N vectors, D dimensions, P pairs, G planes.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

Vectors = Callable[[np.ndarray], np.ndarray]
"""A function that returns the vectors (n, D) float32 of the items with the given numbers (n,)."""

CHUNK = 512
"""Number of items whose vectors are computed at a time."""


def in_chunks(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return `function(rows)`, computed on CHUNK rows at a time to save memory."""
    starts = range(0, max(len(rows), 1), CHUNK)
    return np.concatenate([function(rows[start : start + CHUNK]) for start in starts])


_TABLES, _TABLES_AT_A_TIME = 32, 8
_NEIGHBOURS = 8  # how many items with the same key each item is compared with, per table


def near_pairs(vectors: Vectors, items: np.ndarray) -> Iterator[np.ndarray]:
    """Yield pairs (P, 2) of items (N,) that are probably similar; a pair may be repeated.

    The search takes O(N log N) time and about 100 bytes of memory per item. Pairs just above the
    similarity threshold are occasionally missed.
    """
    for key, order in _tables(vectors, items):
        for step in range(1, min(_NEIGHBOURS, len(items) - 1) + 1):
            near = key[order[:-step]] == key[order[step:]]
            yield items[np.stack([order[:-step][near], order[step:][near]], axis=1)]


def _tables(vectors: Vectors, items: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each hash table, yield the keys of the items, and an order in which equal keys are
    adjacent.

    Items with equal keys are ordered by their keys in another hash table.
    """
    if len(items) < 2:
        return
    dimensions = vectors(items[:1]).shape[1]
    # With about four times as many keys as items, chance collisions and separated copies are rare.
    bits = min(max(math.ceil(math.log2(len(items))) + 2, 8), 24)
    rng = np.random.default_rng(0)
    for _ in range(_TABLES // _TABLES_AT_A_TIME):
        planes = rng.standard_normal((dimensions, _TABLES_AT_A_TIME * bits), dtype=np.float32)
        keys = np.empty((_TABLES_AT_A_TIME, len(items)), dtype=np.uint32)
        for start in range(0, len(items), CHUNK):
            chosen = items[start : start + CHUNK]
            keys[:, start : start + CHUNK] = _keys(vectors(chosen), planes, bits)
        for number, key in enumerate(keys):
            next_key = keys[(number + 1) % len(keys)]
            yield key, np.argsort(key.astype(np.uint64) << np.uint64(32) | next_key, kind="stable")


def _keys(vectors: np.ndarray, planes: np.ndarray, bits: int) -> np.ndarray:
    """Return the keys (tables, N) of vectors (N, D) for planes (D, G)."""
    sides = (vectors @ planes > 0).reshape(len(vectors), -1, bits)
    return (sides @ (np.uint32(1) << np.arange(bits, dtype=np.uint32))).T
