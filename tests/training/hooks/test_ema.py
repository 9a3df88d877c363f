"""The moving average of the weights."""

import pytest
import torch

from autox_video.training import interrupt
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from autox_video.training.hooks.ema import WeightEMA
from autox_video.training.run_training import train
from tests.training.tiny import everything, same, stop_after, tiny_config, weights


class Runner:
    def __init__(self):
        self.model = torch.nn.Linear(2, 1)


def averaged(values, decay):
    """The average over `values` by its definition."""
    average = values[0]
    for step, value in enumerate(values):
        d = min(decay, (1 + step) / (10 + step))
        average = d * average + (1 - d) * value
    return average


def test_the_average_is_that_of_its_definition():
    runner, hook = Runner(), WeightEMA(0.6)
    hook.before_train(runner)
    values = [torch.randn(1, 2) for _ in range(12)]
    for step, value in enumerate(values):
        runner.model.weight.data.copy_(value)
        hook.after_train_iter(runner, step)
    expected = averaged(values, 0.6)
    assert torch.allclose(hook.average["weight"], expected, atol=1e-6)
    hook.before_val(runner)
    assert torch.allclose(runner.model.weight, expected, atol=1e-6)
    hook.save_state(runner)
    assert torch.equal(runner.model.weight, values[-1])
    assert torch.allclose(hook.state_dict()["average"]["weight"], expected, atol=1e-6)
    hook.after_save_state(runner)
    assert torch.allclose(runner.model.weight, expected, atol=1e-6)
    hook.after_val(runner)
    assert torch.equal(runner.model.weight, values[-1])
    hook.save_state(runner)
    hook.after_save_state(runner)
    assert torch.equal(runner.model.weight, values[-1])


@pytest.mark.slow
def test_the_average_is_evaluated_and_kept(clips, tmp_path):
    train(tiny_config(clips, tmp_path / "with", epoch=2, ema=0.9))
    train(tiny_config(clips, tmp_path / "without", epoch=2, ema=0))
    one, other = (tmp_path / name for name in ("with", "without"))
    assert same(weights(one / "latest.pth"), weights(other / "latest.pth"))
    best, state = weights(one / "best.pth"), read_checkpoint(one / "latest.pth")
    average = state["hooks"]["WeightEMA"]["average"]
    assert state["meta"]["best"]["epoch"] == 2
    assert all(torch.equal(best[name], average[name]) for name in average)
    assert not same(best, weights(one / "latest.pth"))
    assert "WeightEMA" not in read_checkpoint(other / "latest.pth")["hooks"]


@pytest.mark.parametrize("looks", [2, 5, 9])
@pytest.mark.slow
def test_a_stopped_run_goes_on_with_its_average(clips, tmp_path, monkeypatch, looks):
    """Also where it was stopped among the batches of an evaluation."""
    keys = {"epoch": 2, "ema": 0.9, "evaluation": 1}
    train(tiny_config(clips, tmp_path / "whole", **keys))
    with monkeypatch.context() as patch:
        stop_after(patch, looks=looks)
        with pytest.raises(interrupt.Stopped):
            train(tiny_config(clips, tmp_path / "stopped", **keys))
    train(tiny_config(clips, tmp_path / "stopped", **keys))
    assert everything(tmp_path / "stopped") == everything(tmp_path / "whole")
    assert same(weights(tmp_path / "stopped/best.pth"), weights(tmp_path / "whole/best.pth"))
