"""The kinds of data sets: their classes, the number of clips, the content of a clip.

A person can tell the classes of each almost without mistakes, except for `overlapping`. Whatever is
irrelevant to the class (colours, position, background, frame size, frame rate, length, compression)
is drawn at random for every clip, in the same way for all classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from benchmarks.suite_sets.motions import (
    DIRECTIONS,
    EVENTS,
    SIZES,
    TURNS,
    Stage,
    act_out,
    at_rest,
    in_order,
    moving,
    orbiting,
    resizing,
    turn_steadily,
    wander,
)
from benchmarks.suite_sets.scene import OUTLINES, Actor, States

SMALL = ((160, 120), (176, 144), (192, 144), (192, 128))
MEDIUM = ((240, 180), (256, 192), (240, 192))
LARGE = ((320, 240), (320, 224), (304, 240))
MANY = ((120, 160), (160, 120), (144, 144), (256, 144), (144, 192), (320, 240), (320, 180))
SHAPES = tuple(OUTLINES)
# Shapes whose rotation is visible.
_TURNABLE = ("triangle", "half", "bars", "square", "cross")

Act = Callable[[np.random.Generator, str, Stage], tuple[Actor, States]]
"""Random generator, class and stage → what moves, and how."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One data set."""

    about: str
    act: Act
    classes: tuple[str, ...]
    train: int | tuple[int, ...]
    """Training clips: one number per class, or the same for all."""
    test: int = 12
    """Test clips per class."""
    sizes: tuple[tuple[int, int], ...] = SMALL
    """Width and height in px."""
    fps: tuple[int, ...] = (20, 24, 25, 30)
    seconds: tuple[float, float] = (1.8, 2.6)
    """Shortest and longest."""
    clutter: int = 0
    """Resting shapes in the background."""
    names: tuple[str, ...] | None = None
    """Class names in the lists; None: the same names."""

    def counts(self, split: str) -> tuple[int, ...]:
        """Return the number of clips of each class for `train` or `test`."""
        of_split = self.train if split == "train" else self.test
        return of_split if isinstance(of_split, tuple) else (of_split,) * len(self.classes)


def _any_actor(rng: np.random.Generator) -> Actor:
    """A shape without information, with an off-centre spot that shows its rotation."""
    body = OUTLINES[str(rng.choice(_TURNABLE))]
    return Actor((body,), OUTLINES["disc"], rng.uniform(0.25, 0.35), 0.4)


def _shape(name: str) -> Actor:
    return Actor((OUTLINES[name],), (), 0.0)


