"""The specification of a backbone; `config.choices.BACKBONES` has them by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int, int]
"""Frames or time steps, height, width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """A backbone that can be chosen by name, as planning, the config and weights need it.

    Its torch class is registered with mmaction2's MODELS. It maps normalised float clips
    (B, 3, T, H, W) to features (B, channels, T', H', W') float32. It takes the arguments
    `drop_path_rate`, `with_cp` (activation checkpointing), `precision` ("float32", "bfloat16" or
    "float16"; the weights stay float32) and `compile`. `blocks()` returns its blocks in forward
    order, for layer-wise learning rate decay and FSDP. With `stages` it also takes `frozen_stages`,
    the number of first stages that are not trained. `backbone.Backbone` is a base class that does
    most of this.
    """

    module: str
    """The module that registers the class, imported before a model is built."""
    config: Mapping[str, Any]
    """`model.backbone` of the mmaction2 config: the class as `type`, and its arguments."""
    channels: int
    """Channels of the features."""
    parameters_millions: float
    gib_per_clip: float
    """Memory of a training step per clip of 8x224x224 in float32, in GiB."""
    gmacs_per_clip: float
    """Multiply-accumulates of a forward pass of such a clip, in billions."""
    resolution: int
    """Native input resolution: side of the square in px."""
    follows_clips: bool = False
    """Whether the resolution is lowered to that of the clips, to half of `resolution` at least."""
    frames_per_sec: int = 4
    """Frames sampled per second of video."""
    stages: int = 0
    """Number of stages that can be frozen; 0: it cannot be frozen."""
    window_size: Size | None = None
    """Published attention window, if `config` can take another; None: it cannot."""
    learns: bool = True
    """Whether it has weights; if not, only a head is trained on fixed features."""
    scratch_clips: int | None = None
    """Minimum number of training clips to train it from scratch; None: only if named."""
    scratch_lr: float = 3.5e-4
    """Learning rate from scratch, at batch size 16."""
    scratch_recolours: bool = False
    """Whether training from scratch on few clips recolours them, so that it does not overfit to
    colours."""
    drop_path: float = 0.0
    """Drop-path rate of the last block."""
    head_dropout: float = 0.0
    """Dropout before the head."""
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Mean of the pixels for normalisation: red, green and blue, 0 to 255."""
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    """Standard deviation of the pixels, likewise."""
