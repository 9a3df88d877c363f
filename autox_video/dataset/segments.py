"""Time segments as lists write them: seconds as text → (start_sec, end_sec).

They are seconds of the clock that players show, which begins with the file's sound where that comes
before the first picture.
"""

import math
import re

from autox_video.dataset.entries import WHOLE_VIDEO, Segment

_SECONDS = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?\s*s?")
_END = ("inf", "infinity", "+inf")


def read_segment(start: str, end: str) -> Segment:
    """Read the start and the end of a segment in seconds.

    Nothing for a start is 0, and for an end the end of the video, as is `inf`. A number may end in
    `s`.

    Raises:
        ValueError: with a part of a sentence on what is wrong.
    """
    if not start and not end:
        return WHOLE_VIDEO
    start_sec = _seconds(start, "start") if start else 0.0
    end_sec = math.inf if not end or end.lower().rstrip("s") in _END else _seconds(end, "end")
    if start_sec >= end_sec:
        raise ValueError(
            f"the segment ends at {end_sec:g} s, which is not after its start at {start_sec:g} s"
        )
    return start_sec, end_sec


def part_of_video(segment: Segment, first_sec: float, seconds: float) -> tuple[float, float]:
    """Give where a segment begins, in seconds from the first picture on, and how long it is.

    Args:
        segment: of the player's clock, or WHOLE_VIDEO.
        first_sec: when the first picture comes on that clock.
        seconds: of the video, from its first picture to the end.

    Raises:
        ValueError: there is no picture in it; with a sentence that does not end.
    """
    start_sec, end_sec = segment
    if start_sec >= first_sec + seconds:
        end = round(first_sec + seconds, 2)
        raise ValueError(f"the segment begins at {start_sec:g} s, but the video ends at {end:g} s")
    if end_sec <= first_sec:
        first = f"the first picture comes at {first_sec:.2f} s, after the sound"
        raise ValueError(f"the segment ends at {end_sec:g} s, but {first}")
    begin = max(start_sec - first_sec, 0.0)
    return begin, min(end_sec - first_sec, seconds) - begin


def _seconds(text: str, which: str) -> float:
    if not _SECONDS.fullmatch(text):
        raise ValueError(f"the {which} `{text}` is no number of seconds from 0 on")
    return float(text.rstrip("s "))
