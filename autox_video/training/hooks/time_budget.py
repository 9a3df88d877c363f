"""Keep a run within its time budget by shortening training that is slower than predicted.

The main process decides when training ends, based on the run's clock, and tells the other
processes. Checkpoints include the end of training, so that a resumed run ends at the same point.
"""

import time
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from autox_video.distributed import processes
from autox_video.run.clock import running_clock
from autox_video.training.deadline import EarlySteps, End, Pace
from autox_video.training.moved_end import move_end, restore_end

LONGER, LONGER_FILLS = 1.15, 0.9
"""Training is extended if LONGER times the remaining steps would fit into the share LONGER_FILLS of
the remaining time."""
MORE_UNTIL, BACK_UNTIL = 0.5, 0.9
"""Training may be extended beyond the plan until the share MORE_UNTIL of all steps is done.
Shortened training may be extended back to the plan until the share BACK_UNTIL is done."""
FEWEST_STRETCHES = 2
"""Minimum number of measured epochs over which the speed is averaged, if that many exist."""
TRUSTED_STEPS = 8
"""Number of measured steps that together weigh as much as the predicted speed."""
TOLD_SHARE = 0.15
"""Smallest shift of the end of training that is reported, as a share of the planned steps."""
LOOK_SHARE = 0.005
"""Time between two checks in the same epoch, as a share of the time budget."""


