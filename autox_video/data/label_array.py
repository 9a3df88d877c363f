"""Labels of clips as arrays."""

from collections.abc import Sequence

import numpy as np


def label_array(labels: Sequence[int] | Sequence[tuple[int, ...]], num_classes: int) -> np.ndarray:
    """Class indices (N,) int64; of clips with any number of classes, 0 and 1 (N, K) float32."""
    if len(labels) and isinstance(labels[0], tuple):
        return class_rows(labels, num_classes)
    return np.array(labels, dtype=np.int64)


def class_rows(labels: Sequence[int] | Sequence[tuple[int, ...]], num_classes: int) -> np.ndarray:
    """(N, K) float32: 1 where a clip is of a class, else 0."""
    rows = np.zeros((len(labels), num_classes), dtype=np.float32)
    for row, label in zip(rows, labels, strict=True):
        row[list(label) if isinstance(label, tuple) else label] = 1.0
    return rows
