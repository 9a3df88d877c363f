"""Time segments as lists write them: seconds or times of day as text → (start_sec, end_sec).

They are seconds of the clock that players show, which begins with the file's sound where that comes
before the first picture.
"""

import math
import re

from autox_video.data.clip_table import WHOLE_VIDEO, Segment

EXAMPLE = "write seconds, as 83.5, or h:mm:ss, as 0:01:23.5"

_NUMBER = re.compile(r"\+?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]{1,2})?")
_OF_DAY = re.compile(r"(?:([0-9]{1,3}):)?([0-9]{1,4}):([0-9]{1,2}(?:[.,][0-9]*)?)")
_SUFFIX = re.compile(r"(.*?[0-9.,])\s*(ms|msec|s|sec|secs|seconds?)", re.IGNORECASE)
_END = ("inf", "infinity", "+inf")
_OPEN = ("-1", "-1.0")
"""An end that is the end of the video, as WLASL has it."""
_NOTHING = ("", "nan", "none", "null", "na", "n/a")
_THOUSANDS = re.compile(r"[0-9]{1,3}([.,][0-9]{3})+")  # of milliseconds there are no thousandths
_SECONDS_OF = {"s": 1.0, "ms": 1e-3, "frame": 1.0}


def read_segment(start: str, end: str, unit: str = "s") -> Segment:
    """Read the start and the end of a segment; in seconds, but for frames in their numbers.

    Nothing for a start is 0, and for an end the end of the video, as is `inf`. A time may end in
    `s` or `ms`, be h:mm:ss or mm:ss, and have a decimal comma; `unit` is what plain numbers count:
    s, ms or frame. Raises ValueError with a part of a sentence on what is wrong.
    """
    texts = (start.strip(), end.strip())
    start, end = ("" if text.lower() in _NOTHING else text for text in texts)
    if not start and not end:
        return WHOLE_VIDEO
    first = read_time(start, "start", unit) if start else 0.0
    is_open = not end or end.lower().rstrip("s") in _END or end in _OPEN
    last = math.inf if is_open else read_time(end, "end", unit)
    if first >= last:
        behind, before = (f"frame {t:g}" if unit == "frame" else f"{t:g} s" for t in (last, first))
        raise ValueError(f"the segment ends at {behind}, which is not after its start at {before}")
    return first, last


def part_of_video(segment: Segment, first_sec: float, seconds: float) -> tuple[float, float]:
    """Where a segment begins, in seconds from the first picture on, and how long it is.

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


def read_time(text: str, which: str, unit: str = "s") -> float:
    """Read one time, `which` is its name for sentences; raises ValueError as `read_segment`."""
    if unit == "frame":
        if not re.fullmatch(r"\+?[0-9]+(\.0*)?", text):
            raise ValueError(f"the {which} `{text}` is not the number of a frame from 0 on")
        return float(text)
    number, suffix = text, unit
    if match := _SUFFIX.fullmatch(text):
        number, suffix = match[1], "ms" if match[2].lower().startswith("ms") else "s"
    if suffix == "ms" and _THOUSANDS.fullmatch(number):
        number = re.sub("[.,]", "", number)
    if _NUMBER.fullmatch(number):
        return float(number.replace(",", ".")) * _SECONDS_OF[suffix]
    match = _OF_DAY.fullmatch(number)
    if match is None or float(match[3].replace(",", ".")) >= 60:
        raise ValueError(f"the {which} `{text}` is no time from 0 on; {EXAMPLE}")
    hours, minutes, seconds = match.groups()
    if hours and int(minutes) >= 60:
        raise ValueError(f"the {which} `{text}` has {minutes} minutes; {EXAMPLE}")
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
