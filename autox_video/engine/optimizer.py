"""The optimizer: its groups, clipping without waiting for a GPU, loss scaling for float16."""

from typing import Any

import autox_video.mm_compat  # noqa: F401

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer


@OPTIM_WRAPPERS.register_module()
class ClipOptimWrapper(OptimWrapper):
    """mmengine's wrapper, with what its `AmpOptimWrapper` does on GPUs only.

    The model itself computes in its number type; float16 has so small a range that the loss must
    be scaled up before the backward pass and the gradients down after it. A step whose gradients
    overflow is left out, and the scale halved.

    Args:
        optimizer: updates the weights.
        loss_scale: whether to scale.
        max_grad_norm: gradients are scaled down to this 2-norm.
    """

    def __init__(self, optimizer: Optimizer, *, loss_scale: bool, max_grad_norm: float) -> None:
        super().__init__(optimizer)
        device = optimizer.param_groups[0]["params"][0].device.type
        self.scaler = torch.amp.GradScaler(device, enabled=loss_scale)
        self.max_grad_norm = max_grad_norm

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Add the gradients of the scaled loss."""
        super().backward(self.scaler.scale(loss), **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Clip the gradients and update the weights."""
        self.scaler.unscale_(self.optimizer)
        groups = self.optimizer.param_groups
        weights = [w for group in groups for w in group["params"] if w.grad is not None]
        clip_grad_norm_(weights, self.max_grad_norm)
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state, and the scale."""
        return {**super().state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        state = dict(state_dict)
        self.scaler.load_state_dict(state.pop("scaler", {}) or self.scaler.state_dict())
        super().load_state_dict(state)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FewGroups:
    """Build the optimizer with one group for all parameters that are treated alike.

    The rules are those of mmaction2's `SwinOptimWrapperConstructor`, which makes a group of each
    parameter, so that even a fused optimizer updates them one by one.

    Args:
        optim_wrapper_cfg: the wrapper's config, with that of its optimizer.
        paramwise_cfg: for each part of a name, `lr_mult` and `decay_mult` of its parameters.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper = dict(optim_wrapper_cfg)
        self.optimizer = self.wrapper.pop("optimizer")
        self.rules = paramwise_cfg or {}

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """The wrapper of an optimizer over all parameters of `model` that learn."""
        groups: dict[tuple[float, float], dict[str, Any]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                lr, decay = self.optimizer["lr"], self.optimizer["weight_decay"]
                for rule in (rule for part, rule in self.rules.items() if part in name):
                    lr *= rule.get("lr_mult", 1.0)
                    decay *= rule.get("decay_mult", 1.0)
                group = groups.setdefault((lr, decay), {"lr": lr, "weight_decay": decay})
                group.setdefault("params", []).append(parameter)
        optimizer = OPTIMIZERS.build({**self.optimizer, "params": list(groups.values())})
        return OPTIM_WRAPPERS.build({**self.wrapper, "optimizer": optimizer})
