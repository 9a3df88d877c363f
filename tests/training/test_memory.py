"""Running out of memory."""

import pytest
import torch

from autox_video.training.memory import (
    MEMORY,
    is_out_of_memory,
    read_accumulation,
    write_accumulation,
)


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_running_out_of_memory(error, is_it):
    assert is_out_of_memory(error) is is_it


def test_a_real_allocation_that_fails_counts():
    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(error.value)


def test_it_is_remembered(tmp_path):
    assert read_accumulation(tmp_path) is None
    write_accumulation(tmp_path, 8, "this GPU")
    assert read_accumulation(tmp_path) == read_accumulation(tmp_path, "this GPU") == 8
    assert read_accumulation(tmp_path, "another GPU") is None
    write_accumulation(tmp_path, 16)
    assert read_accumulation(tmp_path, "this GPU") == 16


@pytest.mark.parametrize(
    "text", ["", "8", "[]", "[" * 100_000, '{"accumulation": "8"}', '{"accumulation": -1}']
)
def test_what_is_not_ours_counts_for_nothing(tmp_path, text):
    (tmp_path / MEMORY).write_text(text)
    assert read_accumulation(tmp_path) is None
    assert read_accumulation(tmp_path, "this GPU") is None
