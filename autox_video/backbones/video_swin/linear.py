"""Linear layers that compute in the number type of their input, in inference on packed weights.

oneDNN multiplies by weights that lie in blocks, and packs them anew at each call. Where nothing is
learnt it is done once. In float32 this also takes oneDNN instead of MKL, which on CPUs of other
makers than its own does without their widest vectors.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """A linear layer in its input's number type; the weights stay as they are."""

    _packed: tuple[tuple, Tensor, Tensor | None] | None = None
    """What the packed weight and bias were made from, and the two."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) → (..., out)."""
        if packs(x):
            return self.by_packed(x)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)

    def by_packed(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        """The same without gradients, with a GELU behind if so: only where `packs(x)`."""
        weight, bias = self._packed_for(x.dtype)
        activation = "gelu" if gelu else "none"
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")

    def train(self, mode: bool = True) -> "Linear":
        """Switch training mode; what was packed is let go, as the weights may change unseen."""
        self._packed = None
        return super().train(mode)

    def __getstate__(self) -> dict:
        # Copies and files hold nothing that is packed.
        return {name: value for name, value in self.__dict__.items() if name != "_packed"}

    def _packed_for(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Weight and bias in a number type, packed unless they are still."""
        parameters = [p for p in (self.weight, self.bias) if p is not None]
        source = (dtype, *((p.data_ptr(), _version(p)) for p in parameters))
        if self._packed is None or self._packed[0] != source:
            weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach().to(dtype))
            bias = None if self.bias is None else self.bias.detach().to(dtype)
            self._packed = (source, weight, bias)
        return self._packed[1:]


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


def _version(parameter: Tensor) -> int:
    """Counts changes in place; tensors made in inference mode, which no code here makes, do not."""
    return -1 if parameter.is_inference() else parameter._version
