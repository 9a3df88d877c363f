"""Frozen stages in training: their weights never change, and a run resumes as it was."""

import pytest
import torch

from autox_video.backbones.weights.known_weights import Pretrained
from autox_video.training import interrupt
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from autox_video.training.run_training import train
from tests.backbones.weights.weight_files import weights_file
from tests.training.tiny import everything, same, stop_after, tiny_config, weights

pytestmark = pytest.mark.slow


@pytest.fixture
def keys(tmp_path):
    path = weights_file(tmp_path / "w" / "nano.pth", "conv_nano")
    values = {"warmup_epochs": 0.5, "layer_decay": 0.8, "weight_decay": 0.1, "ema": 0.9}
    values |= {"label_smoothing": 0.1, "augment": "strong", "augment_strength": 0.5}
    return {"pretrained": Pretrained(str(path), "conv_nano", "mine"), "epoch": 2, **values}


@pytest.mark.parametrize(("freeze", "prefix"), [(2, ("stem", "stages.0", "stages.1")), ("all", "")])
def test_frozen_weights_stay_and_the_optimizer_knows_nothing_of_them(
    clips, tmp_path, keys, freeze, prefix
):
    train(tiny_config(clips, tmp_path / "run", freeze=freeze, **keys))
    before = torch.load(keys["pretrained"].path)["state_dict"]
    state = read_checkpoint(tmp_path / "run" / "latest.pth")
    best, trained = weights(tmp_path / "run" / "best.pth"), 0
    for name, weight in state["state_dict"].items():
        if name.startswith("backbone.") and name[9:].startswith(prefix):
            assert torch.equal(weight, before[name]), name
            assert torch.equal(best[name], before[name]), name
        else:
            trained += 1
            assert name.startswith("cls_head") or not torch.equal(weight, before[name]), name
    assert len(state["optimizer"]["state"]) == trained
    assert sum(len(group["params"]) for group in state["optimizer"]["param_groups"]) == trained


def test_a_stopped_run_with_frozen_stages_is_the_run_that_was_not(
    clips, tmp_path, monkeypatch, keys
):
    def config(name):
        return tiny_config(clips, tmp_path / name, freeze=2, drop_path=0.3, **keys)

    train(config("whole"))
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(interrupt.Stopped):
            train(config("stopped"))
    train(config("stopped"))
    assert everything(tmp_path / "stopped") == everything(tmp_path / "whole")
    assert same(weights(tmp_path / "stopped/best.pth"), weights(tmp_path / "whole/best.pth"))
