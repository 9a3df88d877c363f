"""The frames of a recording: scenes with different backgrounds, moving light, a moving camera.

Cuts are independent of the events, so an event can begin in a scene and end in the next one.

Shape letters: T frames, H height, W width.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.recordings.acts import perform
from benchmarks.recordings.kinds import SIZE, Script
from benchmarks.suite_sets.motions import Stage, at_rest, moving, turn_steadily, wander
from benchmarks.suite_sets.scene import (
    OUTLINES,
    Actor,
    States,
    add_clutter,
    background,
    colours,
    paint,
)

SCENE_SEC = (6.0, 25.0)
"""Shortest and longest time between two cuts; the last scene can be shorter."""
BODIES = ("triangle", "half", "bars", "square")
BYSTANDERS = ("disc", "ring", *BODIES)
"""Shapes in the background; none looks like an event."""
_DRIFT = 0.08
"""How far the camera drifts, in frame heights."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """A shape, where it is and its colours."""

    actor: Actor
    states: States
    colours: list[np.ndarray]


def draw_frames(rng: np.random.Generator, script: Script) -> np.ndarray:
    """Return the frames (T, H, W, 3) uint8 of a recording."""
    times = script.times_sec
    frames = np.empty((len(times), SIZE[1], SIZE[0], 3), dtype=np.uint8)
    for first, last in scene_bounds(rng, times):
        _draw_scene(rng, script, times[first:last], frames[first:last])
    return frames


def scene_bounds(rng: np.random.Generator, times_sec: np.ndarray) -> list[tuple[int, int]]:
    """Return the first frame of each scene, and the first one after it."""
    cuts, at_sec = [0], rng.uniform(*SCENE_SEC)
    while at_sec < times_sec[-1]:
        cuts.append(int(np.searchsorted(times_sec, at_sec)))
        at_sec += rng.uniform(*SCENE_SEC)
    return list(zip(cuts, [*cuts[1:], len(times_sec)], strict=True))


def _draw_scene(
    rng: np.random.Generator, script: Script, times_sec: np.ndarray, frames: np.ndarray
) -> None:
    aspect = SIZE[0] / SIZE[1]
    stage = Stage(times_sec, aspect)
    drift = _smooth(rng, times_sec, (0.05, 0.13)) * _DRIFT, _smooth(rng, times_sec) * _DRIFT
    ground_colour, *own = colours(rng)
    margin = int(np.ceil(_DRIFT * SIZE[1])) + 1
    ground = background(rng, (SIZE[0] + 2 * margin, SIZE[1] + 2 * margin), ground_colour)
    add_clutter(rng, ground, int(rng.integers(4, 12)), shapes=BYSTANDERS)
    figures = [_bystander(rng, stage) for _ in range(rng.integers(3))]
    figures.append(_Figure(_actor(rng), _deeds(rng, script, stage), own))
    for figure in figures:
        figure.states.x[:] -= drift[0]
        figure.states.y[:] -= drift[1]
    light = _light(rng, times_sec)
    grain = rng.normal(0, rng.uniform(1, 4), (SIZE[1] + 16, SIZE[0] + 16, 1)).astype(np.float32)
    middle = np.array([ground.shape[1] - 1, ground.shape[0] - 1]) / 2
    for number, frame in enumerate(frames):
        seen = middle + SIZE[1] * np.array([drift[0][number], drift[1][number]])
        picture = cv2.getRectSubPix(ground, SIZE, seen)
        for figure in figures:
            paint(picture, figure.actor, figure.states, number=number, colours=figure.colours)
        down, across = rng.integers(16, size=2)
        picture *= light[number]
        picture += grain[down : down + SIZE[1], across : across + SIZE[0]]
        frame[:] = np.clip(np.rint(picture), 0, 255)


def _actor(rng: np.random.Generator) -> Actor:
    """Return the shape that acts, with a mark that shows its rotation, and what it can become."""
    body = OUTLINES[str(rng.choice(BODIES))]
    bodies = (body, OUTLINES["star"], OUTLINES["cross"])
    return Actor(bodies, OUTLINES["disc"], rng.uniform(0.25, 0.35), 0.4)


def _deeds(rng: np.random.Generator, script: Script, stage: Stage) -> States:
    states = at_rest(rng, stage, (0.12, 0.17), margin=0.38)
    wander(rng, stage, states, reach=0.06)
    states.turn[:] += 2 * np.pi * rng.uniform(-0.1, 0.1) * stage.times_sec
    perform(states, (*script.events, *script.others), stage.times_sec)
    return states


def _bystander(rng: np.random.Generator, stage: Stage) -> _Figure:
    """Return a shape that moves through the frame in any direction, or wanders."""
    actor = Actor((OUTLINES[str(rng.choice(BYSTANDERS))],), (), 0.0)
    if rng.random() < 0.6:
        bearing = rng.uniform(0, 2 * np.pi)
        direction = (np.cos(bearing), np.sin(bearing))
        states = moving(rng, stage, (0.06, 0.12), direction=direction, speed=rng.uniform(0.1, 0.4))
    else:
        states = at_rest(rng, stage, (0.06, 0.12), margin=0.1)
        wander(rng, stage, states, reach=0.3)
    turn_steadily(rng, stage, states)
    return _Figure(actor, states, colours(rng)[1:])


def _light(rng: np.random.Generator, times_sec: np.ndarray) -> np.ndarray:
    """Return the brightness (T,) of the frames: it drifts, and in some scenes jumps once."""
    light = 1 + 0.12 * _smooth(rng, times_sec)
    if rng.random() < 0.3:
        light[times_sec > rng.uniform(times_sec[0], times_sec[-1])] *= rng.uniform(0.7, 0.9)
    return light


def _smooth(
    rng: np.random.Generator, times_sec: np.ndarray, hertz: tuple[float, float] = (0.05, 0.2)
) -> np.ndarray:
    """Return a smooth random function of time (T,) between -1 and 1."""
    phases = rng.uniform(0, 1, 2)
    waves = [np.sin(2 * np.pi * (phase + rng.uniform(*hertz) * times_sec)) for phase in phases]
    return np.mean(waves, axis=0)
