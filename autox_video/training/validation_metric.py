"""The validation metrics, computed by the same code as the test metrics in results.json."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric

from autox_video.distributed import processes
from autox_video.tasks.task import TASKS


@METRICS.register_module()
class ClipMetric(BaseMetric):
    """Computes the validation metrics of a task.

    Args:
        task: name of the task, as in TASKS.
        balanced: whether all classes have equal weight, as in `Task.figures`.
        options: further arguments of mmengine's BaseMetric.
    """

    def __init__(
        self, *, task: str = "single_label", balanced: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.task = TASKS[task]
        self.balanced = balanced
        self.measured: dict[str, np.ndarray] | None = None
        """Outputs of the last evaluation: `positions` (N,) of the clips in the clip list, `logits`
        (N, K) and `labels` (N,); None unless the outputs are finite logits."""

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Store the position, the outputs and the label of each clip."""
        for position, sample in zip(data_batch["positions"], data_samples, strict=True):
            label = sample["gt_label"][0].cpu().numpy()
            self.results.append((position, sample["pred_output"].float().cpu().numpy(), label))

    def evaluate(self, size: int) -> dict[str, float]:
        """Return the metrics over the clips of all processes."""
        every = sorted(chain.from_iterable(processes.all_gather(self.results)), key=lambda r: r[0])
        self.results.clear()
        return self.compute_metrics(every)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the metrics over all clips, with the number of clips as `clips`."""
        self.measured = None
        if not results:
            return {"clips": 0}
        positions, outputs, labels = map(np.stack, zip(*results, strict=True))
        if self.task.calibrates and np.isfinite(outputs).all():
            self.measured = {"positions": positions, "logits": outputs, "labels": labels}
        figures = self.task.evaluate(outputs, labels, balanced=self.balanced)
        return {**figures, "clips": len(labels)}
