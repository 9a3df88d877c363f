"""What there is to know of a backbone; `config.choices.BACKBONES` has the specs by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int, int]
"""Frames or time steps, rows, columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """A backbone that can be chosen by name: what planning, the config and weights ask of it.

    Its torch class is registered with mmaction2's MODELS. Clips (B, 3, T, H, W), float and
    normalised, become features (B, channels, T', H', W') float32. It takes the arguments
    `drop_path_rate`, `with_cp` (compute the blocks again in the backward pass), `precision`
    ("float32", "bfloat16" or "float16"; the weights stay float32) and `compile`; `blocks()` gives
    its blocks from the first to the last: the learning rate decays by them, and FSDP shards them.
    `backbone.Backbone` is a base class that does most of this.
    """

    module: str
    """The module that registers the class, imported before a model is built."""
    config: Mapping[str, Any]
    """`model.backbone` of the mmaction2 config: the class as `type`, and its arguments."""
    channels: int
    """Of the features, which the head takes."""
    parameters_millions: float
    gib_per_clip: float
    """Memory of a training step per clip of 8x224x224, float32, in GiB."""
    gmacs_per_clip: float
    """Multiply-accumulates of a forward pass of such a clip, in billions."""
    resolution: int
    """Side of the square it is made for, in px."""
    follows_clips: bool = False
    """Whether the side follows that of the clips, from half of `resolution` on."""
    frames_per_sec: int = 4
    """Of a video, that its clips take."""
    window_size: Size | None = None
    """Of an attention window, as published, where `config` can take another; None: it cannot."""
    learns: bool = True
    """Whether it has weights; else only a head is fitted, on features that never change."""
    scratch_clips: int | None = None
    """Training clips from which it learns without pretrained weights; None: only if named."""
    scratch_lr: float = 3.5e-4
    """Learning rate from scratch, at batch 16."""
    scratch_recolours: bool = False
    """Whether few clips are recoloured from scratch, lest it learns their colours by heart."""
    drop_path: float = 0.0
    """Stochastic depth of the last block."""
    head_dropout: float = 0.0
    """Of the features, before the head."""
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Of the pixels, which are normalised by it and by `std`: red, green and blue of 0 to 255."""
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
