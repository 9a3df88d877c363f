"""The validation metric: the same figures, from the same code, as in results.json."""

from collections.abc import Sequence
from typing import Any

import autox_video.mm_compat  # noqa: F401

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric

from autox_video.results import metrics, multi_label_metrics


@METRICS.register_module()
class ClipMetric(BaseMetric):
    """Top-1, top-5, mean class accuracy and loss of predicted probabilities.

    Args:
        multi_label: clips are of any number of classes, their labels (K,) of 0 and 1; the figures
            then are mAP, F1 and loss.
        options: of mmengine's BaseMetric.
    """

    def __init__(self, *, multi_label: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.multi_label = multi_label

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep probabilities and label of each clip of a batch."""
        for sample in data_samples:
            scores = sample["pred_score"].float().cpu().numpy()
            label = sample["gt_label"]
            label = label.cpu().numpy().reshape(-1) if self.multi_label else int(label)
            self.results.append((scores, label))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The figures over all clips; `clips` is their number."""
        if not results:
            return {"clips": 0}
        scores, labels = (np.stack(column) for column in zip(*results, strict=True))
        measure = multi_label_metrics if self.multi_label else metrics
        return {**measure(scores, labels), "clips": len(labels)}
