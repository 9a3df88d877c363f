"""Frames: a coloured shape that moves over a background.

Lengths are relative to the frame's height: y goes from 0 to 1, x from 0 to width / height. Colours
are drawn so that their mean says nothing about the content: of background, body and mark one is
dark, one medium, one bright, in random order.

Shape letters: T frames, H height, W width, P points of an outline.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Outline = tuple[np.ndarray, ...]
"""Closed curves (P, 2) around the origin; an area inside two of them is a hole."""

LUMA_RANGES = ((25.0, 70.0), (110.0, 150.0), (190.0, 235.0))
CHROMA = 30.0
# The area of every outline, so that no shape shows more of its colour than another.
AREA = 2.0
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True)
class States:
    """Where and how the shape is in each frame; each field is (T,)."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    """The area is 2 radius squared, whatever the outline."""
    turn: np.ndarray
    """In radians, clockwise on screen."""
    opacity: np.ndarray
    """0 to 1."""
    shown: np.ndarray
    """Which of the bodies."""


@dataclass(frozen=True, slots=True)
class Actor:
    """What moves."""

    bodies: tuple[Outline, ...]
    """One of them is shown at a time."""
    mark: Outline
    """A mark on the body in another colour."""
    mark_size: float
    """Relative to the body's radius; 0: no mark."""
    mark_shift: float = 0.0
    """Distance from the body's centre, relative to its radius."""


def draw(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    actor: Actor,
    states: States,
    clutter: int = 0,
) -> np.ndarray:
    """Return frames (T, H, W, 3) uint8.

    Args:
        rng: colours, background and noise come from it.
        size: width and height in px.
        actor: what moves.
        states: where it is.
        clutter: number of resting shapes behind it, of the same sizes and colours.
    """
    hues = colours(rng)
    ground = background(rng, size, hues[0])
    add_clutter(rng, ground, clutter)
    grain = rng.normal(0, rng.uniform(1, 4), (size[1] + 16, size[0] + 16, 1))
    frames = np.empty((len(states.x), size[1], size[0], 3), dtype=np.uint8)
    for number, frame in enumerate(frames):
        picture = ground.copy()
        paint(picture, actor, states, number=number, colours=hues[1:])
        down, across = rng.integers(16, size=2)
        picture += grain[down : down + size[1], across : across + size[0]]
        frame[:] = np.clip(np.rint(picture), 0, 255)
    return frames


def colours(rng: np.random.Generator) -> list[np.ndarray]:
    """Return the colours (3,) of background, body and mark."""
    ranges = [LUMA_RANGES[index] for index in rng.permutation(3)]
    return [_colour(rng, *bounds) for bounds in ranges]


