"""Which clips each evaluation was right about, so that the choice among them can be scored."""

from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook

from autox_video.metrics.calibration import calibrated_losses
from autox_video.metrics.headline import cross_validated
from autox_video.metrics.intervals import wilson_interval
from autox_video.metrics.selection_score import score_of_choice


class ValidationOutcomes(Hook):
    """Keep what every evaluation says of each clip, to score the choice of the best one.

    Args:
        groups: (N,) labels of validation clips that belong together, as in `groups`.
    """

    priority = "VERY_LOW"

    def __init__(self, groups: np.ndarray) -> None:
        self.groups = groups
        self._right: list[np.ndarray] = []
        self._losses: list[np.ndarray] = []
        self._weights: np.ndarray | None = None

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the outcome of each clip; one that cannot be read counts for nothing."""
        metric = runner.val_loop.evaluator.metrics[0]
        measured = metric.measured
        if measured is None or not np.isfinite(measured["logits"]).all():
            return
        logits, labels = measured["logits"], measured["labels"]
        outcomes = (
            metric.task.right(logits, labels),
            *calibrated_losses(logits, labels, balanced=metric.balanced),
        )
        right, losses, weights = (np.zeros(len(self.groups), dtype=np.float32) for _ in range(3))
        for column, values in zip((right, losses, weights), outcomes, strict=True):
            column[measured["positions"]] = values
        self._right.append(right)
        self._losses.append(losses)
        self._weights = weights if self._weights is None else np.minimum(self._weights, weights)

    def figures(self) -> dict[str, Any]:
        """The score of the choice, as `headline.cross_validated` gives it; {}: there is none."""
        if self._weights is None or not self._weights.any():
            return {}
        counts = self._weights > 0
        score = score_of_choice(
            *(np.stack(each)[:, counts].astype(np.float64) for each in (self._right, self._losses)),
            self._weights[counts].astype(np.float64),
            self.groups[counts],
        )
        if score is None:
            return {}
        clips = int(counts.sum())
        return cross_validated(score, *wilson_interval(score * clips, clips), clips)

    def state_dict(self) -> dict[str, Any]:
        """What was kept; nothing before the first evaluation."""
        if self._weights is None:
            return {}
        kept = {"right": self._right, "losses": self._losses, "weights": self._weights}
        return {name: torch.from_numpy(np.array(each)) for name, each in kept.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._right, self._losses = (
            [each.numpy() for each in state.get(name, ())] for name in ("right", "losses")
        )
        self._weights = state["weights"].numpy() if state else None
