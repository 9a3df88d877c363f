"""A GPU whose memory is not enough: steps in parts, found out before training and within it."""

from contextlib import contextmanager

import pytest
import torch

from autox_video.core.errors import ResourceError
from autox_video.training.measure import measure, parts_that_fit
from autox_video.training.memory import read_accumulation
from autox_video.training.run_training import train
from tests.training.tiny import events, tiny_config

KEYS = {"backbone": "swin_nano", "clip_len": 16, "resolution": 112, "precision": "float32"}


def needed(config, clips):
    """Bytes that a step on so many clips takes."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    assert parts_that_fit(config, clips) == 1
    return torch.cuda.max_memory_reserved()


@contextmanager
def limited(bytes_at_most):
    """Within the block this process may take no more of the GPU's memory."""
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(bytes_at_most / whole)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.fixture
def config(clips, tmp_path, hardware, cuda):
    return tiny_config(clips, tmp_path, hardware=hardware, videos_per_gpu=9, epoch=1, **KEYS)


def test_the_parts_that_fit_are_found_by_trying(config):
    with limited(needed(config, 64) * 0.7):
        assert parts_that_fit(config, 64) in (2, 4)
    with limited(needed(config, 1) * 0.2), pytest.raises(ResourceError, match="Not even one clip"):
        parts_that_fit(config, 64)


def test_what_does_not_fit_is_done_in_parts_and_gives_the_same(config, tmp_path, capsys):
    train(config)
    whole = [event["loss"] for event in events(tmp_path, "train")]
    config.work_dir = str(tmp_path / "small")
    with limited(needed(config, 9) * 0.7):
        train(config)
    assert "parts (gradient accumulation)" in capsys.readouterr().err
    assert read_accumulation(tmp_path / "small") in (2, 4)
    assert [e["loss"] for e in events(tmp_path / "small", "train")] == pytest.approx(
        whole, rel=1e-3
    )


def test_speeds_are_measured_on_the_gpu(clips, tmp_path, hardware):
    speeds = measure(tiny_config(clips, tmp_path, hardware=hardware))
    assert 1e-5 < speeds.step_sec < 10 and 1e-6 < speeds.view_sec < 10