@HOOKS.register_module()
class TimeBudget(Hook):
    """Move the end of training to keep the run within the time budget.

    After each epoch, the number of epochs is updated, based on the recent training speed. The
    speed is averaged over half as many epochs as remain. The number of epochs is reduced if time is
    short, and restored to the plan if time is no longer short. In the first half of training, the
    number of epochs may also exceed the plan if there is plenty of time. An epoch that cannot be
    finished in time is cut short.

    Args:
        budget_sec: time budget of the whole run.
        reserve_sec: part of the budget that is reserved for everything after training.
        first_epoch_sec: predicted time of the first epoch.
        epoch_sec: predicted time of each epoch after the first.
        evaluation_sec: predicted time of an evaluation.
        most_epochs: maximum number of epochs.
        early_share: share of all steps that are early steps (see `EarlySteps`).
        early_cost: predicted duration of an early step relative to a later step.
    """

    priority = "LOWEST"

    def __init__(
        self,
        budget_sec: float,
        reserve_sec: float,
        first_epoch_sec: float,
        epoch_sec: float,
        evaluation_sec: float,
        most_epochs: int,
        early_share: float = 0.0,
        early_cost: float = 1.0,
    ) -> None:
        self.budget_sec = budget_sec
        self.reserve_sec = reserve_sec
        self.predicted_sec = first_epoch_sec, epoch_sec
        self.evaluation_sec = evaluation_sec
        self.most_epochs = most_epochs
        self.early = EarlySteps(early_share, early_cost)
        self._cut: dict[str, Any] | None = None
        self._loaded: dict[str, Any] | None = None
        self._stretches: list[tuple[float, float]] = []
        """Measured and predicted durations, in seconds, of the epochs trained by this process."""
        self._began: tuple[float, int] | None = None
        """Time and step at which this process started or resumed the current epoch."""
        self._next_look = 0.0
        self._told_step: int | None = None
        """Total number of training steps last reported to the user."""

    def before_run(self, runner) -> None:
        self.runner = runner
        self.clock = running_clock(Path(runner.work_dir), self.budget_sec)
        self._planned = runner.train_loop.told_epochs = runner.train_loop.max_epochs

    def before_train_epoch(self, runner) -> None:
        self._began = time.monotonic(), runner.train_loop.iter

    def after_train_epoch(self, runner) -> None:
        """Record the measured and predicted duration of the epoch."""
        self._stretches.append(self._taken(runner.train_loop))
        self._began = None

    def before_val(self, runner) -> None:
        self._val_started = time.monotonic()

    def after_val(self, runner) -> None:
        """Use the duration of the evaluation as the prediction for later evaluations."""
        self.evaluation_sec = time.monotonic() - self._val_started

    def after_resume(self, runner, best: dict[str, float] | None) -> None:
        """Restore the checkpoint's end of training, unless the plan or budget has changed."""
        loop, cut = runner.train_loop, self._loaded
        if cut is None or cut["of"] != self._decided_for(loop):
            return
        self._cut = cut
        restore_end(runner, cut)

    def after_roll_back(self, runner, sentence: str) -> None:
        """Discard the time measured in the current epoch, but keep the end of training."""
        self._began = None

    def state_dict(self) -> dict[str, Any]:
        return {"cut": self._cut}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loaded = state["cut"]

    def may_evaluate(self) -> bool:
        """Return whether there is time for an evaluation; all processes must call this method."""
        return processes.run_on_rank_zero(lambda: self._left_sec() >= self.evaluation_sec)

    def settle(self, loop) -> None:
        """Update the end of training between two epochs; all processes must call this method."""
        self._tell(loop)
        if loop.epoch < loop.max_epochs:
            end = self._other_end(loop, End(loop.max_epochs, loop.max_iters))
            if end := processes.broadcast(end):
                self.end_at(loop, *end)

    def new_end(self, loop) -> tuple[int, int]:
        """Return the new numbers of epochs and steps if the end of training must move, else (0, 0).

        Only the main process decides; the caller must send the result to the other processes.
        """
        now = time.monotonic()
        if self._began is None or now < self._next_look or not processes.current().is_main:
            return 0, 0
        self._next_look = now + LOOK_SHARE * self.budget_sec
        whole = (loop.epoch + 1) * loop.steps_in_epoch
        return self._other_end(loop, End(loop.epoch + 1, min(whole, loop.max_iters))) or (0, 0)

    def end_at(self, loop, epochs: int, last_step: int) -> None:
        """Move the end of training and the schedule; all processes must call this method."""
        self._cut = {**move_end(self.runner, epochs, last_step), "of": self._decided_for(loop)}
        self._tell(loop)

    def _other_end(self, loop, at_hand: End) -> End | None:
        """Return an earlier end if time is short, a later one if time is left, otherwise None."""
        pace = self._pace(loop)
        left_sec = self._left_sec() - self.evaluation_sec * loop.evaluation_is_due()
        end = pace.end_in_time(at_hand, left_sec)
        if end != at_hand:
            return End(end.epochs, max(end.last_step, loop.iter))
        known = self._stretches or (self._began and loop.iter - self._began[1] >= TRUSTED_STEPS)
        if not known or loop.iter > BACK_UNTIL * loop.max_iters:
            return None
        epochs = self.most_epochs if loop.iter <= MORE_UNTIL * loop.max_iters else self._planned
        most = End(epochs, epochs * loop.steps_in_epoch)
        later = pace.end_in_time(most, LONGER_FILLS * left_sec)
        is_longer = later.last_step - loop.iter > LONGER * (loop.max_iters - loop.iter)
        return later if is_longer else None

    def _decided_for(self, loop) -> list[float]:
        return [self._planned, loop.steps_in_epoch, self.budget_sec]

    def _left_sec(self) -> float:
        return self.clock.left_sec - self.reserve_sec

    def _taken(self, loop) -> tuple[float, float]:
        """Return the measured and predicted durations of the part of the epoch trained so far."""
        if self._began is None:
            return 0.0, 0.0
        began, step = self._began
        steps = self.early.worth(step, loop.iter, loop.max_iters)
        return time.monotonic() - began, steps * self._predicted_step_sec(loop)

    def _predicted_step_sec(self, loop) -> float:
        return self.predicted_sec[loop.epoch > 0] / loop.steps_in_epoch

    def _pace(self, loop) -> Pace:
        """Return the progress and the recent speed, averaged to smooth out short slowdowns."""
        step_sec = self._predicted_step_sec(loop)
        # Within the first epoch, the prediction counts as a few measured steps.
        prior_sec = 0.0 if self._stretches else TRUSTED_STEPS * step_sec
        # The first epoch has one-time costs.
        usual = self._stretches[1:] if len(self._stretches) > FEWEST_STRETCHES else self._stretches
        many = max(FEWEST_STRETCHES, (loop.max_epochs - loop.epoch) // 2)
        known = [*usual[-many:], self._taken(loop), (prior_sec, prior_sec)]
        taken_sec, predicted_sec = (sum(seconds) for seconds in zip(*known, strict=True))
        return Pace(
            *(loop.iter, loop.epoch, loop.steps_in_epoch, loop.val_interval),
            step_sec=step_sec * taken_sec / predicted_sec,
            evaluation_sec=self.evaluation_sec,
            early=self.early,
        )

    def _tell(self, loop) -> None:
        """Tell the user about a new end of training when training is over or the change is large.

        In the first half of training, the end may still move in both directions and is usually not
        reported. Later, only large changes are reported.
        """
        over = loop.epoch >= loop.max_epochs
        may_move = loop.iter <= MORE_UNTIL * loop.max_iters
        may_move &= loop.epoch == 0 or loop.epoch + 1 < loop.max_epochs
        if self._cut is None or (may_move and not over):
            return
        planned = self._planned * loop.steps_in_epoch
        moved = abs(self._cut["last_step"] - (self._told_step or planned))
        if moved > (0 if over else TOLD_SHARE * planned):
            self._told_step, loop.told_epochs = self._cut["last_step"], self._cut["epochs"]
            sentence = self._sentence(loop.steps_in_epoch, over=over)
            self.runner.call_hook("on_note", sentence=sentence)

    def _sentence(self, steps_in_epoch: int, *, over: bool) -> str:
        epochs, step = self._cut["epochs"], self._cut["last_step"]
        step -= (epochs - 1) * steps_in_epoch
        within = "" if step == steps_in_epoch else f"step {step} of {steps_in_epoch} in "
        return (
            f"time_budget: training {'ended' if over else 'ends'} after {within}epoch {epochs} "
            f"({self._planned} planned)."
        )
