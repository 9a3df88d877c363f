"""Score windows of frames; image models compute each frame's features once for all its windows.

Shape letters: N frames or windows, T frames per window, S side of a frame in pixels, K classes;
C channels, H' rows and W' columns of a frame's feature map.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from autox_video.backbones.libraries.folding import folded
from autox_video.backbones.libraries.library_backbone import FrameBackbone
from autox_video.evaluation.ensemble import Loaded
from autox_video.evaluation.predict import Scorer
from autox_video.prediction.grid_reader import Grid
from autox_video.tasks.classification.head import ClipHead
from autox_video.tasks.task import TASKS

FRAMES_AT_ONCE = 32
"""Number of frames whose features are computed at a time."""


OVERLAP = 0.5
"""Share of a window that it has in common with the next one."""


class WindowScorer(Protocol):
    """Computes a model's outputs for windows."""

    grid: Grid
    """The windows that are scored."""

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Return what is kept of frames (N, S, S, 3) uint8, as an array (N, ...)."""

    def score(self, windows: np.ndarray) -> np.ndarray:
        """Return outputs (N, K) for windows of encoded frames (N, T, ...)."""

    def maps(self, windows: np.ndarray) -> Tensor:
        """Return feature maps (N, C, T', H', W') for windows of encoded frames (N, T, ...)."""


def window_scorer(one: Loaded) -> WindowScorer:
    """Return the scorer for a model."""
    backbone = one.model.backbone
    if isinstance(backbone, FrameBackbone) and not backbone.shifts:
        return FeatureScorer(one)
    return PixelScorer(one)


def grid_of(one: Loaded) -> Grid:
    """Return the grid of a model's windows."""
    plan = one.record.plan
    step = max(1, round(plan.clip_len * (1 - OVERLAP)))
    return Grid(plan.clip_len, plan.frame_interval_sec, step)


class PixelScorer:
    """Scores windows of pixels with any model."""

    def __init__(self, one: Loaded) -> None:
        self._model, self.grid = one.model, grid_of(one)
        self._scorer = Scorer(one.model, TASKS[one.record.data.task])

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Return the frames."""
        return frames.copy()

    def score(self, windows: np.ndarray) -> np.ndarray:
        """Return outputs (N, K) for windows (N, T, S, S, 3) uint8."""
        inputs = torch.from_numpy(windows[:, None])
        outputs = self._scorer({"inputs": inputs, "positions": range(len(windows))})
        return np.array([outputs[position] for position in range(len(windows))])

    @torch.inference_mode()
    def maps(self, windows: np.ndarray) -> Tensor:
        """Return feature maps (N, C, T', H', W') for windows (N, T, S, S, 3) uint8."""
        data = {"inputs": torch.from_numpy(windows[:, None]), "labels": None}
        return self._model.backbone(self._model.data_preprocessor(data)["inputs"][:, 0])


class FeatureScorer:
    """Scores windows of features with an image model, which sees each frame by itself."""

    def __init__(self, one: Loaded) -> None:
        self._model, self.grid = one.model, grid_of(one)
        self._backbone: nn.Module | None = None
        self._averages = type(one.model.cls_head) is ClipHead
        """Whether the head only sees the mean of a window's feature maps."""

    @torch.inference_mode()
    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Return feature maps (N, C, H', W') float32; their means (N, C, 1, 1) if these will do."""
        clips = torch.from_numpy(frames)[:, None, None]  # one frame per clip and view
        data = self._model.data_preprocessor({"inputs": clips, "labels": None})
        images = data["inputs"][:, 0]
        if self._backbone is None:
            self._backbone = folded(self._model.backbone, images[:1])
        maps = [self._backbone(part)[:, :, 0] for part in images.split(FRAMES_AT_ONCE)]
        if self._averages:
            maps = [part.mean((2, 3), keepdim=True) for part in maps]
        return torch.cat(maps).cpu().numpy()

    @torch.inference_mode()
    def score(self, windows: np.ndarray) -> np.ndarray:
        """Return outputs (N, K) for windows of feature maps (N, T, C, H', W')."""
        head = self._model.cls_head
        return head.task.outputs(head(self.maps(windows)), 1).cpu().double().numpy()

    def maps(self, windows: np.ndarray) -> Tensor:
        """Return feature maps (N, C, T, H', W') for windows of frames' maps."""
        device = next(self._model.cls_head.parameters()).device
        return torch.from_numpy(windows).to(device).transpose(1, 2)
