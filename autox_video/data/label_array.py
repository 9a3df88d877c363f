"""Convert the labels of clips to arrays."""

from collections.abc import Sequence

import numpy as np


def label_array(labels: Sequence[int] | Sequence[tuple[int, ...]], num_classes: int) -> np.ndarray:
    """Return class indices (N,) int64 or, for multi-label data, 0/1 vectors (N, K) float32."""
    if len(labels) and isinstance(labels[0], tuple):
        return class_rows(labels, num_classes)
    return np.array(labels, dtype=np.int64)


def class_rows(labels: Sequence[int] | Sequence[tuple[int, ...]], num_classes: int) -> np.ndarray:
    """Return 0/1 vectors, (N, K) float32, with a 1 for each of the clip's classes."""
    rows = np.zeros((len(labels), num_classes), dtype=np.float32)
    for row, label in zip(rows, labels, strict=True):
        row[list(label) if isinstance(label, tuple) else label] = 1.0
    return rows
