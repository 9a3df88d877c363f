"""Features of short, equal steps of a recording, from windows that overlap.

Shape letters: W windows, T frames per window, J time steps of a window's feature map, C channels,
K classes, N steps of a recording, D features of a step.
"""

from dataclasses import dataclass

import numpy as np
import torch

from autox_video.evaluation.ensemble import Loaded
from autox_video.prediction.grid_reader import Grid
from autox_video.prediction.scan import Scanned, nearest
from autox_video.prediction.window_scorer import window_scorer

FEWEST_STEPS = 4
"""A window's feature map with fewer time steps is averaged over time."""


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """The steps of a recording."""

    edges: np.ndarray
    """Times (N + 1,) in seconds at which steps start and end; presentation times."""
    features: np.ndarray
    """Features (N, D) float32 of each step."""
    classifier: np.ndarray
    """Probabilities (N, K) of each class by the classifier, without the background."""


class StepScorer:
    """Computes the features of the steps of windows; a WindowScorer.

    The features of a step are the mean over its part of the feature map, and the log-probabilities
    of the whole window, with the background as the last class.
    """

    def __init__(self, one: Loaded) -> None:
        plan = one.record.plan
        self._inner = window_scorer(one)
        self._head = one.model.cls_head
        frames = np.zeros((plan.clip_len, plan.resolution, plan.resolution, 3), np.uint8)
        steps = self._inner.maps(self._inner.encode(frames)[None]).shape[2]
        self.is_fine = steps >= FEWEST_STEPS
        step = plan.clip_len // 2 if self.is_fine else round(plan.clip_len / FEWEST_STEPS)
        self.grid = Grid(plan.clip_len, plan.frame_interval_sec, max(1, step))
        """The windows that are scored."""
        self.step_sec = self.grid.span_sec / (steps if self.is_fine else FEWEST_STEPS)
        """Length of a step of a recording in seconds."""

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Return what is kept of frames; see WindowScorer."""
        return self._inner.encode(frames)

    @torch.inference_mode()
    def score(self, windows: np.ndarray) -> np.ndarray:
        """Return features (W, J, D) of windows of encoded frames (W, T, ...)."""
        maps = self._inner.maps(windows)
        logs = self._head(maps).float().log_softmax(1)
        means = maps.float().mean((3, 4)).transpose(1, 2)
        if not self.is_fine:
            means = means.mean(1, keepdim=True)
        logs = logs[:, None].expand(-1, means.shape[1], -1)
        return torch.cat([means, logs], 2).cpu().numpy()


def steps_of(scanned: Scanned, scorer: StepScorer, classes: int) -> Steps:
    """Return the steps of a scanned recording, given the number of classes with the background.

    A step takes the features from the window whose middle is nearest.
    """
    count = max(1, round(scanned.seconds / scorer.step_sec))
    edges = scanned.begin_sec + np.arange(count + 1) * scorer.step_sec
    edges[-1] = scanned.begin_sec + scanned.seconds
    middles = (edges[:-1] + edges[1:]) / 2
    span_sec = scorer.grid.span_sec
    window = nearest(scanned.starts + span_sec / 2, middles)
    parts = scanned.outputs.shape[1]
    place = ((middles - scanned.starts[window]) / (span_sec / parts)).astype(int)
    features = scanned.outputs[window, np.clip(place, 0, parts - 1)]
    return Steps(edges, features, np.exp(features[:, -classes:-1]))
