"""Score windows of frames; image models compute each frame's features once for all its windows.

Shape letters: N frames or windows, T frames per window, S side of a frame in pixels, K classes;
C channels, H' rows and W' columns of a frame's feature map.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
"""Number of frames whose features a GPU computes at a time."""


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
        self._on_gpu = _device(one.model).type != "cpu"
        self._is_first = True

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Return the frames."""
        return frames.copy()

    def score(self, windows: np.ndarray) -> np.ndarray:
        """Return outputs (N, K) for windows (N, T, S, S, 3) uint8."""
        inputs = torch.from_numpy(windows[:, None])
        if self._on_gpu or self._is_first:  # at first, models prepare their weights
            self._is_first = False
            return self._outputs(inputs).numpy()
        return on_each_core(self._outputs, inputs).numpy()

    def _outputs(self, inputs: Tensor) -> Tensor:
        places = range(len(inputs))
        outputs = self._scorer({"inputs": inputs, "positions": places})
        return torch.from_numpy(np.array([outputs[place] for place in places]))

    @torch.inference_mode()
    def maps(self, windows: np.ndarray) -> Tensor:
        """Return feature maps (N, C, T', H', W') for windows (N, T, S, S, 3) uint8."""
        data = {"inputs": torch.from_numpy(windows[:, None]), "labels": None}
        return self._model.backbone(self._model.data_preprocessor(data)["inputs"][:, 0])


class FeatureScorer:
    """Scores windows of features with an image model, which sees each frame by itself."""

    def __init__(self, one: Loaded) -> None:
        self._model, self.grid = one.model, grid_of(one)
        self._device = _device(one.model)
        self._backbone: nn.Module | None = None
        self._averages = type(one.model.cls_head) is ClipHead
        """Whether the head only sees the mean of a window's feature maps."""

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Return feature maps (N, C, H', W') float32; their means (N, C, 1, 1) if these will do."""
        clips = torch.from_numpy(frames)[:, None, None]  # one frame per clip and view
        if self._backbone is None:
            with torch.inference_mode():
                self._backbone = folded(self._model.backbone, self._images(clips[:1]))
        if self._device.type == "cpu":
            return on_each_core(self._features, clips).numpy()
        maps = [self._features(part).cpu() for part in clips.split(FRAMES_AT_ONCE)]
        return torch.cat(maps).numpy()

    def _images(self, clips: Tensor) -> Tensor:
        return self._model.data_preprocessor({"inputs": clips, "labels": None})["inputs"][:, 0]

    @torch.inference_mode()
    def _features(self, clips: Tensor) -> Tensor:
        maps = self._backbone(self._images(clips))[:, :, 0]
        return maps.mean((2, 3), keepdim=True) if self._averages else maps

    @torch.inference_mode()
    def score(self, windows: np.ndarray) -> np.ndarray:
        """Return outputs (N, K) for windows of feature maps (N, T, C, H', W')."""
        head = self._model.cls_head
        return head.task.outputs(head(self.maps(windows)), 1).cpu().double().numpy()

    def maps(self, windows: np.ndarray) -> Tensor:
        """Return feature maps (N, C, T, H', W') for windows of frames' maps."""
        return torch.from_numpy(windows).to(self._device).transpose(1, 2)


def on_each_core(function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """Compute a batch in parts, each on its own cores of the CPU, and return the joined outputs.

    When the layers of a whole batch are computed on all cores, each layer waits for the core that
    is slowed down by decoding.

    Args:
        function: computes outputs (N, ...) from a part (N, ...) of the batch.
        batch: the inputs (N, ...), N >= 1.
    """
    cores = torch.get_num_threads()
    parts = batch.tensor_split(min(cores, len(batch)))
    torch.set_num_threads(cores // len(parts))
    try:
        with ThreadPoolExecutor(len(parts)) as pool:
            return torch.cat(list(pool.map(function, parts)))
    finally:
        torch.set_num_threads(cores)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
