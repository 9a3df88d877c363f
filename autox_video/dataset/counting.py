"""The true length of a video file, by reading all of its packets and decoding none."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

import av

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
    stamps, keys, ends, shown = [], [], [], []
    for packet in packets:
        stamp = packet.dts if order_is_the_time else packet.pts
        is_stray = stamp is None or (may_be_packed and packet.size <= _PACKED_MPEG4_BYTES)
        has_index = has_index and not is_stray and not packet.is_corrupt
        if packet.is_corrupt:
            continue
        if stamp is None:
            stamp = len(ends) * frame_ticks
        stamps.append(stamp)
        keys.append(packet.is_keyframe)
        shown.append(not packet.is_discard)
        if shown[-1]:
            ends.append(stamp + (packet.duration or frame_ticks))
            last = packet
    if not ends:
        return None
    numbers = [number for number, is_shown in enumerate(shown) if is_shown]
    first = min(stamps[number] for number in numbers)
    last_key = max((stamps[number] for number in numbers if keys[number]), default=first)
    index = PacketIndex(stamps, keys, shown) if has_index else None
    return Counted(
        num_frames=len(ends),
        seconds=_believed_seconds(len(ends), (max(ends) - first) * tick_sec, nominal_fps),
        last_key_sec=(last_key - first) * tick_sec,
        blank_end=is_lossy and not any(bytes(last)),
        index=index if index is not None and index.is_exact else None,
    )


def _believed_seconds(num_frames: int, seconds: float, nominal_fps: float) -> float:
    if seconds > 0 and MIN_FPS <= num_frames / seconds <= MAX_FPS:
        return seconds
    return num_frames / nominal_fps
