"""What the shape in a recording does, and when: events, which are labelled, and other acts.

Shape letter: T frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.suite_sets.motions import act_out
from benchmarks.suite_sets.scene import States

CYCLE_SEC = (0.8, 1.6)
"""Shortest and longest repetition of a motion; a long act repeats it more often."""
BECOMES = {"star": 1, "cross": 2}
"""Acts in which the shape becomes another one, and the number of that body."""
POSTURES = {"sit": (0.0, 1.0), "stand": (1.0, 0.0)}
"""Posture before and after; 0 is standing, 1 is sitting."""
LEAST_GAP_SEC = 1.0
"""Shortest time between two events."""
_OTHER_SEC, _OTHER_MARGIN_SEC = (1.0, 3.0), 0.7


@dataclass(frozen=True, slots=True)
class Act:
    """Something that the shape does."""

    label: str
    start_sec: float
    end_sec: float
    cycles: int
    """How often a motion is repeated."""
    way: int
    """Direction of a turn, 1 or -1."""

    @property
    def length_sec(self) -> float:
        """Its length."""
        return self.end_sec - self.start_sec


def draw_events(
    rng: np.random.Generator,
    classes: Sequence[str],
    *,
    seconds: float,
    lengths_sec: tuple[float, float],
    busy: float,
) -> list[Act]:
    """Draw the events of a recording in order of time; classes are about equally frequent.

    Args:
        rng: random generator.
        classes: "sit" and "stand" always alternate, whichever of them is drawn.
        seconds: length of the recording.
        lengths_sec: shortest and longest event.
        busy: expected share of the time with events.
    """
    gap_sec = np.mean(lengths_sec) * (1 - busy) / busy - LEAST_GAP_SEC
    acts, bag, time_sec, sits = [], [], 0.0, False
    while True:
        start = round(time_sec + LEAST_GAP_SEC + rng.exponential(gap_sec), 2)
        length = rng.uniform(*lengths_sec)
        if start + length + LEAST_GAP_SEC > seconds:
            return acts
        bag = bag or rng.permutation(np.repeat(classes, 2)).tolist()
        label = bag.pop()
        if label in POSTURES:
            label, sits = ("stand", False) if sits else ("sit", True)
        time_sec = round(start + length, 2)
        acts.append(_act(rng, label, start, time_sec))


def draw_others(
    rng: np.random.Generator, labels: Sequence[str], events: Sequence[Act], *, seconds: float
) -> list[Act]:
    """Draw acts that are not events, at most one between two events."""
    edges = [0.0, *(edge for act in events for edge in (act.start_sec, act.end_sec)), seconds]
    acts = []
    for before, after in zip(edges[::2], edges[1::2], strict=True):
        room = after - before - 2 * _OTHER_MARGIN_SEC
        if room < _OTHER_SEC[0]:
            continue
        length = rng.uniform(_OTHER_SEC[0], min(room, _OTHER_SEC[1]))
        start = before + _OTHER_MARGIN_SEC + rng.uniform(0, room - length)
        acts.append(_act(rng, str(rng.choice(labels)), start, start + length))
    return acts


def _act(rng: np.random.Generator, label: str, start_sec: float, end_sec: float) -> Act:
    cycles = max(1, round((end_sec - start_sec) / rng.uniform(*CYCLE_SEC)))
    return Act(label, start_sec, end_sec, cycles, int(rng.choice((-1, 1))))


def perform(states: States, acts: Sequence[Act], times_sec: np.ndarray) -> None:
    """Add acts to what the shape does at `times_sec` (T,); in place."""
    posture = np.zeros(len(times_sec))
    for act in acts:
        progress = np.clip((times_sec - act.start_sec) / act.length_sec, 0, 1)
        if act.label in POSTURES:
            before, after = POSTURES[act.label]
            posture += (after - before) * _eased(progress)
        else:
            _move(states, act, progress)
    states.y[:] += 0.2 * posture
    states.radius[:] *= 1 - 0.3 * posture


def _move(states: States, act: Act, progress: np.ndarray) -> None:
    is_on = (progress > 0) & (progress < 1)
    if act.label in BECOMES:
        states.shown[is_on] = BECOMES[act.label]
    elif act.label == "spin":
        states.turn[:] += 2 * np.pi * act.way * act.cycles * progress
    elif "_" in act.label:
        for number, part in enumerate(act.label.split("_")):
            act_out(states, part, 2 * progress - number)
    else:
        act_out(states, act.label, np.where(is_on, act.cycles * progress % 1.0, 0.0))


def _eased(progress: np.ndarray) -> np.ndarray:
    """Return a smooth rise from 0 to 1, which looks the same backwards."""
    return 0.5 - 0.5 * np.cos(np.pi * progress)
