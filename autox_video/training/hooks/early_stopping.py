"""Early stopping: end training once the validation score stops improving."""

import math
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from autox_video.metrics.selection_score import selection_score

SMOOTHING = 0.5
"""Weight of the previous smoothed score in the smoothing of validation scores."""


@HOOKS.register_module()
class EarlyStopping(Hook):
    """Stop once the smoothed selection score has not improved for `patience` evaluations."""

    priority = "NORMAL"

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.smoothed = self.highest = -math.inf
        self.waited = 0

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        score = selection_score(metrics)
        if score == -math.inf:
            return
        before = score if self.smoothed == -math.inf else self.smoothed
        self.smoothed = SMOOTHING * before + (1 - SMOOTHING) * score
        if self.smoothed > self.highest:
            self.highest, self.waited = self.smoothed, 0
            return
        self.waited += 1
        loop = runner.train_loop
        if self._is_over(runner) and loop.epoch < loop.max_epochs:
            sentence = (
                f"Early stopping: no improvement in {self.patience} evaluations. Training ends "
                f"after epoch {loop.epoch} of {loop.max_epochs}."
            )
            runner.call_hook("on_note", sentence=sentence)

    def after_resume(self, runner, best: dict[str, float] | None) -> None:
        """Stop immediately if early stopping had already ended the resumed run."""
        self._is_over(runner)

    def state_dict(self) -> dict[str, Any]:
        return {"smoothed": self.smoothed, "highest": self.highest, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def _is_over(self, runner) -> bool:
        runner.train_loop.stop_training = over = self.waited >= self.patience
        return over
