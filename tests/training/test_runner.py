"""The work dir's log, and where the model is."""

import os
from types import SimpleNamespace

import pytest
from mmaction.registry import MODELS
from mmengine.registry import DefaultScope

from autox_video.core.errors import CheckpointError
from autox_video.distributed import processes
from autox_video.training import runner
from autox_video.training.run_training import train
from autox_video.training.runner import ClipRunner
from tests.training.tiny import tiny_config


def test_a_model_is_cut_up_before_it_goes_to_a_device(clips, tmp_path, monkeypatch):
    """All of it may not fit there. The device that holds nothing stands for one that is small."""
    config = tiny_config(clips, tmp_path)
    config.update(device="meta", strategy="fsdp")
    seen = []

    def shard(model, device_type):
        seen.extend((device_type, weight.device.type) for weight in model.parameters())
        return model

    monkeypatch.setattr(runner, "shard", shard)
    monkeypatch.setattr(processes, "current", lambda: processes.Processes(1, 2, 1, 2))
    with DefaultScope.overwrite_default_scope("mmaction"):
        model = MODELS.build(config.model)
    wrapped = ClipRunner.wrap_model(SimpleNamespace(cfg=config), None, model)
    assert {*seen} == {("meta", "cpu")}
    assert next(wrapped.parameters()).device.type == "meta"


def open_files():
    folder = "/proc/self/fd"
    return sum(os.path.exists(f"{folder}/{number}") for number in os.listdir(folder))


@pytest.mark.slow
def test_trainings_leave_no_file_open_and_their_logs_are_their_own(clips, tmp_path):
    train(tiny_config(clips, tmp_path / "0", epoch=1))
    before, log = open_files(), (tmp_path / "0" / "train.log").read_text()
    for name in ("1", "2"):
        train(tiny_config(clips, tmp_path / name, epoch=1))
    (tmp_path / "bad").mkdir()
    for name in ("latest.pth", "previous.pth"):
        (tmp_path / "bad" / name).write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError):
        train(tiny_config(clips, tmp_path / "bad", epoch=1))
    assert open_files() == before
    assert (tmp_path / "0" / "train.log").read_text() == log
    assert str(tmp_path / "2") in (tmp_path / "2" / "train.log").read_text()
