"""Compute the cost of a backbone on the meta device, without allocating or computing tensors."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from autox_video.backbones.libraries.library_backbone import LibraryBackbone
from autox_video.backbones.lora import layers_for_adapters
from autox_video.backbones.spec import Size

UNIT: Size = (8, 224, 224)
"""Clip size for which the costs in a BackboneSpec are given."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The size of a backbone and its cost per clip, with the same field names as BackboneSpec."""

    channels: int
    parameters_millions: float
    gib_per_clip: float
    gmacs_per_clip: float
    stages: int
    linears: Mapping[str, int]
    time_shift: bool

    def as_fields(self) -> Mapping[str, Any]:
        """Return the values as keyword arguments for a BackboneSpec."""
        return {name: getattr(self, name) for name in self.__slots__}


def cost_of(build: Callable[[], LibraryBackbone], clip: Size) -> Cost:
    """Return the cost of a backbone.

    Args:
        build: function that builds the backbone; called on the meta device.
        clip: number of frames, height and width of the model's native input.
    """
    with torch.device("meta"):
        backbone = build().train()
        pixels = torch.zeros(1, 3, *clip)
    saved: dict[int, int] = {}
    weights = {p.untyped_storage()._cdata for p in backbone.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    counts, keeps = FlopCounterMode(display=False), saved_tensors_hooks(keep, lambda t: t)
    finding = layers_for_adapters(backbone.net, backbone.blocks())
    with torch.enable_grad(), counts as flops, keeps, finding as linears:
        features = backbone(pixels)
    size = math.prod(clip) / math.prod(UNIT)
    return Cost(
        channels=features.shape[1],
        parameters_millions=sum(p.numel() for p in backbone.parameters()) / 1e6,
        gib_per_clip=sum(saved.values()) / 2**30 / size,
        gmacs_per_clip=flops.get_total_flops() / 2e9 / size,
        stages=len(backbone.stage_modules()),
        linears=linears,
        time_shift=bool(backbone.shifted_layers()),
    )
