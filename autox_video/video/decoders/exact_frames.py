"""Check that frames decoded with a packet index are the same as in a full decode."""

from collections import deque
from collections.abc import Iterator

import av
import numpy as np

from autox_video.video.container.packet_index import PacketIndex


class InexactError(Exception):
    """Raised if the frames cannot be decoded exactly with a packet index."""


def sound(frames: list[av.VideoFrame | None]) -> list[av.VideoFrame]:
    """Return the frames of a packet; raise InexactError if decoding failed."""
    if None in frames:
        raise InexactError
    return frames


def undamaged(
    frames: Iterator[av.VideoFrame], index: PacketIndex, start: int, end: int
) -> Iterator[av.VideoFrame]:
    """Yield each frame once all packets before its own have been decoded without damage.

    How a decoder patches a damaged frame depends on the number of threads and on what it decoded
    before. Other frames that depend on the damaged frame may be displayed before it.

    Args:
        frames: frames of the packets from `start` to `end`, in display order; some may be missing.
        index: index of all packets.
        start, end: range of packets that are decoded, the first one being a key frame.

    Raises:
        InexactError: a frame is damaged.
    """
    stamps, held = index.stamps[start:end], deque()
    latest = np.maximum.accumulate(stamps)
    for frame in frames:
        if frame.opaque is None:
            raise InexactError
        stamp = stamps[frame.opaque - start]
        if frame.is_corrupt and stamp >= stamps[0]:
            raise InexactError
        held.append(frame)
        while held and stamp >= latest[held[0].opaque - start]:
            yield held.popleft()
    yield from held


def index_of(packets: list[av.Packet]) -> PacketIndex:
    """Return a packet index for consecutive packets that start with a key frame.

    Raises:
        InexactError: the packets do not determine which packets a frame needs.
    """
    if any(packet.is_corrupt for packet in packets):
        raise InexactError
    stamps = [packet.pts for packet in packets]
    # Frames shown before the key frame may depend on packets that were not read.
    shown = [not packet.is_discard and packet.pts >= stamps[0] for packet in packets]
    index = PacketIndex(stamps, [packet.is_keyframe for packet in packets], shown)
    if not index.is_exact:
        raise InexactError
    return index
