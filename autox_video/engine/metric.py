"""The validation metric: the same figures, from the same code, as in results.json."""

from collections.abc import Sequence

import autox_video.mm_compat  # noqa: F401

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric

from autox_video.results import metrics


@METRICS.register_module()
class ClipMetric(BaseMetric):
    """Top-1, top-5, mean class accuracy and loss of predicted probabilities."""

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep probabilities and label of each clip of a batch."""
        for sample in data_samples:
            scores = sample["pred_score"].float().cpu().numpy()
            self.results.append((scores, int(sample["gt_label"])))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The figures over all clips; `clips` is their number."""
        if not results:
            return {"clips": 0}
        scores, labels = zip(*results, strict=True)
        return {**metrics(np.stack(scores), np.array(labels)), "clips": len(labels)}
