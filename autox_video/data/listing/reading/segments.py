"""Parse segments written in seconds or as h:mm:ss into (start_sec, end_sec).

The times are presentation times, as players show them: if the audio starts before the video, time 0
is the start of the audio.
"""

import math
import re

from autox_video.data.clip_table import WHOLE_VIDEO, Segment

EXAMPLE = "write seconds, such as 83.5, or h:mm:ss, such as 0:01:23.5"

_NUMBER = re.compile(r"\+?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]{1,2})?")
_OF_DAY = re.compile(r"(?:([0-9]{1,3}):)?([0-9]{1,4}):([0-9]{1,2}(?:[.,][0-9]*)?)")
_SUFFIX = re.compile(r"(.*?[0-9.,])\s*(ms|msec|s|sec|secs|seconds?)", re.IGNORECASE)
_END = ("inf", "infinity", "+inf")
_OPEN = ("-1", "-1.0")
"""Values of a segment's end that mean the end of the video, as in WLASL."""
_NOTHING = ("", "nan", "none", "null", "na", "n/a")
_THOUSANDS = re.compile(r"[0-9]{1,3}([.,][0-9]{3})+")  # milliseconds with thousands separators
_SECONDS_OF = {"s": 1.0, "ms": 1e-3, "frame": 1.0}


def read_segment(start: str, end: str, unit: str = "s") -> Segment:
    """Return the start and end of a segment in seconds, or in frame numbers if `unit` is frame.

    An empty start means 0; an empty end or `inf` means the end of the video. A time may end in `s`
    or `ms`, have the form h:mm:ss or mm:ss, or use a decimal comma. `unit` is the unit of plain
    numbers: s, ms or frame. Raises ValueError with a clause that says what is wrong.
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
    """Return a segment's start, in seconds from the first frame, and its length.

    Args:
        segment: start and end in presentation time, or WHOLE_VIDEO.
        first_sec: presentation time of the first frame.
        seconds: length of the video, from its first frame to its end.

    Raises:
        ValueError: the segment contains no frame; the message is a clause.
    """
    start_sec, end_sec = segment
    if start_sec >= first_sec + seconds:
        end = round(first_sec + seconds, 2)
        raise ValueError(f"the segment begins at {start_sec:g} s, but the video ends at {end:g} s")
    if end_sec <= first_sec:
        first = f"the video starts at {first_sec:.2f} s, after the audio"
        raise ValueError(f"the segment ends at {end_sec:g} s, but {first}")
    begin = max(start_sec - first_sec, 0.0)
    return begin, min(end_sec - first_sec, seconds) - begin


def read_time(text: str, which: str, unit: str = "s") -> float:
    """Parse one time; `which` is its name for messages. Raises ValueError like `read_segment`."""
    if unit == "frame":
        if not re.fullmatch(r"\+?[0-9]+(\.0*)?", text):
            raise ValueError(f"the {which} `{text}` is not a frame number (0, 1, 2, ...)")
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
        raise ValueError(f"the {which} `{text}` is not a time of 0 or more; {EXAMPLE}")
    hours, minutes, seconds = match.groups()
    if hours and int(minutes) >= 60:
        raise ValueError(f"the {which} `{text}` has {minutes} minutes; {EXAMPLE}")
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
