"""Motions of the shapes, as functions of time, in the units of `scene`.

Motion in a direction wraps around: a shape that leaves the frame on one side enters on the other,
so that every position is equally likely at every moment, whatever the direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.suite_sets.scene import States

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
TURNS = {"clockwise": 1, "anticlockwise": -1}
SIZES = {"growing": 1, "shrinking": -1}
EVENTS = ("hop", "spin", "swell", "fade", "shrink", "dash")


@dataclass(frozen=True, slots=True)
class Stage:
    """The space and time of a motion."""

    times_sec: np.ndarray
    """(T,) seconds since the start."""
    aspect: float
    """Width over height."""

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return float(self.times_sec[-1] + self.times_sec[1])


def at_rest(
    rng: np.random.Generator, stage: Stage, radius: tuple[float, float], *, margin: float = 0.28
) -> States:
    """A shape at a random position, `margin` from the edges, with random rotation."""
    count = len(stage.times_sec)
    margin = min(margin, 0.45 * min(stage.aspect, 1.0))
    x, y = rng.uniform(margin, stage.aspect - margin), rng.uniform(margin, 1 - margin)
    values = (x, y, rng.uniform(*radius), rng.uniform(0, 2 * np.pi), 1.0)
    return States(*(np.full(count, value) for value in values), np.zeros(count, dtype=int))


def moving(
    rng: np.random.Generator,
    stage: Stage,
    radius: tuple[float, float],
    *,
    direction: tuple[float, float],
    speed: float,
) -> States:
    """A shape that moves in a direction at `speed` heights a second, and wraps around."""
    states = at_rest(rng, stage, radius)
    room = 1.3 * float(states.radius[0])
    for place, share, length in (
        (states.x, direction[0], stage.aspect),
        (states.y, direction[1], 1),
    ):
        if share:
            start = rng.uniform(0, length + 2 * room)
            along = start + share * speed * stage.times_sec
            place[:] = along % (length + 2 * room) - room
    return states


def orbiting(
    rng: np.random.Generator, stage: Stage, radius: tuple[float, float], *, way: int
) -> States:
    """A shape that moves in a circle, 1 clockwise, -1 counterclockwise."""
    states = at_rest(rng, stage, radius, margin=0.4)
    turned = rng.uniform(0, 2 * np.pi) + way * 2 * np.pi * rng.uniform(0.35, 0.55) * stage.times_sec
    reach = rng.uniform(0.2, 0.26)
    states.x[:] += reach * np.cos(turned)
    states.y[:] += reach * np.sin(turned)
    return states


def resizing(
    rng: np.random.Generator, stage: Stage, radius: tuple[float, float], *, way: int
) -> States:
    """A shape that grows (1) or shrinks (-1), and starts over at the end of its range."""
    states = at_rest(rng, stage, radius)
    cycle = (rng.uniform() + way * rng.uniform(0.35, 0.5) * stage.times_sec) % 1.0
    states.radius[:] *= 0.6 * 3.0**cycle
    return states


def wander(rng: np.random.Generator, stage: Stage, states: States, *, reach: float) -> None:
    """Make a shape drift along a smooth random path, within `reach` of its position; in place."""
    for place in (states.x, states.y):
        for hertz in (0.11, 0.23):
            phase = 2 * np.pi * (rng.uniform() + hertz * rng.uniform(0.7, 1.3) * stage.times_sec)
            place += reach / 2 * np.sin(phase)


def turn_steadily(rng: np.random.Generator, stage: Stage, states: States) -> None:
    """Make a shape rotate slowly, in a random direction; in place."""
    states.turn[:] += 2 * np.pi * rng.uniform(-0.25, 0.25) * stage.times_sec


def act_out(states: States, event: str, progress: np.ndarray) -> None:
    """Add an event; in place.

    Args:
        states: what is done else.
        event: one of EVENTS.
        progress: (T,) 0 until it begins, 1 when it is over.
    """
    arc = np.sin(np.pi * np.clip(progress, 0, 1))
    if event == "hop":
        states.y[:] -= 0.2 * arc
    elif event == "spin":
        states.turn[:] += 2 * np.pi * np.clip(progress, 0, 1)
    elif event == "swell":
        states.radius[:] *= 1 + 0.8 * arc
    elif event == "shrink":
        states.radius[:] *= 1 - 0.6 * arc
    elif event == "fade":
        states.opacity[:] *= 1 - 0.95 * arc
    elif event == "dash":
        states.x[:] += 0.25 * np.sin(2 * np.pi * np.clip(progress, 0, 1))
    else:
        raise ValueError(f"event must be one of {EVENTS}, not {event!r}")


def in_order(stage: Stage, states: States, events: Sequence[str], *, rest: float = 0.1) -> None:
    """Perform events one after another over the whole clip, with pauses of `rest` in between."""
    length = (1 - rest * (len(events) + 1)) / len(events)
    for number, event in enumerate(events):
        start = rest + number * (length + rest)
        act_out(states, event, (stage.times_sec / stage.seconds - start) / length)
