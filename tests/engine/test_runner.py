"""The work dir's log, and where the model is."""

import os

import pytest

from autox_video.engine.train import train
from autox_video.errors import CheckpointError
from tests.engine.tiny import tiny_config


def open_files():
    folder = "/proc/self/fd"
    return sum(os.path.exists(f"{folder}/{number}") for number in os.listdir(folder))


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
