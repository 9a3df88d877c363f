"""Count a video file's frames and measure its length by reading all packets without decoding."""

import threading
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace

import av
import numpy as np

from autox_video.video.container.orientation import Orientation
from autox_video.video.container.packet_index import PacketIndex
from autox_video.video.container.timeline import MISSING, Stamps, Timeline, lay_out

REMEMBER_BYTES = 64 << 20
"""Memory that each process may use to cache packet counting results."""

SKIPPED_SHARE = 0.1
"""A clip is reported if more than this share of its frames precede its first key frame."""

_PACKED_MPEG4_BYTES = 19  # largest placeholder packet after a packet with two MPEG-4 frames


@dataclass(slots=True)
class Counted:
    """The result of reading all packets of a file.

    Attributes:
        timeline: the times at which each frame is on screen.
        first_stamp: timestamp of the first frame in the file, in ticks; None if it is missing.
        last_key_sec: time of the last key frame.
        blank_end: whether the last packet is all zeros, as in incompletely copied files.
        num_packets: number of packets; None if packets cannot be matched to frames.
        index: index of all packets; None if the packets that a frame needs cannot be determined.
        orientation: orientation of the frames; None until a frame has been decoded.
    """

    timeline: Timeline
    first_stamp: int | None
    last_key_sec: float
    blank_end: bool
    num_packets: int | None = None
    index: PacketIndex | None = None
    orientation: Orientation | None = None

    @property
    def num_frames(self) -> int:
        """Number of frames, >= 1."""
        return len(self.timeline.displayed)

    @property
    def seconds(self) -> float:
        """Length in seconds, > 0."""
        return self.timeline.seconds

    @property
    def nbytes(self) -> int:
        """Approximate memory usage, in bytes."""
        return 1000 + self.timeline.nbytes + (self.index.nbytes if self.index else 0)


class CountedFiles:
    """A cache of packet counting results, keyed by a file's path, modification time and size."""

    def __init__(self) -> None:
        self._found: dict[tuple, Counted] = {}
        self._bytes = 0
        self._lock = threading.Lock()  # inspection opens files in threads

    def get(self, key: tuple[str, int, int]) -> Counted | None:
        """Return the cached result for a file; None if it is not cached."""
        return self._found.get(key)

    def keep(self, key: tuple[str, int, int], counted: Counted) -> None:
        """Cache the result for a file, evicting other results if necessary."""
        with self._lock:
            # Evict the latest first, so that with too many files some stay cached over all epochs.
            while self._found and self._bytes + counted.nbytes > REMEMBER_BYTES:
                self._bytes -= self._found.popitem()[1].nbytes
            self._found[key] = counted
            self._bytes += counted.nbytes


@dataclass(frozen=True, slots=True)
class Reading:
    """Properties of a file that determine how its packets are read.

    Attributes:
        tick_sec: seconds per tick of the timestamps.
        nominal_fps: frame rate to use if the timestamps do not give one.
        has_only_dts: whether the timestamps give only the decoding order.
        stores_decoding: whether decoding times are stored in the file rather than estimated.
        most_reordered: maximum number of frames that are decoded before a frame but displayed after
            it.
        is_lossy: whether the codec is lossy; frames of other codecs may legitimately end in zeros.
        may_be_packed: whether a packet may contain two frames, followed by a placeholder packet.
        has_index: whether to build a packet index.
    """

    tick_sec: float
    nominal_fps: float
    has_only_dts: bool
    stores_decoding: bool
    most_reordered: int
    is_lossy: bool
    may_be_packed: bool
    has_index: bool


class _Columns:
    """Packet fields stored in arrays, which take 8 bytes per number; lists take 40."""

    def __init__(self) -> None:
        self.shown_at, self.decoded_at, self.durations = array("q"), array("q"), array("q")
        self.is_key, self.is_shown, self.is_corrupt = bytearray(), bytearray(), bytearray()

    def add(self, packet: av.Packet, stamp: int | None) -> None:
        self.shown_at.append(MISSING if stamp is None else stamp)
        self.decoded_at.append(MISSING if packet.dts is None else packet.dts)
        self.durations.append(packet.duration or 0)
        self.is_key.append(packet.is_keyframe)
        self.is_shown.append(not packet.is_discard)
        self.is_corrupt.append(packet.is_corrupt)

    def stamps(self, how: Reading) -> Stamps:
        numbers = [np.array(one) for one in (self.shown_at, self.decoded_at, self.durations)]
        flags = (self.is_key, self.is_shown, self.is_corrupt)
        is_key, is_shown, is_corrupt = (np.array(one, dtype=bool) for one in flags)
        is_shown[len(is_corrupt) - is_corrupt[::-1].argmin() :] = False  # the file is cut off there
        if is_key.any():
            is_shown[: is_key.argmax()] = False  # they depend on frames that are not in the file
        return Stamps(*numbers, is_key, is_shown, how.stores_decoding, how.most_reordered)


def count_packets(packets: Iterable[av.Packet], how: Reading) -> Counted | None:
    """Count a file's packets; return None if no frame would be displayed.

    Args:
        packets: all video packets of the file.
        how: properties of the file that determine how its packets are read.
    """
    columns, last, tells = _Columns(), None, not how.has_only_dts
    for packet in packets:
        stamp = packet.dts if how.has_only_dts else packet.pts
        columns.add(packet, stamp)
        is_stray = stamp is None or (how.may_be_packed and packet.size <= _PACKED_MPEG4_BYTES)
        tells = tells and not is_stray
        last = packet if not (packet.is_discard or packet.is_corrupt) else last
    if last is None:
        return None
    stamps = columns.stamps(how)
    if not stamps.is_shown.any():
        return None  # all frames depend on frames that were cut off
    tells_all = tells and not any(columns.is_corrupt)
    timeline = lay_out(stamps, tick_sec=how.tick_sec, nominal_fps=how.nominal_fps)
    if len(timeline.displayed) == 1:
        timeline = replace(timeline, odd=(*timeline.odd, "it has only one frame"))
    skipped = int(stamps.is_key.argmax())
    if skipped > SKIPPED_SHARE * len(timeline.displayed):
        said = f"its first {skipped} frames are skipped: the key frame before them was cut off"
        timeline = replace(timeline, odd=(*timeline.odd, said))
    index = PacketIndex(stamps.shown_at, stamps.is_key, stamps.is_shown)
    places = timeline.places(len(stamps.shown_at))
    first = int(stamps.shown_at[timeline.displayed[0]])
    return Counted(
        timeline,
        first_stamp=None if how.has_only_dts or first == MISSING else first,
        last_key_sec=float(timeline.starts[places[stamps.is_key & stamps.is_shown]].max(initial=0)),
        blank_end=how.is_lossy and not any(bytes(last)),
        num_packets=len(places) if tells else None,
        index=index if tells_all and how.has_index and index.is_exact else None,
    )
