"""The file of an ensemble in both formats."""

import pytest
import torch

from autox_video.backbones.weights.reading import read_weights
from autox_video.core.errors import CheckpointError
from autox_video.training.checkpoints.checkpoint import (
    SCHEMA,
    read_checkpoint,
    read_meta,
    write_best,
)
from autox_video.training.checkpoints.members import Member, joined, members_of

MAIN = Member({"name": "main"}, {"backbone.a": torch.ones(2), "cls_head.b": torch.zeros(3)}, 0.6)
OTHER = Member({"name": "other"}, {"backbone.a": torch.full((4,), 2.0)}, 0.4, 1.5)


def write(folder):
    write_best(folder, {"schema": SCHEMA, **joined([MAIN, OTHER], {"metrics": {"top1": 0.5}})})


@pytest.mark.parametrize("name", ["best.pth", "best.safetensors"])
def test_both_formats_hold_all_members(tmp_path, name):
    write(tmp_path)
    state = read_checkpoint(tmp_path / name)
    found = members_of(state, name)
    assert [one.record for one in found] == [MAIN.record, OTHER.record]
    assert [(one.share, one.temperature) for one in found] == [(0.6, 1.0), (0.4, 1.5)]
    for one, wanted in zip(found, (MAIN, OTHER), strict=True):
        assert one.state.keys() == wanted.state.keys()
        assert all(torch.equal(one.state[key], wanted.state[key]) for key in wanted.state)
    assert read_meta(tmp_path / name)["metrics"] == {"top1": 0.5}


@pytest.mark.parametrize("name", ["best.pth", "best.safetensors"])
def test_other_readers_find_the_main_model(tmp_path, name):
    write(tmp_path)
    tensors = read_weights(tmp_path / name, as_named=True).tensors
    assert tensors.keys() == MAIN.state.keys()


def test_a_plain_checkpoint_has_one_member():
    state = {"state_dict": dict(MAIN.state), "meta": {"record": {"name": "main"}}}
    (found,) = members_of(state, "best.pth")
    assert (found.share, found.temperature, found.record) == (1.0, 1.0, {"name": "main"})


def test_a_missing_entry_is_named(tmp_path):
    state = joined([MAIN, OTHER], {})
    del state["members"][0]["share"]
    with pytest.raises(CheckpointError, match="best.pth: the entries of the ensemble"):
        members_of(state, "best.pth")
