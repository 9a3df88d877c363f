"""Finish training early once all validation clips are classified correctly."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from autox_video.metrics.selection_score import main_score
from autox_video.training.moved_end import MovedEnd, current_end, move_end, restore_end

ANNEALED_SHARE = 0.5
"""Number of annealing epochs relative to the number of epochs before annealing."""


@HOOKS.register_module()
class FinishEarly(Hook):
    """Anneal the learning rate and end training once validation is perfect.

    Validation is perfect if every clip is classified correctly and the loss is small. If validation
    is no longer perfect after annealing, training continues as planned.

    Args:
        loss: upper limit of the calibrated validation loss, in nats.
    """

    priority = "NORMAL"  # before the checkpoint hook, so that the decision is saved

    def __init__(self, loss: float) -> None:
        self.loss = loss
        self._end: MovedEnd | None = None
        self._loaded: dict[str, Any] = {}

    def before_run(self, runner) -> None:
        self._planned = current_end(runner)
        runner.train_loop.told_epochs = self._planned["epochs"]

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Bring the end of training forward, or restore the planned end."""
        loop, planned = runner.train_loop, self._planned["epochs"]
        is_perfect = self._is_perfect(metrics)
        epochs = loop.epoch + max(1, round(ANNEALED_SHARE * loop.epoch))
        if self._end is None and is_perfect and epochs < planned:
            self._end = move_end(runner, epochs, epochs * loop.steps_in_epoch)
            note = (
                "All validation clips are classified correctly: training ends after epoch "
                f"{epochs} instead of {planned}."
            )
        elif self._end is not None and not is_perfect and loop.epoch == self._end["epochs"]:
            self._end, epochs = None, planned
            restore_end(runner, self._planned)
            note = f"Validation is not perfect after all: training continues to epoch {planned}."
        else:
            return
        loop.told_epochs = epochs
        runner.call_hook("on_note", sentence=note)

    def after_resume(self, runner, best: dict[str, float] | None) -> None:
        """Restore an early end of training from the checkpoint, unless the plan has changed."""
        if self._loaded.get("end") and self._loaded["planned"] == self._planned["epochs"]:
            self._end = self._loaded["end"]
            restore_end(runner, self._end)
            runner.train_loop.told_epochs = self._end["epochs"]

    def state_dict(self) -> dict[str, Any]:
        return {"end": self._end, "planned": self._planned["epochs"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loaded = state

    def _is_perfect(self, metrics: dict[str, float] | None) -> bool:
        key = main_score(metrics)
        return (
            key is not None
            and metrics[key] == 1
            and metrics.get("calibrated_loss", metrics["loss"]) < self.loss
        )
