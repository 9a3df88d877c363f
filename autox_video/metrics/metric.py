"""Metrics and their registry."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autox_video.core.registry import Registry

Compute = Callable[[np.ndarray, np.ndarray], float]
Resampled = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric from 0 to 1, where higher is better; all registered metrics are reported.

    Shape letters: N clips, K classes, B bootstrap draws.
    """

    label: str
    """Name of the metric in messages, such as `top-1`."""
    tasks: tuple[str, ...]
    """Names of the tasks that the metric applies to."""
    compute: Compute | None = None
    """Function that returns the metric for scores (N, K) and labels, (N,) or (N, K) of 0 and 1."""
    resample: Callable[[np.ndarray, np.ndarray], Resampled] | None = None
    """Faster alternative for the bootstrap: function of scores and labels that returns another
    function, which takes the number of times each clip is drawn, (B, N), and returns the metric of
    each draw, (B,). At least one of `compute` and `resample` is required."""
    is_share: bool = False
    """Whether the metric is the share of correctly classified clips."""

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
