"""Speed up inference by folding batch norms into convolutions and by fusing activations."""

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_weights

from autox_video.backbones.libraries.fused_convolutions import can_fuse, fuse, set_precision
from autox_video.backbones.libraries.library_backbone import LibraryBackbone

TOLERANCE = 1e-3
"""Maximum change in the features due to folding, relative to the largest feature."""


@torch.inference_mode()
def folded(backbone: nn.Module, clips: Tensor) -> nn.Module:
    """Return a faster copy of a backbone, for inference.

    Batch norms are folded into the convolutions before them. On a CPU, convolutions and their
    activations also run in a single call. Each of these changes is dropped if it changes the
    features, since a network may call its layers in another order. If nothing can be changed, the
    original backbone is returned.

    Args:
        backbone: a backbone in evaluation mode.
        clips: normalised clips (B, 3, T, H, W) on which the versions are compared.
    """
    if not isinstance(backbone, LibraryBackbone):
        return backbone
    fast = copy.deepcopy(backbone)
    fast.dtype = torch.float32
    before, backbone.dtype = backbone.dtype, torch.float32
    try:
        wanted = backbone(clips)
    finally:
        backbone.dtype = before
    count = sum(_fold_children(module) for module in fast.modules())
    if count and not _is_equal(fast, clips, wanted):
        return backbone
    result = _fused(fast, clips, wanted) if clips.device.type == "cpu" and can_fuse() else None
    if result is None and not count:
        return backbone
    fast.dtype = before
    if result is None:
        return fast
    set_precision(result, before)
    for module in result.modules():
        if isinstance(module, LibraryBackbone):
            module.dtype = before
    return result


def _fused(backbone: LibraryBackbone, clips: Tensor, wanted: Tensor) -> nn.Module | None:
    """Return a copy with fused convolutions; None if this is not possible."""
    try:
        result = fuse(copy.deepcopy(backbone))
        return result if _is_equal(result, clips, wanted) else None
    except (RuntimeError, AttributeError, TypeError):
        # oneDNN does not support the convolution, or the network reads attributes of its layers.
        return None


def _is_equal(backbone: nn.Module, clips: Tensor, wanted: Tensor) -> bool:
    """Return whether a backbone's features for the clips are the wanted ones."""
    return bool((backbone(clips) - wanted).abs().max() <= TOLERANCE * wanted.abs().max())


def _fold_children(module: nn.Module) -> int:
    """Fold each batch norm that directly follows a convolution; return the number folded."""
    count, children = 0, list(module.named_children())
    for (_, conv), (name, norm) in itertools.pairwise(children):
        if isinstance(conv, _ConvNd) and isinstance(norm, _BatchNorm) and _match(conv, norm):
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight,
                conv.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
                transpose=conv.transposed,
            )
            # timm's batch norms include dropout and the activation.
            rest = [getattr(norm, part) for part in ("drop", "act") if hasattr(norm, part)]
            setattr(module, name, nn.Sequential(*rest))
            count += 1
    return count


def _match(conv: _ConvNd, norm: _BatchNorm) -> bool:
    return conv.out_channels == norm.num_features and norm.running_mean is not None
