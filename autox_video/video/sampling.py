"""Choose the times at which a clip's frames are sampled, independently of the frame rate.

A clip consists of `clip_len` frames, each taken from its own slot of `frame_interval_sec` seconds.
The slots are consecutive, so a clip spans clip_len * frame_interval_sec seconds. A frame is taken
from the middle of its slot or, in training with jitter, a quarter of a slot before or after the
middle. A video shorter than a clip's span is looped (time modulo its length). If the video is too
short by less than one slot, its last frame is repeated instead. Looping would add a jump that is
not in the video, and videos of nominally equal length often differ by less than one slot.

Training times lie on a grid with two points per slot, so training requests only a limited set of
frames of each video, which can be decoded once and cached.

All times are in seconds from the first frame, as finite float64 numbers in [0, seconds).
"""

import math

import numpy as np

TIMES_PER_SLOT = 2
LEAST_SEEN_SHARE = 0.8
"""Share of each video that its test clips must cover; more clips are taken if necessary."""
MOST_TEST_CLIPS = 16
"""Maximum number of test clips taken from a video."""


def train_times(
    seconds: float,
    clip_len: int,
    frame_interval_sec: float,
    *,
    rng: np.random.Generator,
    jitter: bool = False,
) -> np.ndarray:
    """Return the frame times of a clip that starts at a random grid point.

    Args:
        seconds: length of the video, > 0.
        clip_len: number of frames, >= 1.
        frame_interval_sec: seconds between frames, > 0.
        rng: random number generator.
        jitter: whether to shift each frame randomly within its slot.

    Returns:
        Times of shape (clip_len,), increasing unless the video is shorter than the clip's span.
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
    """Return all times that `train_times` can return, sorted, without duplicates."""
    _check(seconds, clip_len, frame_interval_sec)
    starts = _grid_starts(seconds, clip_len, frame_interval_sec)
    ahead = np.arange(starts + (TIMES_PER_SLOT - 1 if jitter else 0))
    steps = np.arange(clip_len)[:, None] * TIMES_PER_SLOT + ahead[:TIMES_PER_SLOT]
    steps = np.union1d(steps, (clip_len - 1) * TIMES_PER_SLOT + ahead)
    return np.unique(_on_grid(steps, seconds, clip_len, frame_interval_sec, jitter=jitter))


def count_train_times(
    seconds: float, clip_len: int, frame_interval_sec: float, *, jitter: bool = False
) -> int:
    """Return an upper bound on the length of the array that `all_train_times` returns."""
    _check(seconds, clip_len, frame_interval_sec)
    starts = _grid_starts(seconds, clip_len, frame_interval_sec)
    if starts == 1 and not jitter:
        return clip_len
    return clip_len * TIMES_PER_SLOT + starts - 1


def test_times(
    seconds: float, clip_len: int, frame_interval_sec: float, *, num_clips: int
) -> np.ndarray:
    """Return the frame times of `num_clips` clips spread evenly over the video.

    If there is only one clip, it is taken from the middle of the video. The other arguments are the
    same as in `train_times`.

    Returns:
        Times of shape (num_clips, clip_len), which depend only on the arguments.
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
    """Return how many rounds of `num_clips` test clips a video needs, at least 1.

    The clips need to cover only four fifths of the video, so that videos of nominally equal length
    get the same number of clips. No video gets more than MOST_TEST_CLIPS clips.

    Args:
        seconds: length of the video.
        span_sec: span of one clip in seconds.
        num_clips: number of clips per round.
    """
    wanted = math.ceil(LEAST_SEEN_SHARE * seconds / (num_clips * span_sec) - 1e-6)
    return max(1, min(wanted, MOST_TEST_CLIPS // num_clips))


def seen_share(seconds: float, span_sec: float, *, clips: int) -> float:
    """Return the share of a video, at most 1, that `clips` clips cover if they do not overlap."""
    return min(1.0, clips * span_sec / seconds)


test_times.__test__ = False  # otherwise pytest would collect it as a test


def _check(seconds: float, clip_len: int, frame_interval_sec: float) -> None:
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"seconds must be above 0, not {seconds}")
    if clip_len < 1:
        raise ValueError(f"clip_len must be at least 1, not {clip_len}")
    if not (math.isfinite(frame_interval_sec) and frame_interval_sec > 0):
        raise ValueError(f"frame_interval_sec must be above 0, not {frame_interval_sec}")


def _grid_starts(seconds: float, clip_len: int, frame_interval_sec: float) -> int:
    """Return the number of grid points at which a clip can start."""
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
    # With jitter, the times lie between grid points, symmetrically about the middle of each slot.
    times = (steps + (0.5 if jitter else 1.0)) * (frame_interval_sec / TIMES_PER_SLOT)
    return _within(times, seconds, clip_len, frame_interval_sec)


def _within(
    times: np.ndarray, seconds: float, clip_len: int, frame_interval_sec: float
) -> np.ndarray:
    """Map times into [0, seconds) by looping a short video or repeating its last frame."""
    if (clip_len - 1) * frame_interval_sec >= seconds:
        times = np.mod(times, seconds)
    return np.clip(times, 0.0, np.nextafter(seconds, 0.0))
