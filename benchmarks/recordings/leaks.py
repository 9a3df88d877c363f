"""Leaks of recordings: what the colours alone reveal about windows of them.

The trivial classifier of `suite_sets.leaks` must stay near chance, or a good score proves nothing.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from benchmarks.recordings.files import SPLITS
from benchmarks.suite_sets.leaks import FRAMES_LOOKED_AT, colour_features, ridge_accuracy

WINDOW_SEC = 1.0
BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Leak:
    """How often the trivial classifier is right."""

    task: str
    accuracy: float
    chance: float
    """The largest share of a class in the test."""
    windows: int
    """Number of windows in the test."""

    @property
    def deviations(self) -> float:
        """How many standard deviations it is above chance."""
        spread = (self.chance * (1 - self.chance) / self.windows) ** 0.5
        return (self.accuracy - self.chance) / spread


def recording_leaks(root: str | Path) -> list[Leak]:
    """Return how well colours tell the classes apart, and how well events from background.

    Args:
        root: folder of a set, as `files.make` writes it.
    """
    root = Path(root)
    (train, names), (test, truth) = (_windows(root, split) for split in SPLITS)
    classes = sorted({*names} - {BACKGROUND})
    labels, true_labels = (
        np.array([classes.index(name) if name in classes else -1 for name in each])
        for each in (names, truth)
    )
    is_event, is_true_event = labels >= 0, true_labels >= 0
    of_events = (
        (train[is_event], labels[is_event]),
        (test[is_true_event], true_labels[is_true_event]),
    )
    of_all = (train, is_event.astype(int)), (test, is_true_event.astype(int))
    return [_leak("classes", *of_events), _leak("event or background", *of_all)]


def _leak(
    task: str, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> Leak:
    chance = np.bincount(test[1]).max() / len(test[1])
    return Leak(task, ridge_accuracy(train, test), float(chance), len(test[1]))


def _windows(root: Path, split: str) -> tuple[np.ndarray, list[str]]:
    """Return colour features (N, 6) of windows, and their classes."""
    with (root / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    features, names = [], []
    for path in sorted({row["path"] for row in rows}):
        events = [
            (float(row["start"]), float(row["end"]), row["label"])
            for row in rows
            if row["path"] == path
        ]
        middles = list(_middles(sorted(events)))
        features += _colours(root / "videos" / path, [middle for middle, _ in middles])
        names += [name for _, name in middles]
    return np.stack(features), names


def _middles(events: list[tuple[float, float, str]]) -> Iterator[tuple[float, str]]:
    """Give the middle of each event in seconds, and the middle of the gap before it."""
    before_sec = 0.0
    for start_sec, end_sec, label in events:
        yield (start_sec + end_sec) / 2, label
        yield (before_sec + start_sec) / 2, BACKGROUND
        before_sec = end_sec


def _colours(video: Path, middles_sec: list[float]) -> list[np.ndarray]:
    with av.open(str(video)) as container:
        fps = float(container.streams.video[0].average_rate)
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    offsets = np.linspace(-0.5, 0.5, FRAMES_LOOKED_AT) * WINDOW_SEC
    asked = [np.rint((middle + offsets) * fps).astype(int) for middle in middles_sec]
    return [colour_features(frames[np.clip(each, 0, len(frames) - 1)]) for each in asked]
