"""Where a training run must end to stay within its time; pure arithmetic."""

import math
from dataclasses import dataclass

from autox_video.plan.prediction import evaluations


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
class End:
    """Where a run is to end."""

    epochs: int
    """Epochs in all; the last one may be cut short."""
    last_step: int
    """Steps in all."""


def needed_sec(place: Place, end: End, step_sec: float, evaluation_sec: float) -> float:
    """Time from a place in a run to its end, evaluations included."""
    steps = max(0, end.last_step - place.step)
    count = evaluations(place.epoch, end.epochs, place.interval)
    return steps * step_sec + count * evaluation_sec


def end_in_time(
    place: Place, end: End, step_sec: float, evaluation_sec: float, *, left_sec: float
) -> End:
    """The given end where it can be reached in time, else the last one that can.

    That is the end of an epoch if possible. Where not even the epoch at hand can be finished, it is
    a step in it; at worst the place itself.
    """
    if needed_sec(place, end, step_sec, evaluation_sec) <= left_sec:
        return end
    for epochs in range(end.epochs - 1, place.epoch, -1):
        earlier = End(epochs, epochs * place.steps_in_epoch)
        if needed_sec(place, earlier, step_sec, evaluation_sec) <= left_sec:
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
