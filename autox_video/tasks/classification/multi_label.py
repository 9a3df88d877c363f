"""Classification where a clip is of any number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autox_video.tasks.classification.metrics import POSITIVE_FROM, average_precision
from autox_video.tasks.task import TASKS, Task

if TYPE_CHECKING:
    from torch import Tensor


class MultiLabel(Task):
    """Each class has a probability of its own: sigmoid and binary cross-entropy.

    Outputs are probabilities; the labels of `figures` are (N, K) of 0 and 1.
    """

    name = "multi_label"
    has_label_sets = True
    counts_right_clips = False
    calibrates = False
    balances_loss = False
    main_scores = ("mAP", "mAP")

    def labels_of(self, targets: np.ndarray) -> np.ndarray:
        """(N, K) of 0 and 1, as they are."""
        return targets

    def loss(self, logits: Tensor, targets: Tensor, *, smoothing: float) -> dict[str, Tensor]:
        """Binary cross-entropy, the mean over classes."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        smoothed = targets * (1 - smoothing) + smoothing / 2
        return {"loss_cls": binary_cross_entropy_with_logits(logits, smoothed)}

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy of each clip, the mean over classes."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        wanted = targets.expand_as(logits)
        return binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(-1)

    def outputs(self, logits: Tensor, views: int) -> Tensor:
        """The mean probability over the views."""
        return logits.float().sigmoid().unflatten(0, (-1, views)).mean(dim=1)

    def mean_output(self, outputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The weighted mean probability."""
        return np.average(outputs, axis=0, weights=weights)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """As they are."""
        return outputs

    def figures(
        self, scores: np.ndarray, labels: np.ndarray, *, balanced: bool = False
    ) -> dict[str, float]:
        """The metrics, and the mean loss of a decision."""
        true_score = np.clip(np.where(labels > 0, scores, 1 - scores), 1e-12, None)
        return {**super().figures(scores, labels), "loss": float(-np.log(true_score).mean())}

    def class_scores(self, scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
        """The average precision of each class."""
        return average_precision(scores, labels)

    def details(
        self, scores: np.ndarray, labels: np.ndarray, classes: Sequence[str]
    ) -> dict[str, Any]:
        """The average precision of each class by its name; None where no clip is of it."""
        precisions = average_precision(scores, labels)
        by_class = {name: precisions.get(index) for index, name in enumerate(classes)}
        return {"average_precision": by_class}

    def right(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The share of the classes that are told right."""
        return ((scores >= POSITIVE_FROM) == (labels > 0)).mean(-1)

    def predicted(self, scores: Sequence[float], classes: Sequence[str]) -> dict[str, Any]:
        """Lists: of the classes that score at least 0.5, the best first."""
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        told = [index for index in order if scores[index] >= POSITIVE_FROM]
        names = [classes[index] for index in told]
        return {"predicted": told, "class": names, "score": [scores[index] for index in told]}


TASKS.register("multi_label")(MultiLabel())
