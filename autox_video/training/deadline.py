"""Pure functions that compute when training has to end to stay within a time budget."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from autox_video.planning.predicted_time import Prediction, evaluations

RESERVE_SHARE, RESERVE_SEC = 0.01, 1.5
"""Share of the time budget reserved for saving and shutdown, and its minimum in seconds."""
TEST_MARGIN = 1.15
"""Safety factor for the predicted time after training, since it cannot be cut short."""


def time_to_keep(budget_sec: float, prediction: Prediction) -> float:
    """Return how many seconds of a time budget are reserved for everything after training."""
    later_sec = prediction.segments_sec + prediction.testing_sec
    return max(RESERVE_SHARE * budget_sec, RESERVE_SEC) + TEST_MARGIN * later_sec


class End(NamedTuple):
    """The end of training, in epochs and in steps."""

    epochs: int
    """Total number of epochs; the last epoch may be incomplete."""
    last_step: int
    """Total number of steps."""


@dataclass(frozen=True, slots=True)
class EarlySteps:
    """The first steps of a run, which may be faster than later steps (progressive resizing)."""

    part: float = 0.0
    """Share of all steps that are early steps."""
    cost: float = 1.0
    """Duration of an early step relative to a later step."""

    def worth(self, start: int, stop: int, last_step: int) -> float:
        """Return the number of later steps that take as long as steps `start` to `stop`."""
        early = max(0.0, min(stop, self.part * last_step) - start)
        return max(0, stop - start) - early * (1 - self.cost)


@dataclass(frozen=True, slots=True)
class Pace:
    """The progress and speed of a training run."""

    step: int
    """Number of training steps done."""
    epoch: int
    """Number of complete epochs done."""
    steps_in_epoch: int
    val_interval: int
    """Number of epochs between two evaluations."""
    step_sec: float
    """Duration of a later step (after the early steps), in seconds."""
    evaluation_sec: float
    early: EarlySteps = EarlySteps()

    def needed_sec(self, end: End) -> float:
        """Return the remaining time in seconds until `end`, including evaluations."""
        steps = self.early.worth(self.step, end.last_step, end.last_step)
        count = evaluations(self.epoch, end.epochs, self.val_interval)
        return steps * self.step_sec + count * self.evaluation_sec

    def end_in_time(self, end: End, left_sec: float) -> End:
        """Return the given end of training if time permits, or else the latest possible end.

        Training ends after a complete epoch if possible. If there is no time to finish the current
        epoch, training ends at a step within the epoch, estimated as if early steps were as slow as
        later steps. If there is no time left at all, training ends at the current step.
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
        # A run has at least one step.
        return End(self.epoch + 1, max(last_step, 1))
