"""When the frames of a clip are taken: arithmetic on seconds, the same at any frame rate.

A clip is `clip_len` frames, one from each of `clip_len` slots that lie end to end in time, each
`frame_interval_sec` long; its span is clip_len * frame_interval_sec. A frame is taken in the middle
of its slot, or in training with jitter a quarter of a slot before or after that. A video shorter
than the span is repeated: time goes round modulo its length. Where less than one slot is missing it
holds its end instead: a jump to the start would show a motion that is not there, and videos of
nominally the same length differ by that much.

Training times lie on a grid, two to a slot, so that a video has few frames that can ever be asked
for: those can be decoded once and kept.

All times are float64 seconds from the first frame, finite, and in [0, seconds).
"""

import math

import numpy as np

TIMES_PER_SLOT = 2
LEAST_SEEN_SHARE = 0.8
"""Of a video, that testing looks at: where that takes more clips, more are taken."""
MOST_TEST_CLIPS = 16
"""Taken from one video in testing, however long it is."""


def train_times(
    seconds: float,
    clip_len: int,
    frame_interval_sec: float,
    *,
    rng: np.random.Generator,
    jitter: bool = False,
) -> np.ndarray:
    """Give the times of one clip at a random place of the grid.

    Args:
        seconds: length of the video, > 0.
        clip_len: frames, >= 1.
        frame_interval_sec: seconds from frame to frame, > 0.
        rng: where the chance comes from.
        jitter: whether each frame is moved within its slot at random.

    Returns:
        (clip_len,), increasing unless the video is shorter than the clip's span.
    """
    _check(seconds, clip_len, frame_interval_sec)
    starts = _grid_starts(seconds, clip_len, frame_interval_sec)
    steps = np.arange(clip_len) * TIMES_PER_SLOT + rng.integers(starts)
    if jitter:
        steps += rng.integers(TIMES_PER_SLOT, size=clip_len)
    return _on_grid(steps, seconds, clip_len, frame_interval_sec, jitter=jitter)


def all_train_times(
    seconds: float, clip_len: int, frame_interval_sec: float, *, jitter: bool = False
) -> np.ndarray:
    """Give every time that `train_times` can ever give, increasing, each once."""
    _check(seconds, clip_len, frame_interval_sec)
    starts = _grid_starts(seconds, clip_len, frame_interval_sec)
    ahead = np.arange(starts + (TIMES_PER_SLOT - 1 if jitter else 0))
    steps = np.arange(clip_len)[:, None] * TIMES_PER_SLOT + ahead[:TIMES_PER_SLOT]
    steps = np.union1d(steps, (clip_len - 1) * TIMES_PER_SLOT + ahead)
    return np.unique(_on_grid(steps, seconds, clip_len, frame_interval_sec, jitter=jitter))


def count_train_times(
    seconds: float, clip_len: int, frame_interval_sec: float, *, jitter: bool = False
) -> int:
    """Give an upper bound of how many times `all_train_times` gives, at once."""
    _check(seconds, clip_len, frame_interval_sec)
    starts = _grid_starts(seconds, clip_len, frame_interval_sec)
    if starts == 1 and not jitter:
        return clip_len
    return clip_len * TIMES_PER_SLOT + starts - 1


def test_times(
    seconds: float, clip_len: int, frame_interval_sec: float, *, num_clips: int
) -> np.ndarray:
    """Give the times of `num_clips` clips spread evenly from the video's start to its end.

    One clip by itself is taken from the middle. The other arguments
    are those of `train_times`.

    Returns:
        (num_clips, clip_len); the same for the same arguments.
    """
    _check(seconds, clip_len, frame_interval_sec)
    if num_clips < 1:
        raise ValueError(f"num_clips must be at least 1, not {num_clips}")
    span = clip_len * frame_interval_sec
    room = max(0.0, seconds - span)
    starts = np.linspace(0.0, room, num_clips) if num_clips > 1 else np.array([room / 2])
    times = starts[:, None] + (np.arange(clip_len) + 0.5) * frame_interval_sec
    return _within(times, seconds, clip_len, frame_interval_sec)


def rounds_of(seconds: float, span_sec: float, *, num_clips: int) -> int:
    """Give in how many rounds of `num_clips` clips a video is looked at in testing, 1 or more.

    As many as cover four fifths of it, so that videos of nominally the same length have one; at
    most those of MOST_TEST_CLIPS clips.

    Args:
        seconds: length of the video.
        span_sec: seconds that one clip spans.
        num_clips: clips in a round.
    """
    wanted = math.ceil(LEAST_SEEN_SHARE * seconds / (num_clips * span_sec) - 1e-6)
    return max(1, min(wanted, MOST_TEST_CLIPS // num_clips))


def seen_share(seconds: float, span_sec: float, *, clips: int) -> float:
    """Give the share of a video that so many clips side by side span, at most 1."""
    return min(1.0, clips * span_sec / seconds)


test_times.__test__ = False  # its name looks like a test to pytest where a test file imports it


def _check(seconds: float, clip_len: int, frame_interval_sec: float) -> None:
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"seconds must be above 0, not {seconds}")
    if clip_len < 1:
        raise ValueError(f"clip_len must be at least 1, not {clip_len}")
    if not (math.isfinite(frame_interval_sec) and frame_interval_sec > 0):
        raise ValueError(f"frame_interval_sec must be above 0, not {frame_interval_sec}")


def _grid_starts(seconds: float, clip_len: int, frame_interval_sec: float) -> int:
    """Give the number of places of the grid at which a clip can start."""
    room = max(0.0, seconds - clip_len * frame_interval_sec)
    return 1 + int(room / frame_interval_sec * TIMES_PER_SLOT + 1e-6)


def _on_grid(
    steps: np.ndarray,
    seconds: float,
    clip_len: int,
    frame_interval_sec: float,
    *,
    jitter: bool,
) -> np.ndarray:
    # Between two of the grid's places, so that the middle of a slot is in the middle of its two.
    times = (steps + (0.5 if jitter else 1.0)) * (frame_interval_sec / TIMES_PER_SLOT)
    return _within(times, seconds, clip_len, frame_interval_sec)


def _within(
    times: np.ndarray, seconds: float, clip_len: int, frame_interval_sec: float
) -> np.ndarray:
    """Bring times into [0, seconds): repeat a short video, hold the end of one barely short."""
    if (clip_len - 1) * frame_interval_sec >= seconds:
        times = np.mod(times, seconds)
    return np.clip(times, 0.0, np.nextafter(seconds, 0.0))
