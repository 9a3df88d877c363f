"""Speeds are measured on the real clips and the real model."""

import numpy as np
import pytest
import torch

from autox_video.engine import measure as measuring
from autox_video.engine.measure import measure
from tests.engine.test_loops import clips, tiny_config  # noqa: F401 (a fixture)


def test_both_speeds_are_measured_and_nothing_is_left(clips, tmp_path):  # noqa: F811
    state = torch.random.get_rng_state()
    speeds = measure(tiny_config(clips, tmp_path / "w"))
    assert 1e-5 < speeds.read_sec < 1 and 1e-4 < speeds.step_sec < 10
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not (tmp_path / "w").exists()


def test_slow_reading_is_seen(clips, tmp_path, monkeypatch):  # noqa: F811
    seconds = iter(np.arange(0, 100, 0.5))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(seconds))
    assert measure(tiny_config(clips, tmp_path)).read_sec == pytest.approx(0.5)


def test_without_a_readable_clip_nothing_is_measured(clips, tmp_path):  # noqa: F811
    config = tiny_config(clips, tmp_path)
    config.train_dataloader.dataset.data_root = str(tmp_path)
    assert measure(config) is None
