"""What is known of the backbones, and of weights for them."""

from dataclasses import dataclass

from autox_video.backbones.video_swin.spec import WINDOW_SIZE as PUBLISHED_WINDOW
from autox_video.backbones.weights.known_weights import Pretrained

__all__ = ["PUBLISHED_WINDOW", "Pretrained"]


@dataclass(frozen=True, slots=True)
class BackboneFacts:
    """What choosing a backbone and its batch needs to know."""

    parameters_millions: float
    gib_per_clip: float
    """Memory of a training step per clip of 8x224x224, float32, in GiB."""
    gmacs_per_clip: float
    """Multiply-accumulates of a forward pass of such a clip, in billions."""
    resolution: int
    """Side of the square it is trained at, in px."""
    drop_path: float
    scratch_clips: int
    """Training clips from which it can be expected to learn without pretrained weights."""
    frames_per_sec: int = 4
    """Of a video, that its clips take; fewer hide from conv_nano which way things move."""


BACKBONES = {
    # Nothing is trained: the memory is that of a forward pass.
    "descriptors": BackboneFacts(0.0, 0.1, 0.2, 112, 0.0, 0, frames_per_sec=8),
    "swin_nano": BackboneFacts(1.4, 0.3, 3, 112, 0.0, 0),
    "conv_nano": BackboneFacts(1.8, 0.2, 1.7, 112, 0.0, 0, frames_per_sec=8),
    "swin_tiny": BackboneFacts(28, 0.7, 22, 224, 0.1, 20_000),
    "swin_small": BackboneFacts(50, 1.2, 41, 224, 0.1, 100_000),
    "swin_base": BackboneFacts(88, 1.8, 70, 224, 0.2, 200_000),
    "swin_large": BackboneFacts(197, 2.8, 151, 224, 0.2, 1_000_000),
}


NANO = ("descriptors", "conv_nano", "swin_nano")
"""Those that do with few clips without pretrained weights, at a size that follows the clips."""
