"""The specification of a backbone; `config.choices.BACKBONES` maps names to specifications."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int, int]
"""Number of frames or time steps, height and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """The properties of a backbone that planning, the config and weight loading need.

    Its torch class is registered with mmaction2's MODELS. It maps normalised float clips
    (B, 3, T, H, W) to features (B, channels, T', H', W') float32. It takes the arguments
    `drop_path_rate`, `with_cp` (activation checkpointing), `precision` ("float32", "bfloat16" or
    "float16"; the weights stay float32) and `compile`. `blocks()` returns its blocks in forward
    order, for layer-wise learning rate decay and FSDP. If `stages` is above 0, the class also takes
    `frozen_stages`, the number of leading stages that are not trained. The base class
    `backbone.Backbone` implements most of this.
    """

    module: str
    """The module that registers the class; it is imported before a model is built."""
    config: Mapping[str, Any]
    """`model.backbone` of the mmaction2 config, with the class as `type` and its arguments."""
    channels: int
    """Number of channels of the features."""
    parameters_millions: float
    gib_per_clip: float
    """Memory in GiB that a training step in float32 needs per clip of 8x224x224."""
    gmacs_per_clip: float
    """Multiply-accumulate operations of a forward pass per clip of 8x224x224, in billions."""
    resolution: int
    """Native input resolution, the side of a square in px."""
    follows_clips: bool = False
    """Whether the resolution is lowered to that of small clips, at most to half of `resolution`."""
    frames_per_sec: int = 4
    """Frames sampled per second of video."""
    stages: int = 0
    """Number of stages that can be frozen; 0 if the backbone cannot be frozen."""
    window_size: Size | None = None
    """Published attention window; None if the window cannot be changed."""
    learns: bool = True
    """Whether the backbone has weights; if not, only a head is trained on fixed features."""
    scratch_clips: int | None = None
    """Minimum number of clips to train from scratch; None if only done at the user's request."""
    scratch_lr: float = 3.5e-4
    """Learning rate for training from scratch with batch size 16."""
    scratch_recolours: bool = False
    """Whether training from scratch on few clips changes their colours to avoid overfitting to
    them."""
    drop_path: float = 0.0
    """Drop-path rate of the last block."""
    head_dropout: float = 0.0
    """Dropout probability before the head."""
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Mean of the red, green and blue pixel values (0 to 255) for normalisation."""
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    """Standard deviation of the red, green and blue pixel values for normalisation."""
