"""What a model predicts for a video: class probabilities of the whole video and of its windows.

Shape letters: N windows, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SCORE_DIGITS, SECOND_DIGITS = 6, 3


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The windows of a video, in order of time, and their predicted probabilities.

    Windows overlap. They cover the whole video, except for parts that cannot be read. Times are
    presentation times, as players show them.
    """

    starts: np.ndarray
    """Start (N,) of each window in seconds, increasing."""
    ends: np.ndarray
    """End (N,) of each window in seconds."""
    scores: np.ndarray
    """Calibrated probabilities (N, K) of each window."""

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True, eq=False)
class VideoPrediction:
    """The prediction for one video."""

    video: str
    """The video as the user gave it: a path, an address or a name."""
    classes: tuple[str, ...]
    """Names of the classes."""
    scores: np.ndarray | None
    """Calibrated probabilities (K,) for the whole video; None if it could not be read."""
    seconds: float | None = None
    """Length of the video in seconds; None if unknown."""
    windows: Windows | None = None
    """The windows of a long video; None if the video was predicted as one clip."""
    error: str | None = None
    """Why the video, or a part of it, could not be read; None if all of it was read."""
    label: int | tuple[int, ...] | None = None
    """Index of the true class, or of all true classes; None if unknown."""
    segment: tuple[float, float] | None = None
    """Start and end of the predicted part of the video in seconds; None for the whole video."""

    @property
    def is_readable(self) -> bool:
        """Whether any part of the video could be read."""
        return self.scores is not None

    def top(self, count: int = 1) -> list[tuple[str, float]]:
        """Return the names and probabilities of the most probable classes, best first."""
        if self.scores is None:
            return []
        order = np.argsort(-self.scores, kind="stable")[:count]
        return [(self.classes[i], round(float(self.scores[i]), SCORE_DIGITS)) for i in order]


def rounded(scores: Sequence[float] | np.ndarray) -> list[float]:
    """Return probabilities as they are written to files."""
    return [round(float(score), SCORE_DIGITS) for score in scores]


def rounded_seconds(seconds: float) -> float:
    """Return a time in seconds as it is written to files."""
    return round(float(seconds), SECOND_DIGITS)


def one_row_windows(prediction: VideoPrediction) -> Windows:
    """Return the windows, or a single window for a video that was predicted as one clip."""
    if prediction.windows is not None:
        return prediction.windows
    start = np.array([prediction.segment[0] if prediction.segment is not None else 0.0])
    return Windows(start, start + (prediction.seconds or 0.0), prediction.scores[None])
