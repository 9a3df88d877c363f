"""Multi-label classification: a clip can have any number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autox_video.tasks.classification.metrics import POSITIVE_FROM, average_precision
from autox_video.tasks.task import TASKS, Task

if TYPE_CHECKING:
    from torch import Tensor

    from autox_video.data.clip_table import ClipTable


class MultiLabel(Task):
    """Multi-label classification with a sigmoid and binary cross-entropy for each class.

    Outputs are probabilities. `figures` takes labels (N, K) of 0 and 1.
    """

    name = "multi_label"
    has_label_sets = True
    counts_right_clips = False
    calibrates = False
    balances_loss = False
    main_scores = ("mAP", "mAP")

    def fits(self, clips: ClipTable, data_root: str) -> bool:
        """Return whether the labels are sets of classes."""
        return clips.has_label_sets

    def labels_of(self, targets: np.ndarray) -> np.ndarray:
        """Return the targets (N, K) unchanged."""
        return targets

    def loss(self, logits: Tensor, targets: Tensor, *, smoothing: float) -> dict[str, Tensor]:
        """Return the binary cross-entropy, averaged over classes."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        smoothed = targets * (1 - smoothing) + smoothing / 2
        return {"loss_cls": binary_cross_entropy_with_logits(logits, smoothed)}

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the binary cross-entropy of each clip, averaged over classes."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        wanted = targets.expand_as(logits)
        return binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(-1)

    def outputs(self, logits: Tensor, views: int) -> Tensor:
        """Return the mean probability over the views."""
        return logits.float().sigmoid().unflatten(0, (-1, views)).mean(dim=1)

    def mean_output(self, outputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the weighted mean probability over the views."""
        return np.average(outputs, axis=0, weights=weights)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs unchanged."""
        return outputs

    def figures(
        self, scores: np.ndarray, labels: np.ndarray, *, balanced: bool = False
    ) -> dict[str, float]:
        """Return the metrics and the mean binary cross-entropy."""
        true_score = np.clip(np.where(labels > 0, scores, 1 - scores), 1e-12, None)
        return {**super().figures(scores, labels), "loss": float(-np.log(true_score).mean())}

    def class_scores(self, scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
        """Return the average precision of each class."""
        return average_precision(scores, labels)

    def details(
        self, scores: np.ndarray, labels: np.ndarray, classes: Sequence[str]
    ) -> dict[str, Any]:
        """Return the average precision for each class name; None for a class without clips."""
        precisions = average_precision(scores, labels)
        by_class = {name: precisions.get(index) for index, name in enumerate(classes)}
        return {"average_precision": by_class}

    def right(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return, for each clip, the share of classes that are predicted correctly."""
        return ((scores >= POSITIVE_FROM) == (labels > 0)).mean(-1)

    def predicted(self, scores: Sequence[float], classes: Sequence[str]) -> dict[str, Any]:
        """Return the classes that score at least 0.5 and their scores, highest score first."""
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        told = [index for index in order if scores[index] >= POSITIVE_FROM]
        names = [classes[index] for index in told]
        return {"predicted": told, "class": names, "score": [scores[index] for index in told]}


TASKS.register("multi_label")(MultiLabel())
