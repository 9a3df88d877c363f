"""The kinds of recordings, and what happens in each recording."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.recordings.acts import Act, draw_events, draw_others

SIZE = (128, 96)
"""Width and height in px."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One set of recordings."""

    about: str
    classes: tuple[str, ...]
    """What is labelled; see `acts`."""
    others: tuple[str, ...]
    """What also happens and is not labelled."""
    event_sec: tuple[float, float]
    """Shortest and longest event."""
    seconds: tuple[float, float] = (120.0, 300.0)
    """Shortest and longest recording."""
    train: int = 14
    """Training recordings."""
    test: int = 6
    """Test recordings."""
    fps: tuple[int, ...] = (15, 20, 25)
    busy: float = 1 / 3
    """Expected share of the time with events."""


KINDS: Mapping[str, Kind] = {
    "events": Kind(
        "a shape hops, spins or swells again and again, or becomes a star for a while",
        ("hop", "spin", "swell", "star"),
        ("dash", "fade", "shrink", "cross"),
        (1.0, 6.0),
    ),
    "reversed": Kind(
        "two pairs of events; each shows the same frames as the other of its pair, backwards",
        ("hop_swell", "swell_hop", "sit", "stand"),
        ("dash", "fade", "spin", "cross"),
        (1.5, 4.0),
    ),
}
"""Every set of recordings, by name."""


@dataclass(frozen=True, slots=True)
class Script:
    """What happens in a recording."""

    seconds: float
    fps: int
    events: tuple[Act, ...]
    """In order of time; they do not overlap."""
    others: tuple[Act, ...]
    """Acts that are not labelled, between the events."""

    @property
    def times_sec(self) -> np.ndarray:
        """Time (T,) of each frame."""
        return np.arange(round(self.seconds * self.fps)) / self.fps


def draw_script(rng: np.random.Generator, kind: Kind) -> Script:
    """Draw length, frame rate, events and other acts of a recording."""
    seconds, fps = round(rng.uniform(*kind.seconds), 1), int(rng.choice(kind.fps))
    events = draw_events(
        rng, kind.classes, seconds=seconds, lengths_sec=kind.event_sec, busy=kind.busy
    )
    others = draw_others(rng, kind.others, events, seconds=seconds)
    return Script(seconds, fps, tuple(events), tuple(others))
