"""The true length of a video file, by reading all of its packets and decoding none."""

import math
import threading
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import av
import numpy as np

from autox_video.dataset.packet_index import PacketIndex
from autox_video.dataset.video_file import MAX_FPS, MIN_FPS

REMEMBER_BYTES = 64 << 20
"""Memory of a process for what counting found out about files."""

_PACKED_MPEG4_BYTES = 19  # what follows a packet of two MPEG-4 frames has no more


@dataclass(slots=True)
class Counted:
    """What reading all packets of a file found out.

    Attributes:
        num_frames, seconds: as in `Video`.
        last_key_sec: time of the last key frame.
        blank_end: whether the last packet holds only zeros, as files do whose copying broke off.
        index: all packets; None where their stamps do not tell which frame is when.
        turns: quarters of a turn to the left that put the frames upright; None until one was seen.
    """

    num_frames: int
    seconds: float
    last_key_sec: float
    blank_end: bool
    index: PacketIndex | None
    turns: int | None = None

    @property
    def nbytes(self) -> int:
        """Memory that it takes, about."""
        return 1000 + (self.index.nbytes if self.index else 0)


class CountedFiles:
    """What counting found out, by path, time of change and size of the file."""

    def __init__(self) -> None:
        self._found: dict[tuple, Counted] = {}
        self._bytes = 0
        self._lock = threading.Lock()  # the probe opens files in threads

    def get(self, key: tuple[str, int, int]) -> Counted | None:
        """Give what is known of a file."""
        return self._found.get(key)

    def keep(self, key: tuple[str, int, int], counted: Counted) -> None:
        """Remember a file, in place of others where there are too many."""
        with self._lock:
            # The latest goes first: of too many, one part then stays over all epochs.
            while self._found and self._bytes + counted.nbytes > REMEMBER_BYTES:
                self._bytes -= self._found.popitem()[1].nbytes
            self._found[key] = counted
            self._bytes += counted.nbytes


def count_packets(
    packets: Iterable[av.Packet],
    *,
    tick_sec: float,
    nominal_fps: float,
    order_is_the_time: bool,
    is_lossy: bool,
    may_be_packed: bool,
    has_index: bool,
) -> Counted | None:
    """Read packets to the end.

    Args:
        packets: of a file, from the first on.
        tick_sec: seconds of a tick of their stamps.
        nominal_fps: frames per second where stamps do not tell.
        order_is_the_time: whether stamps tell the order of decoding only.
        is_lossy: whether pictures are compressed: raw ones may well end in zeros.
        may_be_packed: whether two frames may share a packet, before a packet of a few bytes.
        has_index: whether an index is made.

    Returns:
        What they tell; None where no frame would be shown.
    """
    frame_ticks = 1 / nominal_fps / tick_sec
    # Of clips of hours too: eight bytes a packet, where a list would take forty.
    stamps, is_key, is_shown = array("q"), bytearray(), bytearray()
    num_frames, end, last_key, last = 0, -math.inf, -math.inf, None
    for packet in packets:
        stamp = packet.dts if order_is_the_time else packet.pts
        is_stray = stamp is None or (may_be_packed and packet.size <= _PACKED_MPEG4_BYTES)
        has_index = has_index and not is_stray and not packet.is_corrupt
        if packet.is_corrupt:
            continue
        stamps.append(round(num_frames * frame_ticks) if stamp is None else stamp)
        is_key.append(packet.is_keyframe)
        is_shown.append(not packet.is_discard)
        if is_shown[-1]:
            num_frames, last = num_frames + 1, packet
            end = max(end, stamps[-1] + (packet.duration or frame_ticks))
            last_key = max(last_key, stamps[-1]) if is_key[-1] else last_key
    if last is None:
        return None
    index = PacketIndex(np.array(stamps), np.array(is_key, bool), np.array(is_shown, bool))
    first = index.first_stamp
    return Counted(
        num_frames=num_frames,
        seconds=_believed_seconds(num_frames, (end - first) * tick_sec, nominal_fps),
        last_key_sec=max(last_key - first, 0) * tick_sec,
        blank_end=is_lossy and not any(bytes(last)),
        index=index if has_index and index.is_exact else None,
    )


def _believed_seconds(num_frames: int, seconds: float, nominal_fps: float) -> float:
    if seconds > 0 and MIN_FPS <= num_frames / seconds <= MAX_FPS:
        return seconds
    return num_frames / nominal_fps
