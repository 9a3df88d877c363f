import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from safetensors.torch import save_file

from autox_video.backbones.weights.loading import load_pretrained
from autox_video.backbones.weights.reading import read_weights
from autox_video.core.errors import CheckpointError
from tests.backbones.weights.weight_files import random_state, recogniser, save


def test_a_training_checkpoint_of_mmengine_is_read_without_its_log(tmp_path):
    hub = MessageHub.get_instance("weights_test")
    hub.update_scalar("train/loss", np.float64(1.5))
    hub.update_info("epoch", np.int64(3))
    content = {"message_hub": hub.state_dict(), "meta": {}, "state_dict": random_state()}
    path, allowed = save(tmp_path, content), set(torch.serialization.get_safe_globals())
    assert load_pretrained(recogniser(), path).layout == "mmaction2"
    assert set(torch.serialization.get_safe_globals()) == allowed


class Intruder:
    """Makes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_never_run(tmp_path, legacy):
    mark = tmp_path / "mark"
    content = {"state_dict": random_state(), "meta": Intruder(mark)}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="not loaded, as reading it would run code"):
        read_weights(tmp_path / "w.pth")
    assert not mark.exists()


def test_weights_that_are_not_numbers_are_refused(tmp_path):
    state = random_state()
    state["backbone.norm1.weight"][3] = float("nan")
    path = save(tmp_path, {"state_dict": state})
    with pytest.raises(CheckpointError, match=r"NaN or infinity \(first: backbone.norm1.weight\)"):
        read_weights(path)


def test_weights_that_are_no_floats_are_refused(tmp_path):
    state = random_state()
    state["backbone.layers.0.blocks.0.mlp.fc1.weight"] = torch.ones(48, 12, dtype=torch.int8)
    path = save(tmp_path, {"state_dict": state})
    with pytest.raises(CheckpointError, match=r"fc1\.weight has dtype int8 .*not quantised"):
        read_weights(path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(tmp_path, suffix, kept):
    whole = tmp_path / f"whole.{suffix}"
    if suffix == "pth":
        torch.save({"state_dict": random_state()}, whole)
    else:
        save_file(random_state(), whole)
    part = tmp_path / f"part.{suffix}"
    part.write_bytes(whole.read_bytes()[: int(kept * whole.stat().st_size)])
    with pytest.raises(CheckpointError, match=f"part.{suffix}: damaged or not a weight file"):
        read_weights(part)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_random_bytes_and_other_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"weights.{suffix}"
    generator = np.random.RandomState(0)
    contents = [generator.bytes(size) for size in (1, 7, 64, 1000) for _ in range(25)]
    contents += [b"<!DOCTYPE html><html>Not Found</html>", b"version https://git-lfs", b"\x80\x02."]
    contents += [struct.pack("<Q", 1 << 60) + b"{}", pickle.dumps({"state_dict": 1}), b"PK\x03\x04"]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            read_weights(path)


def test_a_cut_off_download_of_a_known_file_says_where_to_get_it(tmp_path):
    path = tmp_path / "swin3d_t-7615ae03.pth"
    path.write_bytes(b"PK\x03\x04" + bytes(2**20))
    with pytest.raises(CheckpointError, match=r"1\.0 MiB of about 122.*https://download\.pytorch"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "contains a list, not weights"),
        ({}, "contains a dict, not weights"),
        ({"state_dict": {"a": 1}}, "'a' is not a tensor"),
        (
            {"conv1.weight": torch.zeros(3)},
            "does not contain a Swin in a known layout .*conv1.weight",
        ),
        ({"model": {"layers.0.blocks.0.attn.cpb_mlp.0.bias": torch.zeros(3)}}, "a Swin v2"),
    ],
)
def test_other_content_is_named(tmp_path, content, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        read_weights(save(tmp_path, content))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    folder = (tmp_path, "is a folder; set load_from")
    for path, what in ((tmp_path / "none.pth", "there is no such"), folder):
        with pytest.raises(CheckpointError, match=f"{what}.* weight file"):
            read_weights(path)
