"""The optimizer: parameter groups, gradient clipping, and loss scaling for float16."""

from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from autox_video.backbones.libraries.library_backbone import LibraryBackbone
from autox_video.training.checkpoints.model_state import unwrapped


@OPTIM_WRAPPERS.register_module()
class ClipOptimWrapper(OptimWrapper):
    """An mmengine optimizer wrapper with loss scaling, gradient clipping and a NaN guard.

    Because of the small range of float16, the loss is scaled up before the backward pass, and the
    gradients are scaled down afterwards. If the gradients overflow, the step is skipped and the
    scale is halved.

    In any precision, a step with a non-finite loss or gradient is skipped and counted, so that the
    weights stay finite.

    Args:
        optimizer: the optimizer that updates the weights.
        loss_scale: whether to scale the loss.
        max_grad_norm: maximum 2-norm of the gradients, for gradient clipping.
    """

    def __init__(self, optimizer: Optimizer, *, loss_scale: bool, max_grad_norm: float) -> None:
        super().__init__(optimizer)
        self.device = optimizer.param_groups[0]["params"][0].device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=loss_scale)
        self.max_grad_norm = max_grad_norm
        self.bad_steps = torch.zeros(2, dtype=torch.int64, device=self.device)
        """Current number of consecutive skipped steps, and total number of skipped steps."""

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        super().backward(self.scaler.scale(loss), **kwargs)

    def step(self, *, loss: Tensor | None = None) -> None:
        """Clip the gradients and update the weights, unless the loss or a gradient is not finite.

        Args:
            loss: unscaled loss of the whole step, averaged over all processes.
        """
        loss = torch.zeros((), device=self.device) if loss is None else loss.detach()
        self.scaler.unscale_(self.optimizer)
        groups = self.optimizer.param_groups
        weights = [w for group in groups for w in group["params"] if w.grad is not None]
        norm = clip_grad_norm_(weights, self.max_grad_norm)
        sharded = isinstance(norm, DTensor)
        bad = ~torch.isfinite(loss)
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            bad = bad | ~torch.isfinite(norm.full_tensor() if sharded else norm)
            self._update_unless(bad, on_device=self.device.type == "cuda" and not sharded)
        self.bad_steps = torch.stack([(self.bad_steps[0] + 1) * bad, self.bad_steps[1] + bad])

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state, the loss scale and the number of skipped steps."""
        counters = {"scaler": self.scaler.state_dict(), "bad_steps": self.bad_steps.tolist()}
        return {**super().state_dict(), **counters}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state returned by `state_dict`."""
        self.load_counters(state_dict)
        theirs = {k: v for k, v in state_dict.items() if k not in ("scaler", "bad_steps")}
        super().load_state_dict(theirs)

    def load_counters(self, state: dict[str, Any]) -> None:
        """Restore only the loss scale and the total number of skipped steps."""
        self.scaler.load_state_dict(state.get("scaler") or self.scaler.state_dict())
        in_all = state.get("bad_steps", [0, 0])[1]
        self.bad_steps = torch.tensor([0, in_all], device=self.device)

    def _update_unless(self, bad: Tensor, *, on_device: bool) -> None:
        if on_device:
            # Fused optimizers check this in their kernel, without a GPU sync.
            self.optimizer.found_inf = bad.float()
            self.optimizer.step()
        elif not bool(bad):
            self.optimizer.step()


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ParamGroupConstructor:
    """Build an optimizer with a parameter group per combination of learning rate and weight decay.

    The rules are the same as for mmaction2's `SwinOptimWrapperConstructor`, which creates one group
    per parameter. With so many groups, even a fused optimizer would update the parameters one by
    one. Frozen parameters are left out.

    Args:
        optim_wrapper_cfg: config of the wrapper and its optimizer.
        paramwise_cfg: maps parts of parameter names to dicts with `lr_mult` and `decay_mult`. The
            entry `layer_decay` is the learning rate of each block relative to that of the next
            block (as in BEiT, Bao et al. 2021, appendix).
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper = dict(optim_wrapper_cfg)
        self.optimizer = self.wrapper.pop("optimizer")
        self.rules = dict(paramwise_cfg or {})
        self.layer_decay = self.rules.pop("layer_decay", 1.0)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Return a wrapped optimizer for all trainable parameters of `model`."""
        groups: dict[tuple[float, float], dict[str, Any]] = {}
        above = {} if self.layer_decay == 1.0 else blocks_above(unwrapped(model).backbone)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                lr, decay = self.optimizer["lr"], self.optimizer["weight_decay"]
                lr *= self.layer_decay ** above.get(parameter, 0)
                for rule in (rule for part, rule in self.rules.items() if part in name):
                    lr *= rule.get("lr_mult", 1.0)
                    decay *= rule.get("decay_mult", 1.0)
                group = groups.setdefault((lr, decay), {"lr": lr, "weight_decay": decay})
                group.setdefault("params", []).append(parameter)
        optimizer = OPTIMIZERS.build({**self.optimizer, "params": list(groups.values())})
        return OPTIM_WRAPPERS.build({**self.wrapper, "optimizer": optimizer})


def blocks_above(backbone: nn.Module) -> dict[nn.Parameter, int]:
    """Return how many blocks of a backbone come after each parameter.

    A layer between two blocks counts as part of the earlier block.
    """
    block_of = {p: n for n, block in enumerate(backbone.blocks()) for p in block.parameters()}
    last, above = -1, {}
    ordered = (
        backbone.in_forward_order if isinstance(backbone, LibraryBackbone) else backbone.parameters
    )
    for parameter in ordered():
        last = block_of.get(parameter, last)
        above[parameter] = max(block_of.values()) - last
    return above
