"""Single-label classification: each clip has one class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autox_video.core.errors import ListingError
from autox_video.metrics.calibration import calibration_figures, with_temperature
from autox_video.tasks.classification.metrics import class_accuracy, clip_losses, effective_clips
from autox_video.tasks.task import TASKS, Task

if TYPE_CHECKING:
    from torch import Tensor

    from autox_video.data.clip_table import ClipTable
    from autox_video.data.listing.listing import Listing


class SingleLabel(Task):
    """Single-label classification with softmax and cross-entropy.

    The outputs are the logs of the class probabilities after averaging over the views. Logs stay
    precise where probabilities would be rounded to 0 or 1.
    """

    name = "single_label"
    has_label_sets = False
    counts_right_clips = True
    calibrates = True
    balances_loss = True
    main_scores = ("top1", "balanced_accuracy")

    def fits(self, clips: ClipTable, data_root: str) -> bool:
        """Return whether each clip has a single label."""
        return not clips.has_label_sets

    def training_clips(self, listing: Listing) -> Listing:
        """Return the listing; raise ListingError if it has only one class."""
        if len(listing.classes) < 2:
            raise ListingError(
                f"{listing.train.source}: all clips are of the class `{listing.classes[0]}`; at "
                "least two classes are needed. To find the segments of one class in recordings, "
                "set task=localisation."
            )
        return listing

    def labels_of(self, targets: np.ndarray) -> np.ndarray:
        """Return class indices (N,)."""
        return targets.argmax(1)

    def loss(self, logits: Tensor, targets: Tensor, *, smoothing: float) -> dict[str, Tensor]:
        """Return the cross-entropy."""
        from torch.nn.functional import cross_entropy

        return {"loss_cls": cross_entropy(logits, targets, label_smoothing=smoothing)}

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of each clip."""
        return logits.logsumexp(-1) - (logits * targets).sum(-1)

    def outputs(self, logits: Tensor, views: int) -> Tensor:
        """Return the log of the mean probability over the views."""
        logs = logits.float().log_softmax(1).unflatten(0, (-1, views))
        return logs.logsumexp(1) - math.log(views)

    def mean_output(self, outputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the log of the weighted mean probability over the views."""
        shares = np.log(weights / weights.sum())
        return np.logaddexp.reduce(outputs + shares.reshape(-1, *[1] * (outputs.ndim - 1)), axis=0)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the softmax of outputs or logits."""
        return with_temperature(outputs, 1.0)

    def figures(
        self, scores: np.ndarray, labels: np.ndarray, *, balanced: bool = False
    ) -> dict[str, float]:
        """Return the metrics and the mean loss; if balanced, also `balanced_accuracy` and
        `effective_clips`, the effective sample size."""
        losses = clip_losses(scores, labels)
        figures = {**super().figures(scores, labels), "loss": float(losses.mean())}
        if balanced:
            counts = np.bincount(labels)[labels]
            figures["balanced_accuracy"] = figures["mean_class_accuracy"]
            figures["loss"] = float(np.average(losses, weights=1 / counts))
            figures["effective_clips"] = effective_clips(labels)
        return figures

    def evaluate(
        self, outputs: np.ndarray, labels: np.ndarray, *, balanced: bool = False
    ) -> dict[str, float]:
        """Return the metrics, the calibration temperature and the expected calibration error."""
        calibration = calibration_figures(outputs, labels, balanced=balanced)
        return {**super().evaluate(outputs, labels, balanced=balanced), **calibration}

    def class_scores(self, scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
        """Return the accuracy of each class."""
        return class_accuracy(scores, labels)

    def right(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return 1 for each correctly classified clip and 0 for every other clip."""
        return (scores.argmax(-1) == labels) * 1.0

    def predicted(self, scores: Sequence[float], classes: Sequence[str]) -> dict[str, Any]:
        """Return the class with the highest score."""
        top = int(np.argmax(scores))
        return {"predicted": top, "class": classes[top], "score": scores[top]}


TASKS.register("single_label")(SingleLabel())
