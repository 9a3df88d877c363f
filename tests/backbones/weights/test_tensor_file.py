"""Trained weights as safetensors: read as they are, refused when damaged."""

import json
import pickle
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autox_video.backbones.weights.tensor_file import is_tensor_file, read_tensor_file
from autox_video.core.errors import CheckpointError
from autox_video.training.checkpoints.checkpoint import read_checkpoint

STATE = {"a.weight": torch.randn(3, 4), "a.steps": torch.tensor(7), "b": torch.zeros(0)}
META = {"metrics": {"top1": 0.5}, "identity": {"backbone": "swin_nano"}, "decoder": None}


def test_tensors_and_meta_come_back(tmp_path):
    path = tmp_path / "best.safetensors"
    save_file(STATE, path, metadata={"meta": json.dumps(META), "format": "pt"})
    for found in (read_tensor_file(path), read_checkpoint(path)):
        assert found["meta"] == META
        assert found["state_dict"].keys() == STATE.keys()
        assert all(torch.equal(found["state_dict"][name], STATE[name]) for name in STATE)


def test_a_file_of_someone_else_has_no_meta(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors")
    assert read_tensor_file(tmp_path / "x.safetensors")["meta"] == {}


def test_a_file_is_told_by_its_name():
    assert is_tensor_file("a/best.safetensors")
    assert not is_tensor_file("a.safetensors/best.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no\.safetensors: there is no such checkpoint"):
        read_tensor_file(tmp_path / "no.safetensors")


@pytest.mark.parametrize("meta", ["{", "[1]", "1", "[" * 100_000, '"\\ud800'])
def test_meta_that_is_no_object_is_refused(tmp_path, meta):
    save_file(STATE, tmp_path / "x.safetensors", metadata={"meta": meta})
    with pytest.raises(CheckpointError, match=r"x\.safetensors: "):
        read_tensor_file(tmp_path / "x.safetensors")


def test_damage_of_every_kind_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(STATE, path)
    whole = path.read_bytes()
    contents = [whole[: int(len(whole) * part)] for part in (0, 0.01, 0.3, 0.9, 0.999)]
    contents += [np.random.RandomState(0).bytes(size) for size in (1, 7, 64, 1000)]
    contents += [pickle.dumps({"state_dict": 1}), struct.pack("<Q", 1 << 60) + b"{}", bytes(100)]
    contents += [b"PK\x03\x04" + whole, whole + b"more"]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged or not a safetensors file"):
            read_tensor_file(path)
