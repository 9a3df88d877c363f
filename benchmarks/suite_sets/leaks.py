"""Leaks: what a set reveals without its content: colours, size, length, file size.

The trivial classifier here must stay near chance on every set, or a good score proves nothing.
"""

from pathlib import Path

import av
import numpy as np

from benchmarks.suite_sets.files import SPLITS

RIDGE = 10.0
FRAMES_LOOKED_AT = 8


def leak_accuracy(root: str | Path) -> tuple[float, int]:
    """Return the test accuracy (0..1) of a classifier on trivial features, and its number of clips.

    Args:
        root: folder of a set, as `files.make_set` writes it.
    """
    (train, labels), (test, truth) = (_read(Path(root), split) for split in SPLITS)
    return ridge_accuracy((train, labels), (test, truth)), len(truth)


def ridge_accuracy(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> float:
    """Return the test accuracy (0..1) of ridge regression on features and their squares.

    All classes have equal weight.

    Args:
        train: features (N, F), and labels (N,) from 0 to K - 1, each of which occurs.
        test: the same for the test.
    """
    (inputs, labels), (asked, truth) = train, test
    middle, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-9
    inputs, asked = (_with_squares((each - middle) / spread) for each in (inputs, asked))
    weights = 1.0 / np.bincount(labels)[labels]
    targets = np.eye(labels.max() + 1)[labels] - 1.0 / (labels.max() + 1)
    weighted = inputs * (weights / weights.mean())[:, None]
    normal = weighted.T @ inputs + RIDGE * np.eye(inputs.shape[1])
    scores = asked @ np.linalg.solve(normal, weighted.T @ targets)
    return float((scores.argmax(axis=1) == truth).mean())


def trivial_features(clip: str | Path) -> np.ndarray:
    """Mean and spread of red, green, blue; width, height, fps, frames; log of the file's bytes."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        rate = float(stream.average_rate)
    every = max(1, len(frames) // FRAMES_LOOKED_AT)
    colours = colour_features(np.stack(frames[::every]))
    height, width = frames[0].shape[:2]
    size = np.log(Path(clip).stat().st_size)
    facts = [width, height, rate, len(frames), size, size - np.log(len(frames) * width * height)]
    return np.concatenate([colours, facts])


def colour_features(frames: np.ndarray) -> np.ndarray:
    """Mean and spread (6,) of red, green and blue in frames (T, H, W, 3)."""
    pixels = frames.reshape(-1, 3).astype(np.float32)
    return np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)])


def _read(root: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    names = (root / "classes.txt").read_text(encoding="utf-8").split()
    lines = (root / f"{split}_list.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split() for line in lines]
    features = np.stack([trivial_features(root / "videos" / file) for file, _ in pairs])
    return features, np.array([names.index(label) for _, label in pairs])


def _with_squares(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(values), 1)), values, values**2 - 1], axis=1)
