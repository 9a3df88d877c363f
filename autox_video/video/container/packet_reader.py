"""Read parts of the packets of a large file, which does not fit into memory."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import av

from autox_video.video.container.packet_index import PacketIndex

if TYPE_CHECKING:
    from autox_video.video.container.media_file import MediaFile


class PacketReader:
    """Reads packets in increasing order; where a number is skipped, the file is searched.

    Args:
        file: a seekable file.
        index: index of all its packets; reading may start at key frames only.
    """

    def __init__(self, file: "MediaFile", index: PacketIndex) -> None:
        self._file, self._index = file, index
        self._packets: Iterator[av.Packet] = iter(())
        self._next = -1

    def packet(self, number: int) -> av.Packet | None:
        """Return a packet; None if it cannot be found in the file."""
        stamp = int(self._index.stamps[number])
        packet = next(self._packets, None) if number == self._next else self._search(stamp)
        self._next = number + 1
        return packet if packet is not None and packet.pts == stamp else None

    def _search(self, stamp: int) -> av.Packet | None:
        """Return the key frame's packet with this timestamp."""
        try:
            self._file.container.seek(stamp, stream=self._file.stream)
        except av.error.FFmpegError:
            return None
        self._packets = self._file.read()
        for packet in self._packets:
            if packet.pts is None or packet.pts >= stamp:
                return packet if packet.is_keyframe else None
        return None


def packets_between(file: "MediaFile", first: float, last: float, back: float) -> list[av.Packet]:
    """Return the packets from the last key frame at or before `first` to just after `last`.

    Args:
        file: a seekable file.
        first, last: timestamps in ticks.
        back: how far before `first` to seek, in ticks.

    Returns:
        The packets, or an empty list if the seek fails or timestamps are missing.
    """
    try:
        file.container.seek(int(first - back), stream=file.stream)
    except av.error.FFmpegError:
        return []
    packets: list[av.Packet] = []
    for packet in file.read():
        if packet.pts is None:
            return []
        if packet.is_keyframe and packet.pts <= first:
            packets.clear()
        packets.append(packet)
        # All later packets are decoded after this one, and shown after they are decoded.
        if packet.dts is not None and packet.dts > last:
            break
    if not packets or not packets[0].is_keyframe or packets[0].pts > first:
        return []
    return packets
