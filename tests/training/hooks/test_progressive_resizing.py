"""Smaller clips in the first part of training."""

import pytest

from autox_video.data.loading.preprocess import ClipPreprocessor
from autox_video.training.interrupt import Stopped
from autox_video.training.run_training import train
from tests.training.tiny import everything, stop_after, tiny_config

pytestmark = pytest.mark.slow


@pytest.fixture
def sides(monkeypatch):
    """The sides of all training batches that models get, in order."""
    seen, forward = [], ClipPreprocessor.forward

    def watched(self, data, training=False):
        out = forward(self, data, training)
        if training:
            seen.append(out["inputs"].shape[-1])
        return out

    monkeypatch.setattr(ClipPreprocessor, "forward", watched)
    return seen


def small_first(clips, folder, **keys):
    config = tiny_config(clips, folder, resolution=84, progressive="on", **keys)
    (hook,) = (hook for hook in config.custom_hooks if hook["type"] == "ProgressiveResizing")
    assert (hook["short_side"], hook["steps_share"]) == (56, 0.5)
    return config


def test_the_first_half_of_the_steps_is_on_smaller_clips(clips, tmp_path, sides):
    train(small_first(clips, tmp_path, epoch=3))
    assert sides == [56] * 5 + [84] * 4


def test_a_run_that_goes_on_does_the_same(clips, tmp_path, sides, monkeypatch):
    train(small_first(clips, tmp_path / "whole", epoch=2))
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stopped):
            train(small_first(clips, tmp_path / "stopped", epoch=2))
    train(small_first(clips, tmp_path / "stopped", epoch=2))
    assert sides[:6] == sides[6:] == [56] * 3 + [84] * 3
    assert everything(tmp_path / "stopped") == everything(tmp_path / "whole")


def test_off_is_off(clips, tmp_path):
    config = tiny_config(clips, tmp_path, resolution=84, progressive="off")
    assert "ProgressiveResizing" not in {hook["type"] for hook in config.custom_hooks}
