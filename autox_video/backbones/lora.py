"""LoRA: train small adapters in a network's linear layers while its own weights stay fixed.

An adapter of rank r adds B A x to the output of a linear layer W x, where A is r x inputs and B is
outputs x r (Hu et al., ICLR 2022). B starts at zero, so training starts from the unchanged network.
The adapters come from the package peft.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from autox_video.core.errors import InstallError

LEAST_SHARE = 0.25
"""Linear layers must contain at least this share of a network's parameters to get adapters."""
_BASE, _ADAPTER = ".base_layer.", "default"
_DOWN, _UP = (f".lora_{part}.{_ADAPTER}.weight" for part in "AB")
_NO_PEFT = (
    "lora: needs the package peft, which is not installed or does not work ({reason}). Install it "
    "with `pip install peft`, or set lora: off."
)


def add_adapters(net: nn.Module, *, rank: int, layers: Collection[str]) -> None:
    """Add adapters to some of a network's linear layers, in place, and freeze all other weights.

    Args:
        net: the network.
        rank: rank of the adapters.
        layers: names of the layers, with * in place of each number, as returned by
            `layers_for_adapters`.

    Raises:
        InstallError: the package peft cannot be imported.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except (ImportError, OSError, RuntimeError) as error:
        raise InstallError(_NO_PEFT.format(reason=error)) from error
    modules = net.named_modules()
    names = [n for n, m in modules if isinstance(m, nn.Linear) and pattern_of(n) in layers]
    exactly = "|".join(map(re.escape, names))
    # With alpha equal to the rank, B A is added unscaled, so files need not state the rank.
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=exactly)
    inject_adapter_in_model(config, net, _ADAPTER)
    for layer in _adapted(net):
        # In mixed precision, autocast chooses the dtype.
        layer.cast_input_dtype_enabled = False


def reset_adapters(net: nn.Module) -> None:
    """Reinitialise the adapters, so that they do not change the network's output."""
    for layer in _adapted(net):
        layer.reset_lora_parameters(_ADAPTER, init_lora_weights=True)


def _adapted(net: nn.Module) -> list[nn.Module]:
    return [module for module in net.modules() if hasattr(module, "lora_A")]


def is_adapted(module: nn.Module) -> bool:
    """Return whether a module is a layer with an adapter."""
    return hasattr(module, "base_layer")


def is_adapter(name: str) -> bool:
    """Return whether a tensor name belongs to an adapter."""
    return name.endswith((_DOWN, _UP))


def published_name(name: str) -> str:
    """Return the name that a tensor of an adapted layer has in the network without adapters."""
    return name.replace(_BASE, ".")


def merged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict for a network without adapters that computes the same outputs.

    The product B A of each adapter is added to its layer's weight. A state dict without adapters is
    returned unchanged.
    """
    merged_state = {}
    for name, tensor in state.items():
        if is_adapter(name):
            continue
        layer = name.removesuffix(f"{_BASE}weight")
        if layer != name and layer + _DOWN in state:
            tensor = tensor + state[layer + _UP] @ state[layer + _DOWN]
        merged_state[published_name(name)] = tensor
    return merged_state


# ---- which layers ----


def pattern_of(name: str) -> str:
    """Return a module name with * in place of each number, as in `blocks.*.attn.qkv`."""
    return ".".join("*" if part.isdecimal() else part for part in name.split("."))


@contextmanager
def layers_for_adapters(net: nn.Module, blocks: Iterator[nn.Module]) -> Iterator[dict[str, int]]:
    """While the network runs in the `with` block, find the layers that can have adapters.

    Linear layers can have adapters if they are inside blocks and their `forward` is called. Some
    networks read a layer's weight without calling the layer, so an adapter in that layer would have
    no effect.

    Returns:
        A mapping, filled at the end of the `with` block, from the names of layers, with * in place
        of each number, to the sum of their input and output features. The mapping stays empty if
        these layers have only a small share of the parameters, as in a convolutional network.
    """
    names = {module: name for name, module in net.named_modules()}
    inside = {m for block in blocks for m in block.modules() if m is not block}
    linears = [m for m in names if m in inside and isinstance(m, nn.Linear)]
    called: set[nn.Module] = set()
    handles = [m.register_forward_hook(lambda m, *_: called.add(m)) for m in linears]
    found: dict[str, int] = {}
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
    unused = {pattern_of(names[m]) for m in linears if m not in called}
    layers = [m for m in linears if pattern_of(names[m]) not in unused]
    if _parameters(*layers) >= LEAST_SHARE * _parameters(net):
        for layer in layers:
            features = layer.in_features + layer.out_features
            pattern = pattern_of(names[layer])
            found[pattern] = found.get(pattern, 0) + features


def _parameters(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())