def _colour(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    chroma = rng.uniform(-CHROMA, CHROMA, 3)
    return rng.uniform(low, high) + chroma - chroma.mean()


def background(rng: np.random.Generator, size: tuple[int, int], colour: np.ndarray) -> np.ndarray:
    """Return a slight gradient from one colour to another, (H, W, 3) float32."""
    width, height = size
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    bearing = rng.uniform(0, 2 * np.pi)
    ramp = (across / width - 0.5) * np.cos(bearing) + (down / height - 0.5) * np.sin(bearing)
    return (colour + ramp[..., None] * rng.uniform(-25, 25, 3)).astype(np.float32)


def add_clutter(
    rng: np.random.Generator,
    picture: np.ndarray,
    number: int,
    *,
    shapes: Sequence[str] | None = None,
) -> None:
    """Draw resting shapes of any colour at random places, by default any of OUTLINES; in place."""
    height, width = picture.shape[:2]
    for _ in range(number):
        middle = rng.uniform(0, 1, 2) * (width, height)
        radius = height * rng.uniform(0.05, 0.16)
        outline = OUTLINES[str(rng.choice(list(shapes or OUTLINES)))]
        turn = rng.uniform(0, 2 * np.pi)
        _fill(picture, _placed(outline, middle, radius, turn), _colour(rng, 25, 235))


def paint(
    picture: np.ndarray,
    actor: Actor,
    states: States,
    *,
    number: int,
    colours: list[np.ndarray],
) -> None:
    """Draw the actor on a frame (H, W, 3) float32, as it is in frame `number`; in place."""
    height = picture.shape[0]
    middle = np.array([states.x[number], states.y[number]]) * height
    radius, turn = states.radius[number] * height, states.turn[number]
    under = picture.copy() if states.opacity[number] < 1 else None
    body = actor.bodies[states.shown[number]]
    _fill(picture, _placed(body, middle, radius, turn), colours[0])
    if actor.mark_size:
        shift = radius * actor.mark_shift * np.array([np.cos(turn), np.sin(turn)])
        mark = _placed(actor.mark, middle + shift, radius * actor.mark_size, turn)
        _fill(picture, mark, colours[1])
    if under is not None:
        picture += (1 - states.opacity[number]) * (under - picture)


def _placed(outline: Outline, middle: np.ndarray, radius: float, turn: float) -> Outline:
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.array([[cos, sin], [-sin, cos]])
    return tuple(curve @ turned * radius + middle for curve in outline)


def _fill(picture: np.ndarray, outline: Outline, colour: np.ndarray) -> None:
    scale = 1 << _SUBPIXEL_BITS
    curves = [np.rint(curve * scale).astype(np.int32) for curve in outline]
    height, width = picture.shape[:2]
    points = np.concatenate(outline)
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 2, (width, height))
    if (high <= low).any():
        return
    # OpenCV smooths edges in 8 bits only: draw the coverage, and blend the colours with it.
    covered = np.zeros((high[1] - low[1], high[0] - low[0]), dtype=np.uint8)
    moved = [curve - np.rint(low * scale).astype(np.int32) for curve in curves]
    cv2.fillPoly(covered, moved, 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    window = picture[low[1] : high[1], low[0] : high[0]]
    window += covered[..., None].astype(np.float32) / 255 * (colour.astype(np.float32) - window)


def _polygon(radii: list[float], phase: float = 0.0) -> np.ndarray:
    bearings = 2 * np.pi * np.arange(len(radii)) / len(radii) + phase
    return np.array(radii)[:, None] * np.stack([np.cos(bearings), np.sin(bearings)], axis=1)


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _of_equal_area(*curves: np.ndarray, hole: np.ndarray | None = None) -> Outline:
    area = sum(map(_area, curves)) - (0.0 if hole is None else _area(hole))
    every = (*curves, *(() if hole is None else (hole,)))
    return tuple(curve * np.sqrt(AREA / area) for curve in every)


def _area(curve: np.ndarray) -> float:
    after = np.roll(curve, -1, axis=0)
    return 0.5 * abs(float(np.sum(curve[:, 0] * after[:, 1] - after[:, 0] * curve[:, 1])))


_HALF = np.array([[np.cos(a), np.sin(a) - 0.42] for a in np.linspace(0, np.pi, 24)])
_CROSS = [(1, 0.34), (0.34, 0.34), (0.34, 1), (-0.34, 1), (-0.34, 0.34), (-1, 0.34), (-1, -0.34)]
_CROSS += [(-0.34, -0.34), (-0.34, -1), (0.34, -1), (0.34, -0.34), (1, -0.34)]
OUTLINES: dict[str, Outline] = {
    "disc": _of_equal_area(_polygon([1.0] * 40)),
    "square": _of_equal_area(_polygon([1.0] * 4, np.pi / 4)),
    "triangle": _of_equal_area(_polygon([1.0] * 3, -np.pi / 2)),
    "star": _of_equal_area(_polygon([1.0, 0.42] * 5, -np.pi / 2)),
    "cross": _of_equal_area(np.array(_CROSS)),
    "ring": _of_equal_area(_polygon([1.0] * 40), hole=_polygon([0.6] * 40)),
    "half": _of_equal_area(_HALF),
    "bars": _of_equal_area(_box(-1, -0.8, 1, -0.3), _box(-1, 0.3, 1, 0.8)),
}
