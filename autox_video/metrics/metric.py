"""The metrics by name, and what one is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autox_video.core.registry import Registry

Compute = Callable[[np.ndarray, np.ndarray], float]
Resampled = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of predictions, 0 to 1, the higher the better; registering one has it computed.

    Shape letters: N clips, K classes, B draws.
    """

    label: str
    """What it is called for people: `top-1`."""
    tasks: tuple[str, ...]
    """The tasks that have it."""
    compute: Compute | None = None
    """Scores (N, K) and labels ((N,), or (N, K) of 0 and 1) -> the figure."""
    resample: Callable[[np.ndarray, np.ndarray], Resampled] | None = None
    """The same at once for many draws of the clips, which is quicker: gives what takes (B, N), how
    often each clip is drawn, to (B,). One of the two is needed."""
    is_share: bool = False
    """Whether it is the share of clips that are right."""

    def value(self, scores: np.ndarray, labels: np.ndarray) -> float:
        """The figure of all clips."""
        if self.compute is not None:
            return float(self.compute(scores, labels))
        return float(self.resample(scores, labels)(np.ones((1, len(labels))))[0])


_CLASSIFICATION = "autox_video.tasks.classification.metrics"
METRICS: Registry[Metric] = Registry(
    "metric",
    dict.fromkeys(
        ("top1", "top5", "mean_class_accuracy", "mAP", "f1", "mean_class_f1"), _CLASSIFICATION
    ),
)
