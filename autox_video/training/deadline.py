"""Where a training run must end to stay within its time; pure arithmetic."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from autox_video.planning.predicted_time import Prediction, evaluations

RESERVE_SHARE, RESERVE_SEC = 0.01, 1.5
"""Of the budget, and at least, that is kept for saving and the end of the command."""
TEST_MARGIN = 1.15
"""Over the predicted time of the test, which cannot be cut short."""


def time_to_keep(budget_sec: float, prediction: Prediction) -> float:
    """What of a budget is kept for what comes after training, in seconds."""
    return max(RESERVE_SHARE * budget_sec, RESERVE_SEC) + TEST_MARGIN * prediction.testing_sec


class End(NamedTuple):
    """Where a run is to end."""

    epochs: int
    """In all; the last one may be cut short."""
    last_step: int
    """Steps in all."""


@dataclass(frozen=True, slots=True)
class EarlySteps:
    """The first steps of a run, which are quicker than those to come."""

    part: float = 0.0
    """Of all steps."""
    cost: float = 1.0
    """Of one of them, over one of the others."""

    def worth(self, start: int, stop: int, last_step: int) -> float:
        """The steps from `start` to `stop` of a run of `last_step`, as a number of later ones."""
        early = max(0.0, min(stop, self.part * last_step) - start)
        return max(0, stop - start) - early * (1 - self.cost)


@dataclass(frozen=True, slots=True)
class Pace:
    """Where a run is, and how fast it is."""

    step: int
    """Training steps done."""
    epoch: int
    """Whole epochs done."""
    steps_in_epoch: int
    val_interval: int
    """Epochs between two evaluations."""
    step_sec: float
    """Of a step that is none of the early ones."""
    evaluation_sec: float
    early: EarlySteps = EarlySteps()

    def needed_sec(self, end: End) -> float:
        """Time from here to an end, evaluations included."""
        steps = self.early.worth(self.step, end.last_step, end.last_step)
        count = evaluations(self.epoch, end.epochs, self.val_interval)
        return steps * self.step_sec + count * self.evaluation_sec

    def end_in_time(self, end: End, left_sec: float) -> End:
        """The given end where it can be reached in time, else the last one that can.

        That is the end of an epoch if possible. Where not even the epoch at hand can be finished,
        it is a step in it, where none counts as quick; at worst this step.
        """
        ends = (End(n, n * self.steps_in_epoch) for n in range(end.epochs - 1, self.epoch, -1))
        for candidate in (end, *ends):
            if self.needed_sec(candidate) <= left_sec:
                return candidate
        begun = self.epoch * self.steps_in_epoch
        steps = max(0, math.floor((left_sec - self.evaluation_sec) / self.step_sec))
        last_step = min(self.step + steps, begun + self.steps_in_epoch, end.last_step)
        if last_step == begun and self.epoch:
            return End(self.epoch, begun)
        # A run has a step at least.
        return End(self.epoch + 1, max(last_step, 1))
