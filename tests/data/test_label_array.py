import numpy as np
import pytest

from autox_video.data.label_array import class_rows, label_array


@pytest.mark.parametrize(
    ("labels", "dtype", "expected"),
    [
        ((2, 0), np.int64, [2, 0]),
        (((0, 2), ()), np.float32, [[1, 0, 1], [0, 0, 0]]),
    ],
)
def test_labels_are_indices_or_rows_of_classes(labels, dtype, expected):
    array = label_array(labels, 3)
    assert array.dtype == dtype and array.tolist() == expected


def test_rows_of_single_classes():
    assert class_rows((0, 2, 0), 3).tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]
