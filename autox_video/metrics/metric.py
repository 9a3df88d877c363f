"""Metrics, and their registry."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autox_video.core.registry import Registry

Compute = Callable[[np.ndarray, np.ndarray], float]
Resampled = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, 0 to 1, higher is better; every registered metric is computed and reported.

    Shape letters: N clips, K classes, B draws.
    """

    label: str
    """Its name in messages: `top-1`."""
    tasks: tuple[str, ...]
    """Names of the tasks that it applies to."""
    compute: Compute | None = None
    """Maps scores (N, K) and labels ((N,), or (N, K) of 0 and 1) to the value."""
    resample: Callable[[np.ndarray, np.ndarray], Resampled] | None = None
    """A faster form for the bootstrap: given scores and labels, a function from (B, N), how often
    each clip is drawn, to values (B,). One of the two is needed."""
    is_share: bool = False
    """Whether it is the share of correct clips."""

    def value(self, scores: np.ndarray, labels: np.ndarray) -> float:
        """Return the metric over all clips."""
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
