"""Linear layers that compute in the dtype of their input, with prepacked weights in inference.

oneDNN needs weights in a blocked layout and repacks them on each call; in inference, these layers
do so only once. For float32, prepacking also selects oneDNN instead of MKL, which does not use the
widest vector instructions on non-Intel CPUs.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """A linear layer that computes in the dtype of its input; its weights keep their dtype."""

    _packed: tuple[tuple, Tensor, Tensor | None] | None = None
    """The version of the parameters, the packed weight and the bias."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        if packs(x):
            return self.by_packed(x)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)

    def by_packed(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        """Return the output without gradients, optionally with GELU; `packs(x)` must be true."""
        weight, bias = self._packed_for(x.dtype)
        activation = "gelu" if gelu else "none"
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")

    def train(self, mode: bool = True) -> "Linear":
        """Switch training mode and drop packed weights, since the weights may change unnoticed."""
        self._packed = None
        return super().train(mode)

    def __getstate__(self) -> dict:
        # Do not copy or pickle packed weights.
        return {name: value for name, value in self.__dict__.items() if name != "_packed"}

    def _packed_for(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return the packed weight and the bias in a dtype, cached until they change."""
        parameters = [p for p in (self.weight, self.bias) if p is not None]
        source = (dtype, *((p.data_ptr(), _version(p)) for p in parameters))
        if self._packed is None or self._packed[0] != source:
            weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach().to(dtype))
            bias = None if self.bias is None else self.bias.detach().to(dtype)
            self._packed = (source, weight, bias)
        return self._packed[1:]


def packs(x: Tensor) -> bool:
    """Whether linear layers use packed weights for this input."""
    recorded = torch.compiler.is_compiling() or torch.jit.is_tracing()
    inference = not torch.is_grad_enabled() and not recorded
    real = type(x) is Tensor and x.device.type == "cpu" and x.numel() > 0
    return inference and real and _has_onednn(x.dtype)


@cache
def _has_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN is available and has fast matrix products in this dtype."""
    if not torch.backends.mkldnn.is_available():
        return False
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        return False  # other CPUs were not measured
    if dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return dtype == torch.float32


def _version(parameter: Tensor) -> int:
    """Return the in-place version counter of a tensor; -1 for inference tensors, which lack it."""
    return -1 if parameter.is_inference() else parameter._version
