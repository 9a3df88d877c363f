"""Return or load the full state of a model and its optimizer, sharded or unsharded."""

from typing import Any

import torch
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model without any distributed wrapper."""
    return model.module if is_model_wrapper(model) else model


def is_sharded(model: nn.Module) -> bool:
    """Return whether the model is sharded over the processes (FSDP)."""
    return isinstance(model, FSDPModule)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return all weights; if sharded, all ranks must call this, and only rank 0 gets them."""
    if is_sharded(model):
        return get_model_state_dict(model, options=_WHOLE)
    return unwrapped(model).state_dict()


def load_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load full weights into a sharded or unsharded model; raise RuntimeError on a mismatch."""
    if is_sharded(model):
        set_model_state_dict(model, weights, options=StateDictOptions(full_state_dict=True))
    else:
        unwrapped(model).load_state_dict(weights, strict=True)


def optimizer_state(model: nn.Module, wrapper: OptimWrapper) -> dict[str, Any]:
    """Return the full state of the optimizer wrapper, with parameters identified by number."""
    state = wrapper.state_dict()
    # Before the first step, PyTorch would take an optimizer step just to create the state.
    if not is_sharded(model) or not wrapper.optimizer.state:
        return state
    whole = get_optimizer_state_dict(model, wrapper.optimizer, options=_WHOLE)
    numbers = {name: number for number, name in enumerate(_names(model, wrapper.optimizer))}
    by_number = {numbers[name]: values for name, values in whole.get("state", {}).items()}
    return {**state, "state": by_number}


def load_optimizer_state(model: nn.Module, wrapper: OptimWrapper, state: dict[str, Any]) -> None:
    """Load a state returned by `optimizer_state`, even if the number of processes has changed."""
    if not is_sharded(model):
        wrapper.load_state_dict(state)
        return
    wrapper.load_counters(state)
    if not state["state"]:
        wrapper.optimizer.state.clear()
        return
    names = _names(model, wrapper.optimizer)
    groups = [
        {**group, "params": [names[number] for number in group["params"]]}
        for group in state["param_groups"]
    ]
    whole = {
        "state": {names[number]: values for number, values in state["state"].items()},
        "param_groups": groups,
    }
    set_optimizer_state_dict(
        model, wrapper.optimizer, whole, options=StateDictOptions(full_state_dict=True)
    )


def _names(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Return the parameter names in the optimizer's order."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [names[p] for group in optimizer.param_groups for p in group["params"]]
