"""Detect cut-off files, such as partial downloads, that look like complete short clips."""

from pathlib import Path
from typing import Any

import av

from autox_video.video.container.packet_count import Counted

CUT_OFF_SHARE, CUT_OFF_SEC = 0.05, 0.02
"""A clip counts as cut off if it lacks more than this share and more than this many seconds."""

# Containers whose headers give the length of the whole file, or the length of each stream.
_TELL_OF_THE_WHOLE = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "asf"})
_TELL_OF_STREAMS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "avi"})

_SEGMENT, _HEAD_BYTES = b"\x18\x53\x80\x67", 4096


def say_cut_off(container: Any, stream: Any, counted: Counted) -> tuple[str, ...]:
    """Return a clause that reports that the clip's end is missing; empty if it is complete.

    Args:
        container: the open file.
        stream: its video stream.
        counted: the result of counting the file's packets.
    """
    promised_sec = _promised_sec(container, stream)
    if promised_sec is None or not counted.timeline.follows_stamps:
        return ()
    # Some headers count from time 0, others from the first frame.
    first_sec = float((counted.first_stamp or 0) * (stream.time_base or 0))
    end_sec = counted.seconds + max(first_sec, 0.0)
    if promised_sec - end_sec <= max(CUT_OFF_SHARE * promised_sec, CUT_OFF_SEC):
        return ()
    return (
        f"its header gives {promised_sec:.3g} s, but the video ends at {end_sec:.3g} s: it seems "
        "to be cut off; copy or download it again",
    )


def is_cut_off(path: Path, container: Any, stream: Any) -> bool:
    """Return whether a file is smaller than its header says, without reading the whole file.

    Args:
        path: an MP4 or Matroska file.
        container: the same file, opened with PyAV.
        stream: its video stream.
    """
    if container.format.name == "matroska,webm":
        return _segment_end(path) > container.size
    if not (entries := stream.index_entries):
        return False
    return entries[-1].pos + entries[-1].size > container.size


def _segment_end(path: Path) -> int:
    """Return the byte offset at which a Matroska segment ends; 0 if unknown."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    place = 4  # after the EBML magic number
    size, place = _number(head, place)
    place += size
    if head[place : place + 4] != _SEGMENT:
        return 0
    start = place + 4
    size, place = _number(head, start)
    is_live = size == (1 << 7 * (place - start)) - 1
    return 0 if is_live else place + size


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Return an EBML variable-size integer (RFC 8794, section 4) and the offset of its end."""
    count = 9 - data[place].bit_length() if place < len(data) else 9
    value = int.from_bytes(data[place : place + count], "big")
    return value & (1 << 7 * count) - 1, place + count


def _promised_sec(container: Any, stream: Any) -> float | None:
    """Return the video length given in the header; None if the header does not give one."""
    name = container.format.name
    if name == "avi" and stream.frames:  # FFmpeg's duration is an estimate if the file is cut off
        return float(stream.frames * stream.time_base)
    if name in _TELL_OF_STREAMS and stream.duration:
        return float(stream.duration * stream.time_base)
    if (said := _seconds(stream.metadata.get("DURATION", ""))) is not None:
        return said
    # The audio may be longer than the video.
    if name in _TELL_OF_THE_WHOLE and len(container.streams) == 1 and container.duration:
        return container.duration / av.time_base
    return None


def _seconds(text: str) -> float | None:
    """Parse a Matroska duration tag such as 00:00:04.000000000; None if it is invalid."""
    try:
        hours, minutes, seconds = map(float, text.split(":"))
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds
