"""Speeds are measured on the real clips and the real model."""

import numpy as np
import pytest
import torch

from autox_video.backbones.video_conv.model import VideoConv
from autox_video.core.errors import ResourceError
from autox_video.training import measure as measuring
from autox_video.training.measure import measure, parts_that_fit
from tests.training.tiny import tiny_config


@pytest.mark.slow
def test_both_speeds_are_measured_and_nothing_is_left(clips, tmp_path):
    state = torch.random.get_rng_state()
    speeds = measure(tiny_config(clips, tmp_path / "w"))
    assert 1e-5 < speeds.read_sec < 1 and 1e-4 < speeds.step_sec < 10
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_short_trainings_are_measured_for_a_short_time(clips, tmp_path, monkeypatch):
    config = tiny_config(clips, tmp_path)
    done = []
    step = measuring._NoiseTrained.step
    counted = lambda *args: done.append(0) or step(*args)  # noqa: E731
    monkeypatch.setattr(measuring._NoiseTrained, "step", counted)
    config.train_cfg.max_epochs = 1
    assert measure(config) is not None
    assert len(done) <= 2 + 1 + measuring.STEPS  # small ones, a first large one, and those timed
    done.clear()
    config.train_cfg.max_epochs = 100_000
    assert measure(config) is not None
    assert len(done) > 2 + 1 + measuring.STEPS


@pytest.mark.slow
def test_slow_reading_is_seen(clips, tmp_path, monkeypatch):
    seconds = iter(np.arange(0, 100, 0.5))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(seconds))
    assert measure(tiny_config(clips, tmp_path)).read_sec == pytest.approx(0.5)


def test_without_a_readable_clip_nothing_is_measured(clips, tmp_path):
    config = tiny_config(clips, tmp_path)
    config.train_dataloader.dataset.data_root = str(tmp_path)
    assert measure(config) is None


def test_a_model_that_does_not_fit_on_one_device_is_not_measured(clips, tmp_path, monkeypatch):
    only(monkeypatch, 0)
    assert measure(tiny_config(clips, tmp_path)) is None


@pytest.mark.parametrize(("fit", "parts"), [(9, 1), (8, 1), (5, 2), (2, 4), (1, 8)])
def test_the_parts_that_fit_are_found_by_trying(clips, tmp_path, monkeypatch, fit, parts):
    only(monkeypatch, fit)
    state = torch.random.get_rng_state()
    assert parts_that_fit(tiny_config(clips, tmp_path), 8) == parts
    assert torch.equal(torch.random.get_rng_state(), state)


def test_where_nothing_fits_it_says_what_to_do(clips, tmp_path, monkeypatch):
    only(monkeypatch, 0)
    with pytest.raises(ResourceError, match="Not even one clip fits"):
        parts_that_fit(tiny_config(clips, tmp_path), 3)


def only(monkeypatch, fit):
    """Let no more than `fit` clips be computed at a time."""
    forward = VideoConv.forward

    def guarded(model, batch):
        if len(batch) > fit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(model, batch)

    monkeypatch.setattr(VideoConv, "forward", guarded)
