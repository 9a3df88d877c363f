"""Linear layers that compute in the dtype of the input and prepack their weights for inference.

oneDNN needs weights in a blocked layout and normally repacks them on each call. In inference, the
layers in this module repack their weights only once. For float32, prepacking also makes torch use
oneDNN instead of MKL, which does not use the widest vector instructions on non-Intel CPUs.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """A linear layer that computes in the dtype of the input, whatever the weights' dtype."""

    _packed: tuple[tuple, Tensor, Tensor | None] | None = None
    """Cache key (dtype and parameter versions), packed weight, and bias."""

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs (..., in_features) to outputs (..., out_features)."""
        if packs(x):
            return self.by_packed(x)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)

    def by_packed(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        """Return the output (after an optional GELU) without gradients; `packs(x)` must be true."""
        weight, bias = self._packed_for(x.dtype)
        activation = "gelu" if gelu else "none"
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")

    def train(self, mode: bool = True) -> "Linear":
        """Set training or evaluation mode and discard packed weights, which may be out of date."""
        self._packed = None
        return super().train(mode)

    def __getstate__(self) -> dict:
        # Do not copy or pickle packed weights.
        return {name: value for name, value in self.__dict__.items() if name != "_packed"}

    def _packed_for(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return the packed weight and bias in a dtype, cached until the parameters change."""
        parameters = [p for p in (self.weight, self.bias) if p is not None]
        source = (dtype, *((p.data_ptr(), _version(p)) for p in parameters))
        if self._packed is None or self._packed[0] != source:
            weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach().to(dtype))
            bias = None if self.bias is None else self.bias.detach().to(dtype)
            self._packed = (source, weight, bias)
        return self._packed[1:]


def packs(x: Tensor) -> bool:
    """Whether linear layers use packed weights for an input."""
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
    inference = not torch.is_grad_enabled() and not recorded
    real = type(x) is Tensor and x.device.type == "cpu" and x.numel() > 0
    return inference and real and _has_onednn(x.dtype)


@cache
def _has_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN is available and has fast matrix products for a dtype."""
    if not torch.backends.mkldnn.is_available():
        return False
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return False  # speed not measured on other CPUs
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32


def _version(parameter: Tensor) -> int:
    """Return a tensor's in-place version counter, or -1 for inference tensors, which have none."""
    return -1 if parameter.is_inference() else parameter._version
