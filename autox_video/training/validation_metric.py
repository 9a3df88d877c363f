"""The validation metric: the same figures, from the same code, as in results.json."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric

from autox_video.distributed import processes
from autox_video.metrics.calibration import calibration_figures, with_temperature
from autox_video.metrics.results import metrics, multi_label_metrics


@METRICS.register_module()
class ClipMetric(BaseMetric):
    """Top-1, top-5, mean class accuracy and loss of predicted probabilities.

    Args:
        multi_label: clips are of any number of classes, their labels (K,) of 0 and 1; the figures
            then are mAP, F1 and loss.
        balanced: all classes count alike, as in `results.metrics`; not used with `multi_label`.
        options: of mmengine's BaseMetric.
    """

    def __init__(
        self, *, multi_label: bool = False, balanced: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.multi_label = multi_label
        self.balanced = balanced
        self.measured: dict[str, np.ndarray] | None = None
        """Of the last evaluation, where a clip has one class: `positions` (N,) of the clips in
        their list, their `logits` (N, K) and `labels` (N,)."""

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep position, logits (of several classes, probabilities) and label of each clip."""
        for position, sample in zip(data_batch["positions"], data_samples, strict=True):
            said = sample["pred_score" if self.multi_label else "pred_logit"].float().cpu().numpy()
            label = sample["gt_label"]
            label = label.cpu().numpy().reshape(-1) if self.multi_label else int(label)
            self.results.append((position, said, label))

    def evaluate(self, size: int) -> dict[str, float]:
        """The figures over the clips of all processes, in the order of the list."""
        every = sorted(chain.from_iterable(processes.all_gather(self.results)), key=lambda r: r[0])
        self.results.clear()
        return self.compute_metrics(every)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The figures over all clips; `clips` is their number.

        Of one class a clip, the temperature that calibrates them and the errors besides.
        """
        if not results:
            return {"clips": 0}
        positions, said, labels = map(np.stack, zip(*results, strict=True))
        clips = {"clips": len(labels)}
        if self.multi_label:
            return {**multi_label_metrics(said, labels), **clips}
        self.measured = {"positions": positions, "logits": said, "labels": labels}
        # So the best weights keep the temperature that was found for them.
        figures = calibration_figures(said, labels, balanced=self.balanced)
        scores = with_temperature(said, 1.0)
        return {**metrics(scores, labels, balanced=self.balanced), **figures, **clips}
