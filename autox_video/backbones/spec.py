"""The spec of a backbone; `config.choices.BACKBONES` maps backbone names to specs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Size = tuple[int, int, int]
"""Number of frames or time steps, height and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """The properties of a backbone that are used to plan runs, build configs and load weights.

    The backbone class is a torch module registered in mmaction2's MODELS. Its constructor takes the
    arguments `drop_path_rate`, `with_cp` (activation checkpointing), `precision` ("float32",
    "bfloat16" or "float16"; the weights stay float32) and `compile`. If `stages` is above 0, the
    constructor also takes `frozen_stages`, the number of leading stages to freeze. The backbone
    maps normalised float clips (B, 3, T, H, W) to float32 features (B, channels, T', H', W').
    `blocks()` returns the blocks in forward order, for layer-wise learning rate decay and FSDP. The
    base class `backbone.Backbone` implements most of this interface.
    """

    module: str
    """Python module that registers the backbone class; imported before a model is built."""
    config: Mapping[str, Any]
    """The `model.backbone` entry of the mmaction2 config: class name (`type`) and arguments."""
    channels: int
    """Number of feature channels."""
    parameters_millions: float
    gib_per_clip: float
    """Memory in GiB that a float32 training step needs per clip of 8x224x224."""
    gmacs_per_clip: float
    """Billions of multiply-accumulate operations in a forward pass on a clip of 8x224x224."""
    resolution: int
    """Side of the square input, in px."""
    follows_clips: bool = False
    """Whether to lower the resolution for small clips, but not below half of `resolution`."""
    frames_per_sec: float = 4
    """Number of frames sampled per second of video."""
    stages: int = 0
    """Number of stages that can be frozen; 0 if the backbone cannot be frozen."""
    linears: Mapping[str, int] = field(default_factory=dict)
    """Linear layers that can have LoRA adapters, as a mapping from their names, with * in place of
    each number, to the sum of their input and output features; empty if the backbone cannot have
    adapters."""
    window_size: Size | None = None
    """Published attention window size; None if the size cannot be changed."""
    learns: bool = True
    """Whether the backbone has trainable weights; otherwise only the head is trained."""
    scratch_clips: int | None = None
    """Minimum number of clips for training from scratch; None if done only at the user's
    request."""
    scratch_lr: float = 3.5e-4
    """Learning rate for training from scratch with a batch size of 16."""
    scratch_recolours: bool = False
    """Whether to use colour augmentation when training from scratch on few clips."""
    drop_path: float = 0.0
    """Drop-path rate of the last block."""
    head_dropout: float = 0.0
    """Dropout probability before the head."""
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Mean of the red, green and blue pixel values (0 to 255) for normalisation."""
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    """Standard deviation of the red, green and blue pixel values for normalisation."""
    is_library: bool = False
    """Whether the class is a `LibraryBackbone`, whose constructor also takes `frames` and `side`
    (the size of the input), `norm_eval` and `lora`."""
    time_shift: bool = False
    """Whether the backbone is an image model that can shift channels between frames; its
    constructor then takes `time_shift`."""
    frames: int | None = None
    """Published number of frames per clip; None if the backbone accepts any number of frames."""
    span_sec: float | None = None
    """Duration, in seconds, of the clips used in pretraining; None if unknown or irrelevant."""
    one_size: bool = False
    """Whether a model, once built, accepts clips of only one size."""
    published: Mapping[str, Any] = field(default_factory=dict)
    """Description of a model on the library's hub or in a local file, as plain values. Run records
    contain the description, so that the model can be rebuilt without the hub or the file."""

    @property
    def is_local(self) -> bool:
        """Whether the backbone's name contains the path of a local file or folder."""
        return bool(self.published) and self.published.get("revision") is None

    def adapter_millions(self, rank: int) -> float:
        """Return how many parameters LoRA adapters of this rank have, in millions."""
        return rank * sum(self.linears.values()) / 1e6