def _motion(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    radius = (0.10, 0.16)
    if label in DIRECTIONS:
        speed = rng.uniform(0.45, 0.7)
        states = moving(rng, stage, radius, direction=DIRECTIONS[label], speed=speed)
    elif label in TURNS:
        states = orbiting(rng, stage, radius, way=TURNS[label])
    else:
        states = resizing(rng, stage, radius, way=SIZES[label])
    return _any_actor(rng), states


def _appearance(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    states = at_rest(rng, stage, (0.15, 0.22))
    wander(rng, stage, states, reach=0.12)
    turn_steadily(rng, stage, states)
    return _shape(label), states


def _order(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    states = at_rest(rng, stage, (0.12, 0.16), margin=0.38)
    in_order(stage, states, label.split("_"))
    return _any_actor(rng), states


_SPEEDS = {"slow": 0.16, "medium": 0.4, "fast": 1.0}


def _speed(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    name, way = label.split("_")
    along = (1, 0) if way == "across" else (0, 1)
    speed = _SPEEDS[name] * rng.uniform(0.85, 1.15) * rng.choice((-1, 1))
    return _any_actor(rng), moving(rng, stage, (0.10, 0.16), direction=along, speed=speed)


_OPPOSITES = {"up": "down", "down": "up", "growing": "shrinking", "shrinking": "growing"}
_OWN_SHARE = 0.8


def _overlapping(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    """The motion of its name in 80 of 100 clips, the opposite one in the others."""
    own = label.removeprefix("mostly_")
    return _motion(rng, own if rng.random() < _OWN_SHARE else _OPPOSITES[own], stage)


def _long_event(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    states = at_rest(rng, stage, (0.12, 0.17), margin=0.42)
    wander(rng, stage, states, reach=0.05)
    length = rng.uniform(1.2, 1.7)
    start = rng.uniform(0.3, stage.seconds - length - 0.3)
    act_out(states, label, (stage.times_sec - start) / length)
    return _any_actor(rng), states


_MARKS = ("disc", "ring", "cross", "triangle", "bars", "half")


def _fine(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    states = at_rest(rng, stage, (0.2, 0.26), margin=0.36)
    wander(rng, stage, states, reach=0.08)
    turn_steadily(rng, stage, states)
    body = OUTLINES[str(rng.choice(("disc", "square", "half")))]
    return Actor((body,), OUTLINES[label], 0.45), states


_FEW = dict(zip(SHAPES, (*DIRECTIONS, *TURNS, *SIZES), strict=True))


def _few(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    shape, way = label.split("_")
    _, states = _motion(rng, way, stage)
    return _shape(shape), states


_PATHS = ("level", "arch", "bowl", "rise", "fall", "zigzag", "late_rise", "late_fall")


def _path(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    """A path through the whole frame, to the left or to the right, which does not matter."""
    states = at_rest(rng, stage, (0.09, 0.13), margin=0.4)
    done = stage.times_sec / stage.seconds
    late = np.clip(2 * done - 1, 0, 1)
    states.x[:] = stage.aspect * (0.12 + 0.76 * (done if rng.integers(2) else 1 - done))
    heights = {
        "level": np.zeros_like(done),
        "arch": -0.56 * np.sin(np.pi * done) + 0.28,
        "bowl": 0.56 * np.sin(np.pi * done) - 0.28,
        "rise": 0.28 - 0.56 * done,
        "fall": 0.56 * done - 0.28,
        "zigzag": 0.24 * np.sin(6 * np.pi * done),
        "late_rise": 0.28 - 0.56 * late,
        "late_fall": 0.56 * late - 0.28,
    }
    states.y[:] += heights[label]
    return _any_actor(rng), states


_PARTS = ("disc", "star", "bars")


def _two_ends(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    """One shape at the start, another at the end, and a third one for a long time in between."""
    first, last = label.split("_")
    states = at_rest(rng, stage, (0.15, 0.2))
    wander(rng, stage, states, reach=0.1)
    turn_steadily(rng, stage, states)
    done = stage.times_sec / stage.seconds
    states.shown[:] = np.where(done < 0.25, 0, np.where(done < 0.75, 1, 2))
    return Actor((OUTLINES[first], OUTLINES["cross"], OUTLINES[last]), (), 0.0), states


_TINY = ("disc", "ring", "cross", "triangle", "bars", "square")


def _tiny(rng: np.random.Generator, label: str, stage: Stage) -> tuple[Actor, States]:
    states = at_rest(rng, stage, (0.055, 0.07), margin=0.3)
    wander(rng, stage, states, reach=0.1)
    return _shape(label), states


_ALL_MOTIONS = (*DIRECTIONS, *TURNS, *SIZES)
_MIRRORED = ("left", "right", "clockwise", "anticlockwise", "up", "down")
_ORDERS = tuple("_".join(order) for order in permutations(("hop", "spin", "swell")))
_NUMBERED = ("one", "two", "three", "four", "five", "six")

KINDS: Mapping[str, Kind] = {
    "motion_plain": Kind(
        "eight motions on plain ground; a frame tells nothing", _motion, _ALL_MOTIONS, 28, 12
    ),
    "motion_cluttered": Kind(
        "the same motions before resting shapes", _motion, _ALL_MOTIONS, 32, 12, clutter=24
    ),
    "appearance": Kind(
        "eight shapes of equal area in any colour, under any motion", _appearance, SHAPES, 24, 12
    ),
    "order": Kind(
        "the same three events in six orders", _order, _ORDERS, 36, 15, seconds=(2.8, 3.6)
    ),
    "speed": Kind(
        "one motion at three speeds, across or along",
        _speed,
        tuple(f"{speed}_{way}" for speed in _SPEEDS for way in ("across", "along")),
        32,
        15,
    ),
    "long_event": Kind(
        "8 to 11 s with an event of 1.2 to 1.7 s at any time",
        _long_event,
        EVENTS,
        32,
        12,
        fps=(12, 15),
        seconds=(8.0, 11.0),
    ),
    "imbalance": Kind(
        "six shapes, the most frequent sixty times as frequent as the rarest",
        _appearance,
        ("disc", "star", "bars", "triangle", "cross", "ring"),
        (180, 60, 24, 12, 6, 3),
        15,
    ),
    "mixed": Kind(
        "six motions in clips of 10 to 50 frames/s, upright, square and wide, 1.5 to 4 s",
        _motion,
        _MIRRORED,
        32,
        15,
        sizes=MANY,
        fps=(10, 15, 24, 30, 50),
        seconds=(1.5, 4.0),
    ),
    "fine": Kind(
        "the same bodies, told apart by a small mark", _fine, _MARKS, 36, 15, sizes=MEDIUM
    ),
    "few": Kind(
        "six clips a class; shape and motion both tell it",
        _few,
        tuple(f"{shape}_{way}" for shape, way in _FEW.items()),
        (5, 6, 7, 8, 5, 6, 7, 8),
        12,
    ),
    "mirrored": Kind(
        "three pairs of motions, two of which mirror each other; names do not say so",
        _motion,
        _MIRRORED,
        32,
        15,
        names=_NUMBERED,
    ),
    "either_way": Kind(
        "eight paths, each to the left or to the right, few clips; a mirror image is more data",
        _path,
        _PATHS,
        6,
        15,
    ),
    "overlapping": Kind(
        "two pairs of motions, one of a pair eight times as frequent; 20% have that of the other",
        _overlapping,
        tuple(f"mostly_{motion}" for motion in _OPPOSITES),
        (120, 15, 120, 15),
        30,
        seconds=(1.5, 1.9),
    ),
    "two_ends": Kind(
        "which shape the first quarter of a clip shows, and which the last: six pairs",
        _two_ends,
        tuple("_".join(pair) for pair in permutations(_PARTS, 2)),
        32,
        15,
        fps=(15, 20, 24),
        seconds=(3.4, 4.0),
    ),
    "tiny": Kind(
        "six shapes about 30 px large in frames of 320 x 240", _tiny, _TINY, 36, 15, sizes=LARGE
    ),
}
"""Every data set of the suite, by name."""


def draw_plan(rng: np.random.Generator, kind: Kind) -> tuple[tuple[int, int], int, Stage]:
    """Frame size in px, frames per second and times of a clip, the same for all classes."""
    size = kind.sizes[int(rng.integers(len(kind.sizes)))]
    fps = int(rng.choice(kind.fps))
    times = np.arange(round(rng.uniform(*kind.seconds) * fps)) / fps
    return size, fps, Stage(times, size[0] / size[1])
