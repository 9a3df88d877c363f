"""Exponential moving average (EMA) of the weights, used in evaluations."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from autox_video.training.checkpoints.model_state import unwrapped


@HOOKS.register_module()
class WeightEMA(Hook):
    """Track an EMA of the weights over the training steps, and use it in every evaluation.

    After step t, average += (1 - d) (weights - average) with d = min(decay, (1 + t) / (10 + t)).
    The small d in the first steps reduces the influence of the initial weights. best.pth contains
    the average; latest.pth contains both the weights and the average.

    Args:
        decay: EMA decay, between 0 and 1.
    """

    priority = "NORMAL"  # before the checkpoint hook, which loads and saves

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.average: dict[str, Tensor] = {}
        self.stands_in = False
        self.is_paused = False

    def before_train(self, runner) -> None:
        self.model = runner.model
        named = unwrapped(runner.model).named_parameters()
        self.weights = {name: weight for name, weight in named if weight.requires_grad}

    @torch.no_grad()
    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Update the moving average."""
        if not self.average:
            self.average = {name: w.detach().clone() for name, w in self.weights.items()}
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        weights = [self.weights[name] for name in self.average]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)
        self.steps += 1

    def before_val(self, runner) -> None:
        self._swap()

    def after_val(self, runner) -> None:
        self._swap()

    def save_state(self, runner) -> None:
        """Use the trained weights, not the average, for a checkpoint saved during an evaluation."""
        self.is_paused = self.stands_in
        if self.is_paused:
            self._swap()

    def after_save_state(self, runner) -> None:
        if self.is_paused:
            self._swap()

    def state_dict(self) -> dict[str, Any]:
        """Return the average and the number of steps that have been averaged."""
        average = {name: _whole(value) for name, value in self.average.items()}
        return {"steps": self.steps, "average": average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a state returned by `state_dict`, and shard the average like the current weights."""
        self.steps = state["steps"]
        average = state["average"].items()
        self.average = {
            name: _sharded_as(self.weights[name], value)
            for name, value in average
            if name in self.weights  # an older checkpoint may also contain frozen weights
        }

    @torch.no_grad()
    def _swap(self) -> None:
        self.stands_in = not self.stands_in
        for module in self.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # otherwise it would use its gathered copy of the old weights
        for name, average in self.average.items():
            weight = self.weights[name]
            before = weight.detach().clone()
            weight.copy_(average)
            average.copy_(before)


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def _sharded_as(weight: nn.Parameter, value: Tensor) -> Tensor:
    """Return a copy of a full tensor, with the same device and sharding as the weight."""
    value = value.to(weight.device, copy=True)
    if isinstance(weight, DTensor):
        return distribute_tensor(value, weight.device_mesh, weight.placements)
    return value
