"""Where a training run must end to stay within its time; pure arithmetic."""

import math
from dataclasses import dataclass

from autox_video.planning.predicted_time import evaluations


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is."""

    step: int
    """Training steps done."""
    epoch: int
    """Whole epochs done."""
    steps_in_epoch: int
    interval: int
    """Epochs between two evaluations."""


@dataclass(frozen=True, slots=True)
class Early:
    """The first steps of a run, which are quicker than those to come."""

    share: float = 0.0
    """Of all steps."""
    cost: float = 1.0
    """Of one of them, over one of the others."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a run is to end."""

    epochs: int
    """Epochs in all; the last one may be cut short."""
    last_step: int
    """Steps in all."""


ALIKE = Early()
"""All steps take as long."""


def steps_worth(start: int, stop: int, last_step: int, early: Early) -> float:
    """The steps from `start` to `stop` of a run of `last_step`, as a number of later ones."""
    steps = max(0, stop - start)
    quick = max(0.0, min(stop, early.share * last_step) - start)
    return steps - quick * (1 - early.cost)


def needed_sec(
    place: Place, end: End, step_sec: float, evaluation_sec: float, early: Early = ALIKE
) -> float:
    """Time from a place in a run to its end, evaluations included."""
    steps = steps_worth(place.step, end.last_step, end.last_step, early)
    count = evaluations(place.epoch, end.epochs, place.interval)
    return steps * step_sec + count * evaluation_sec


def end_in_time(
    place: Place,
    end: End,
    step_sec: float,
    evaluation_sec: float,
    *,
    left_sec: float,
    early: Early = ALIKE,
) -> End:
    """The given end where it can be reached in time, else the last one that can.

    That is the end of an epoch if possible. Where not even the epoch at hand can be finished, it is
    a step in it, where none counts as quick; at worst the place itself.
    """
    if needed_sec(place, end, step_sec, evaluation_sec, early) <= left_sec:
        return end
    for epochs in range(end.epochs - 1, place.epoch, -1):
        earlier = End(epochs, epochs * place.steps_in_epoch)
        if needed_sec(place, earlier, step_sec, evaluation_sec, early) <= left_sec:
            return earlier
    return _within_epoch(place, end, step_sec, evaluation_sec, left_sec)


def _within_epoch(
    place: Place, end: End, step_sec: float, evaluation_sec: float, left_sec: float
) -> End:
    begun = place.epoch * place.steps_in_epoch
    steps = max(0, math.floor((left_sec - evaluation_sec) / step_sec))
    last_step = min(place.step + steps, begun + place.steps_in_epoch, end.last_step)
    if last_step == begun and place.epoch:
        return End(place.epoch, begun)
    # A run has a step at least.
    return End(place.epoch + 1, max(last_step, 1))
