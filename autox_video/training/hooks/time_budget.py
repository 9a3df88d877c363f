"""Keeping the time budget by shortening training if it is slower than predicted.

The main process makes the decisions, based on the clock of the run, and sends them to the other
processes. Checkpoints contain the decisions, so that a resumed run follows them.
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
"""Training is extended if LONGER times the remaining steps fit into the share LONGER_FILLS of the
remaining time."""
MORE_UNTIL, BACK_UNTIL = 0.5, 0.9
"""Shares of all steps: until MORE_UNTIL, training may be extended beyond the plan; until
BACK_UNTIL, shortened training may be extended back to the plan."""
FEWEST_STRETCHES = 2
"""Smallest number of epochs over which the speed is averaged, once that many are measured."""
TRUSTED_STEPS = 8
"""The predicted speed has the same weight as this many measured steps."""
TOLD_SHARE = 0.15
"""The user is told about a new end if it moves by more than this share of the planned steps."""
LOOK_SHARE = 0.005
"""Time between two checks of the end within an epoch, as a share of the budget."""


@HOOKS.register_module()
class TimeBudget(Hook):
    """Move the end of training to keep the time budget.

    After each epoch the number of remaining epochs is chosen again, based on the recent speed,
    which is measured over half as many epochs. It is reduced if time is short, and restored to the
    plan if time is no longer short. In the first half of training it may also exceed the plan if
    there is plenty of time. An epoch that cannot be finished in time is cut short.

    Args:
        budget_sec: time budget of the whole run.
        reserve_sec: part of the budget that is reserved for everything after training.
        first_epoch_sec: predicted time of the first epoch.
        epoch_sec: predicted time of each later epoch.
        evaluation_sec: predicted time of an evaluation.
        most_epochs: largest useful number of epochs.
        early_share: share of all steps that are early steps (see `EarlySteps`).
        early_cost: predicted cost of an early step relative to a later step.
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
        """Measured and predicted seconds of each epoch trained by this process."""
        self._began: tuple[float, int] | None = None
        """Time and step at which this process began the current epoch or resumed within it."""
        self._next_look = 0.0
        self._told_step: int | None = None
        """The last step of training that the user was told about."""

    def before_run(self, runner) -> None:
        self.runner = runner
        self.clock = running_clock(Path(runner.work_dir), self.budget_sec)
        self._planned = runner.train_loop.told_epochs = runner.train_loop.max_epochs

    def before_train_epoch(self, runner) -> None:
        self._began = time.monotonic(), runner.train_loop.iter

    def after_train_epoch(self, runner) -> None:
        """Record the measured and predicted time of the epoch."""
        self._stretches.append(self._taken(runner.train_loop))
        self._began = None

    def before_val(self, runner) -> None:
        self._val_started = time.monotonic()

    def after_val(self, runner) -> None:
        """Expect later evaluations to take as long as this one."""
        self.evaluation_sec = time.monotonic() - self._val_started

    def after_resume(self, runner, best: dict[str, float] | None) -> None:
        """Restore the end from the checkpoint, unless the plan or the budget has changed."""
        loop, cut = runner.train_loop, self._loaded
        if cut is None or cut["of"] != self._decided_for(loop):
            return
        self._cut = cut
        restore_end(runner, cut)

    def after_roll_back(self, runner, sentence: str) -> None:
        """Restart the measurement, but keep the decisions made since that checkpoint."""
        self._began = None

    def state_dict(self) -> dict[str, Any]:
        return {"cut": self._cut}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._loaded = state["cut"]

    def may_evaluate(self) -> bool:
        """Return whether there is time for another evaluation; all processes must call this."""
        return processes.run_on_rank_zero(lambda: self._left_sec() >= self.evaluation_sec)

    def settle(self, loop) -> None:
        """Choose the end of training again between two epochs; all processes must call this."""
        self._tell(loop)
        if loop.epoch < loop.max_epochs:
            end = self._other_end(loop, End(loop.max_epochs, loop.max_iters))
            if end := processes.broadcast(end):
                self.end_at(loop, *end)

    def new_end(self, loop) -> tuple[int, int]:
        """Return the new total epochs and steps if the end has to move now, else (0, 0).

        Only the main process decides, based on its clock; the caller must tell the others.
        """
        now = time.monotonic()
        if self._began is None or now < self._next_look or not processes.current().is_main:
            return 0, 0
        self._next_look = now + LOOK_SHARE * self.budget_sec
        whole = (loop.epoch + 1) * loop.steps_in_epoch
        return self._other_end(loop, End(loop.epoch + 1, min(whole, loop.max_iters))) or (0, 0)

    def end_at(self, loop, epochs: int, last_step: int) -> None:
        """Move the end of training and of the schedule; all processes must call this."""
        self._cut = {**move_end(self.runner, epochs, last_step), "of": self._decided_for(loop)}
        self._tell(loop)

    def _other_end(self, loop, at_hand: End) -> End | None:
        """Return an earlier end if time is short, a later end if there is plenty, else None."""
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
        """Return the measured and the predicted time of this process's part of the epoch."""
        if self._began is None:
            return 0.0, 0.0
        began, step = self._began
        steps = self.early.worth(step, loop.iter, loop.max_iters)
        return time.monotonic() - began, steps * self._predicted_step_sec(loop)

    def _predicted_step_sec(self, loop) -> float:
        return self.predicted_sec[loop.epoch > 0] / loop.steps_in_epoch

    def _pace(self, loop) -> Pace:
        """Return the recent speed, averaged over enough steps to smooth short slowdowns."""
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
        """Tell the user about a new end of training once it is settled or has changed a lot.

        In the first half of training the end may still move in both directions. After that it
        moves slightly with every slow or fast step, which is not worth a message.
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
