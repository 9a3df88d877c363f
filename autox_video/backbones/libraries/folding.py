"""Speed up inference by folding batch norms into convolutions."""

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_weights

from autox_video.backbones.libraries.library_backbone import LibraryBackbone

TOLERANCE = 1e-3
"""Maximum change in the features due to folding, relative to the largest feature."""


@torch.inference_mode()
def folded(backbone: nn.Module, clips: Tensor) -> nn.Module:
    """Return a copy of a backbone with its batch norms folded into the preceding convolutions.

    The original backbone is returned if it is not a LibraryBackbone, if it has no batch norms to
    fold, or if folding changes its features. Folding does so if the network calls its layers in a
    different order from the one in which they are registered.

    Args:
        backbone: a backbone in evaluation mode.
        clips: normalised clips (B, 3, T, H, W) on which both versions are compared.
    """
    if not isinstance(backbone, LibraryBackbone):
        return backbone
    fast = copy.deepcopy(backbone)
    fast.dtype = torch.float32
    count = sum(_fold_children(module) for module in fast.modules())
    if not count:
        return backbone
    before, backbone.dtype = backbone.dtype, torch.float32
    try:
        wanted = backbone(clips)
    finally:
        backbone.dtype = before
    differences = (fast(clips) - wanted).abs().max()
    fast.dtype = before
    return fast if differences <= TOLERANCE * wanted.abs().max() else backbone


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
