"""Record per-clip evaluation results, to estimate the best score without selection bias.

Shape letters: E evaluations, N clips.
"""

from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook

from autox_video.metrics.calibration import calibrated_losses
from autox_video.metrics.headline import cross_validated
from autox_video.metrics.intervals import wilson_interval
from autox_video.metrics.selection_score import score_of_choice


class ValidationOutcomes(Hook):
    """Record per-clip results, to cross-validate the choice of the best evaluation.

    Args:
        groups: group of each validation clip, (N,); clips of a group stay in the same fold.
    """

    priority = "VERY_LOW"

    def __init__(self, groups: np.ndarray) -> None:
        self.groups = groups
        self.columns = np.zeros((0, 3, len(groups)), dtype=np.float32)
        """Correctness (0 or 1), calibrated loss and weight of each clip, (E, 3, N)."""

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Record the result for each clip; unreadable clips have a weight of 0."""
        metric = runner.val_loop.evaluator.metrics[0]
        if metric.measured is None:
            return
        logits, labels = metric.measured["logits"], metric.measured["labels"]
        outcomes = (
            metric.task.right(logits, labels),
            *calibrated_losses(logits, labels, balanced=metric.balanced),
        )
        columns = np.zeros((1, 3, len(self.groups)), dtype=np.float32)
        columns[0][:, metric.measured["positions"]] = outcomes
        self.columns = np.concatenate([self.columns, columns])

    def figures(self) -> dict[str, Any]:
        """Return the `cross_validated` fields for the best evaluation; {} if there is no score."""
        if not len(self.columns):
            return {}
        right, losses, weights = self.columns.astype(np.float64).transpose(1, 0, 2)
        weights = weights.min(axis=0)
        counts = weights > 0
        clips = int(counts.sum())
        score = None
        if clips:
            score = score_of_choice(
                right[:, counts], losses[:, counts], weights[counts], self.groups[counts]
            )
        if score is None:
            return {}
        return cross_validated(score, *wilson_interval(score * clips, clips), clips)

    def state_dict(self) -> dict[str, Any]:
        return {"columns": torch.from_numpy(self.columns)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.columns = state["columns"].numpy()
