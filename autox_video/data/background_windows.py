"""Draw windows of background: parts of a video in which nothing is labelled."""

from collections.abc import Iterable

import numpy as np

from autox_video.data.clip_table import Segment

_TOLERANCE_SEC = 1e-9
"""A gap that is this much shorter than a window still holds it, since times are rounded."""


def background_windows(
    segments: Iterable[Segment],
    seconds: float,
    span_sec: float,
    *,
    count: int,
    rng: np.random.Generator,
    margin_sec: float = 0.0,
) -> list[Segment]:
    """Return `count` windows of background, in order of time; [] if no gap holds a window.

    The windows are spread evenly over all positions that are possible: each is drawn at random from
    one of `count` equal shares of them. Windows may overlap if there is little background.

    Args:
        segments: labelled segments (start_sec, end_sec) in any order, which may overlap or end
            after the video.
        seconds: length of the video.
        span_sec: length of a window, above 0.
        count: number of windows.
        rng: source of the random positions.
        margin_sec: distance between a window and the nearest segment, 0 or more, since the labelled
            boundaries of events are not exact.

    Raises:
        ValueError: a length or the margin is out of range.
    """
    if not (span_sec > 0 and margin_sec >= 0 and count >= 0):
        raise ValueError("span_sec must be above 0; margin_sec and count must be 0 or more")
    gaps = np.array(unlabelled(segments, seconds, margin_sec=margin_sec)).reshape(-1, 2)
    gaps = gaps[gaps[:, 1] - gaps[:, 0] >= span_sec - _TOLERANCE_SEC]
    if not len(gaps):
        return []
    starts, room = gaps[:, 0], np.maximum(gaps[:, 1] - gaps[:, 0] - span_sec, 0.0)
    positions = (np.arange(count) + rng.random(count)) / max(count, 1)
    if not room.any():  # each gap is as long as a window
        first = starts[(positions * len(starts)).astype(np.int64)]
    else:
        ends = np.cumsum(room)
        at = positions * ends[-1]
        gap = np.minimum(np.searchsorted(ends, at, side="right"), len(ends) - 1)
        first = starts[gap] + at - (ends - room)[gap]
    return [(start, start + span_sec) for start in first.tolist()]


def unlabelled(
    segments: Iterable[Segment], seconds: float, *, margin_sec: float = 0.0
) -> list[Segment]:
    """Return the parts of a video outside all segments and their margins, in order of time."""
    gaps, covered = [], 0.0
    for start, end in sorted(segments):
        if start - margin_sec > covered:
            gaps.append((covered, min(start - margin_sec, seconds)))
        covered = max(covered, end + margin_sec)
        if covered >= seconds:
            return gaps
    return [*gaps, (covered, seconds)]
