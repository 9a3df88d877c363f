"""Run convolutions and their activations in a single oneDNN call, for inference on a CPU.

torch.compile does the same, but compiling takes longer than extracting features.
"""

from collections.abc import Iterator

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

_ACTIVATIONS = {nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}
"""Names and parameters of activations in oneDNN."""


class FusedConvolution(nn.Module):
    """A convolution followed by an activation.

    Args:
        conv: the convolution.
        activation: name and parameters of the activation in oneDNN; ("none", []) for none.
        flipped: whether the input is flipped along both axes. For a flipped input, the padding of
            Conv2dSame, which is larger at the end, is larger at the start, and a stride ignores
            the additional padding at the end that makes it symmetric.
    """

    def __init__(
        self, conv: nn.Conv2d, activation: tuple[str, list[float]], *, flipped: bool
    ) -> None:
        super().__init__()
        weight = conv.weight.flip((2, 3)) if flipped else conv.weight
        weight = weight.detach().clone(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = conv.bias
        same = isinstance(conv, Conv2dSame)
        self.padding = [size // 2 for size in conv.kernel_size] if same else list(conv.padding)
        self.options = (list(conv.stride), list(conv.dilation), conv.groups, *activation, "")

    def forward(self, x: Tensor) -> Tensor:
        """Return the output (N, C', H', W') for images or feature maps (N, C, H, W)."""
        x = x.to(self.weight.dtype)
        return _pointwise()(x, self.weight, self.bias, self.padding, *self.options)


class Flipped(nn.Module):
    """A backbone that gets flipped clips and whose feature maps are flipped back."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature map (B, C, T', H', W') of clips (B, 3, T, H, W)."""
        return self.backbone(x.flip((-2, -1))).flip((-2, -1))


def fuse(backbone: nn.Module) -> nn.Module:
    """Replace the 2D convolutions of a backbone in place; return the backbone to call.

    The result must be compared with the original, since a network may call its layers in another
    order, or depend on the position in the image.
    """
    flipped = any(isinstance(module, Conv2dSame) for module in backbone.modules())
    for parent, name, conv, after in _convolutions(backbone):
        found = _activation(after[1]) if after else None
        if found is not None:
            setattr(parent, after[0], nn.Identity())
        activation = found or ("none", [])
        setattr(parent, name, FusedConvolution(conv, activation, flipped=flipped))
    return Flipped(backbone) if flipped else backbone


def set_precision(backbone: nn.Module, dtype: torch.dtype) -> None:
    """Set the data type in which fused convolutions compute."""
    for module in backbone.modules():
        if isinstance(module, FusedConvolution):
            module.to(dtype)


def can_fuse() -> bool:
    """Return whether the installed PyTorch has the fused operation."""
    return torch.backends.mkldnn.is_available() and _pointwise() is not None


def _pointwise():
    """Return the operation that torch.compile uses, too; None if it is missing."""
    return getattr(torch.ops.mkldnn, "_convolution_pointwise", None)


def _convolutions(
    backbone: nn.Module,
) -> Iterator[tuple[nn.Module, str, nn.Conv2d, tuple[str, nn.Module] | None]]:
    """Yield each 2D convolution with its parent, its name, and the name and module after it."""
    for parent in list(backbone.modules()):
        children = list(parent.named_children())
        for number, (name, conv) in enumerate(children):
            if isinstance(conv, nn.Conv2d) and conv.padding_mode == "zeros" and _is_plain(conv):
                after = children[number + 1] if number + 1 < len(children) else None
                yield parent, name, conv, after


def _is_plain(conv: _ConvNd) -> bool:
    """Return whether a convolution is of a type whose padding is known."""
    if type(conv) is nn.Conv2d:
        return not isinstance(conv.padding, str)
    return isinstance(conv, Conv2dSame) and all(size % 2 for size in conv.kernel_size)


def _activation(module: nn.Module) -> tuple[str, list[float]] | None:
    """Return a module's activation if the module does nothing else."""
    parts = [m for m in module.modules() if not isinstance(m, (nn.Sequential, nn.Identity))]
    return _ACTIVATIONS.get(type(parts[0])) if len(parts) == 1 else None
