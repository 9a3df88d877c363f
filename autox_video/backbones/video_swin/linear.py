"""Linear layers that compute in the number type of their input, in inference on packed weights.

oneDNN multiplies by weights that lie in blocks, and packs them anew at each call. Where nothing is
learnt it is done once. In float32 this also takes oneDNN instead of MKL, which on CPUs of other
makers than its own does without their widest vectors.
"""

from functools import cache
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """A linear layer in its input's number type; the weights stay as they are."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) → (..., out)."""
        if packs(x):
            return self.by_packed(x)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)

    def by_packed(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        """The same without gradients, with a GELU behind if so: only where `packs(x)`."""
        weight, bias = _packed(self, x.dtype)
        activation = "gelu" if gelu else "none"
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")

    def train(self, mode: bool = True) -> "Linear":
        """Switch training mode; what was packed is let go, as the weights may change unseen."""
        _PACKED.pop(self, None)
        return super().train(mode)


def packs(x: Tensor) -> bool:
    """Whether linear layers of this input compute on packed weights."""
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
    inference = not torch.is_grad_enabled() and not recorded
    real = type(x) is Tensor and x.device.type == "cpu" and x.numel() > 0
    return inference and real and _has_onednn(x.dtype)


@cache
def _has_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN is there and has fast products of this type."""
    if not torch.backends.mkldnn.is_available():
        return False
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return False  # not measured elsewhere
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32


_PACKED: WeakKeyDictionary[Linear, tuple[tuple, Tensor, Tensor | None]] = WeakKeyDictionary()
"""Packed weight and bias of a layer, and what they were made from; beside the layers, so that
copies and files of these are as ever."""


def _packed(layer: Linear, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a layer in a number type, packed unless they are still."""
    parameters = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
    made_from = (dtype, *((each.data_ptr(), _version(each)) for each in parameters))
    found = _PACKED.get(layer)
    if found is None or found[0] != made_from:
        weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach().to(dtype))
        bias = None if layer.bias is None else layer.bias.detach().to(dtype)
        found = _PACKED[layer] = (made_from, weight, bias)
    return found[1:]


def _version(parameter: Tensor) -> int:
    """Counts changes in place; tensors made in inference mode, which no code here makes, do not."""
    return -1 if parameter.is_inference() else parameter._version
