"""The PyAV decoder, which is always installed and reads every supported video format."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from autox_video.config.choices import DECODERS
from autox_video.video.container.frame_clock import CountedClock, StampClock
from autox_video.video.container.media_file import THREADS_PER_VIDEO, MediaFile
from autox_video.video.container.orientation import Orientation, orientation_of
from autox_video.video.container.packet_count import Counted
from autox_video.video.container.packet_index import PacketIndex
from autox_video.video.container.packet_reader import PacketReader, packets_between
from autox_video.video.container.timeline import Timeline
from autox_video.video.decoders.exact_frames import InexactError, index_of, sound, undamaged
from autox_video.video.decoders.frame_rgb import RgbConverter, scaled_size
from autox_video.video.video import Video

_HOLE_SEC = 1.0  # longest time for which the last good frame may replace undecodable frames
_SEEK_FROM_SEC = 1.0  # before this time, decoding from the start is as fast as a seek
_SEEK_OVER_SEC = 5.0  # in large files, gaps longer than this are skipped by a seek
_READ_AT_MOST_SEC = 20.0  # longest part of a large file read at once, to limit memory
_SEEK_BACK_SEC = (0.0, 2.0)  # if a seek lands after its target, try again this much earlier

# Codecs for which decoding from a key frame gives the same frames as decoding from the start.
_STARTS_AT_KEYS = frozenset(
    (
        *("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mpeg2video", "mpeg1video"),
        *("mjpeg", "png", "ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo"),
        *("prores", "dnxhd", "dvvideo"),
    )
)
# Codecs whose frame headers indicate whether other frames depend on a frame.
_TELLS_REFERENCES = frozenset({"h264", "mpeg4", "mpeg2video", "mpeg1video"})


class _Shown(NamedTuple):
    """A frame and its display time; the end of the clip is marked by None and an infinite time."""

    second: float
    frame: av.VideoFrame | None
    after_hole: bool


@DECODERS.register("pyav")
class PyAVDecoder(Video):
    """An open clip that is decoded by PyAV.

    Raises:
        VideoError: the file is unreadable or not a video, or its length or frame size is unknown.
    """

    decoder = "pyav"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = MediaFile(path)
        self.codec = self.file.codec.name
        self._origin: float | None = None  # timestamp of a large file's first frame, in ticks
        self._orientation: Orientation | None = None
        self._converter = RgbConverter()

    @property
    def seconds(self) -> float:
        return self.file.seconds

    @property
    def fps(self) -> float:
        return self.file.fps

    @property
    def num_frames(self) -> int:
        return self.file.num_frames

    @property
    def start_sec(self) -> float:
        return self.file.start_sec

    @property
    def odd(self) -> tuple[str, ...]:
        times = self.file.counted.timeline.odd if self.file.counted else ()
        return self.file.odd + self.file.start_odd + times

    @property
    def _may_seek(self) -> bool:
        """Whether frames can be reached by seeking to their timestamps."""
        counted = self.file.counted
        is_true = counted is None or counted.timeline.follows_stamps
        return self.file.is_seekable and not self.file.is_small and is_true

    @property
    def is_seekable(self) -> bool:
        return self.file.is_seekable

    @property
    def size(self) -> tuple[int, int]:
        return self.orientation.size(self.file.width, self.file.height)

    @property
    def orientation(self) -> Orientation:
        """Orientation of the frames according to the file."""
        if self._orientation is None and self.file.counted is not None:
            self._orientation = self.file.counted.orientation
        if self._orientation is None:
            for _, frame in self._frames(np.zeros(1)):
                self._see(frame)
        return self._orientation

    def close(self) -> None:
        self.file.close()

    def count(self) -> Counted:
        return self.file.count()

    def decode_at(
        self, wanted: np.ndarray, short_side: int | None
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        for places, frame in self._frames(wanted):
            yield places, self._pixels(frame, short_side)

    def decode_through(
        self, wanted: np.ndarray, short_side: int | None, threads: int = 1
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        end = 0
        with suppress(InexactError):
            self.file.use_threads(threads)
            for places, frame in self._needed_frames(wanted):
                if places.start != end:
                    raise InexactError  # not in the order of their times
                yield places, self._pixels(frame, short_side)
                end = places.stop
        start = end  # the rest, in a damaged file or an unexpected format: decode every frame
        for first, end, frame in self._frames_in_order(wanted[start:]):
            yield range(start + first, start + end), self._pixels(frame, short_side)

    def _pixels(self, frame: av.VideoFrame, short_side: int | None) -> np.ndarray:
        self._see(frame)
        size = scaled_size(self.file.width, self.file.height, short_side)
        try:
            return self._converter.convert(frame, size, self._orientation)
        except av.error.FFmpegError as error:
            reason = f"its pixel format {frame.format.name} is not supported"
            raise self.error(reason) from error

    def _see(self, frame: av.VideoFrame) -> None:
        if self._orientation is None:
            self._orientation = orientation_of(frame)
            if self.file.counted is not None:
                self.file.counted.orientation = self._orientation

    def _frames(self, wanted: np.ndarray) -> Iterator[tuple[Sequence[int], av.VideoFrame]]:
        """Yield (indices into `wanted`, frame) for all times; an index may occur more than once."""
        for start, stop in self._groups(wanted):
            try:
                for places, frame in self._picked_frames(wanted[start:stop]):
                    yield range(start + places.start, start + places.stop), frame
            except InexactError:  # damaged file or unexpected format: decode every frame
                for first, end, frame in self._frames_in_order(wanted[start:stop]):
                    yield range(start + first, start + end), frame

    def _groups(self, wanted: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield ranges (start, stop) of times to decode together; one range for a small file."""
        start = 0
        for stop in range(1, len(wanted) + 1):
            is_far = stop < len(wanted) and (
                wanted[stop] - wanted[stop - 1] > _SEEK_OVER_SEC
                or wanted[stop] - wanted[start] > _READ_AT_MOST_SEC
            )
            if stop == len(wanted) or (self._may_seek and is_far):
                yield start, stop
                start = stop

    # ---- with a packet index ----

    def _needed_frames(self, wanted: np.ndarray) -> Iterator[tuple[range, av.VideoFrame]]:
        """Decode the packets of a counted file that are needed for the `wanted` times, in order."""
        index = self.file.index
        if index is None or not (self.file.is_small or self.codec in _STARTS_AT_KEYS):
            raise InexactError
        reader = self.file if self.file.is_small else PacketReader(self.file, index)
        return self._indexed_frames(index, self.file.counted.timeline, wanted, reader.packet)

    def _picked_frames(self, wanted: np.ndarray) -> Iterator[tuple[range, av.VideoFrame]]:
        """Decode only the packets that are needed for the frames at the `wanted` times."""
        if self.file.is_small:
            return self._needed_frames(wanted)
        if not self._may_seek or self.codec not in _STARTS_AT_KEYS:
            raise InexactError
        packets = self._window(wanted)
        index = index_of(packets)
        starts = (index.stamps[index.displayed] - self._origin) * self.file.tick_sec
        timeline = Timeline(index.displayed, starts, math.inf)
        return self._indexed_frames(index, timeline, wanted, packets.__getitem__)

    def _window(self, wanted: np.ndarray) -> list[av.Packet]:
        """Return the packets of a large file that must be decoded for the `wanted` times."""
        self._find_origin()
        first, last = self._origin + wanted[[0, -1]] / self.file.tick_sec
        for back_sec in _SEEK_BACK_SEC:
            packets = packets_between(self.file, first, last, back_sec / self.file.tick_sec)
            if packets:
                self._check_end(packets, wanted[-1])
                return packets
        raise InexactError

    def _check_end(self, packets: list[av.Packet], second: float) -> None:
        """Raise InexactError if the file may be cut off before the time `second`."""
        ends = (packet.pts + (packet.duration or 0) for packet in packets)
        end_sec = (max(ends) - self._origin) * self.file.tick_sec
        promised_sec = self.file.promised_sec or 0.0
        if self.file.read_failed or end_sec + _HOLE_SEC < min(second, promised_sec):
            raise InexactError

    def _find_origin(self) -> None:
        if self._origin is None and self.file.counted is not None:
            self._origin = self.file.counted.first_stamp
        if self._origin is None:
            next(self._shown_from_start())
        if self._origin is None:
            raise self.error("none of its frames can be decoded")

    def _indexed_frames(
        self,
        index: PacketIndex,
        timeline: Timeline,
        wanted: np.ndarray,
        packet: Callable[[int], av.Packet | None],
    ) -> Iterator[tuple[range, av.VideoFrame]]:
        numbers = timeline.displayed[timeline.on_screen(wanted)]
        firsts = np.flatnonzero(np.diff(numbers, prepend=-1)).tolist()
        ranges = map(range, firsts, [*firsts[1:], len(numbers)])
        places = dict(zip(numbers[firsts].tolist(), ranges, strict=True))
        chosen = set(places)
        jumps = self.codec in _STARTS_AT_KEYS
        for start, end in index.runs(sorted(chosen), jumps=jumps):
            if jumps:
                self.file.forget()
            else:
                self.file.renew()
            has_landed = not index.shows(start)
            frames = self._run(range(start, end), chosen, packet)
            for frame in undamaged(frames, index, start, end):
                if frame.opaque == start:
                    has_landed = frame.key_frame
                if has_landed and frame.opaque in places:
                    yield places.pop(frame.opaque), frame
                if not places:
                    return
        if places:
            raise InexactError

    def _run(
        self, numbers: range, chosen: set[int], packet: Callable[[int], av.Packet | None]
    ) -> Iterator[av.VideoFrame]:
        """Decode packets, skipping frames that are neither chosen nor used as references."""
        codec, skips = self.file.codec, tells_references(self.file.codec)
        for number in numbers:
            codec.skip_frame = "NONREF" if skips and number not in chosen else "DEFAULT"
            if (one := packet(number)) is None:
                raise InexactError
            yield from sound(self.file.decode(one, number))
        yield from sound(self.file.decode(None))

    # ---- sequentially ----

    def _frames_in_order(self, wanted: np.ndarray) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Yield (first, end, frame), where frame is on screen at the times wanted[first:end]."""
        before, first = None, 0
        if len(wanted) == 0:
            return
        for shown in self._shown_from(wanted[0]):
            end = int(np.searchsorted(wanted, shown.second))
            if before is None and shown.frame is None:
                raise self.error("none of its frames can be decoded")
            if end > first:
                self._check_hole(before, shown, wanted[end - 1])
                yield first, end, (before or shown).frame
                first = end
            if first == len(wanted):
                return
            before = shown

    def _check_hole(self, before: _Shown | None, after: _Shown, second: float) -> None:
        """Raise VideoError if an undecodable frame has no decodable frame close enough in time."""
        if before is None:
            is_unknown = after.second > _HOLE_SEC  # otherwise, the first good frame is used
        else:
            is_unknown = after.after_hole and second > before.second + _HOLE_SEC
        if is_unknown:
            start = before.second if before else 0.0
            raise self.error(
                f"it is damaged or cut off: nothing can be decoded from {start:.1f} s "
                f"to {second:.1f} s"
            )

    def _shown_from(self, second: float) -> Iterator[_Shown]:
        """Return the frames in display order, starting at or before `second`."""
        self.file.use_threads(THREADS_PER_VIDEO)
        if self._may_seek and second >= _SEEK_FROM_SEC:
            self._find_origin()
            for back_sec in _SEEK_BACK_SEC:
                landed = self._shown_from_key_frame(second, back_sec)
                if landed is not None:
                    return landed
        return self._shown_from_start()

    def _shown_from_start(self) -> Iterator[_Shown]:
        self.file.renew()
        counted = self.file.counted
        clock = self._stamp_clock() if counted is None else CountedClock(counted)
        return self._shown(self.file.packets(), clock)

    def _stamp_clock(self) -> StampClock:
        return StampClock(self.file.tick_sec, self.file.nominal_fps, self._origin)

    def _shown_from_key_frame(self, second: float, back_sec: float) -> Iterator[_Shown] | None:
        """Return the frames from the last key frame at or before `second` - `back_sec` onwards.

        The result is None if the seek fails. Frames displayed before the key frame are skipped,
        because they may depend on frames that were not read.
        """
        target = self._origin + max(second - back_sec, 0.0) / self.file.tick_sec
        try:
            self.file.container.seek(int(target), stream=self.file.stream)
        except av.error.FFmpegError:
            return None
        shown = self._shown(self.file.read(), self._stamp_clock())
        for one in shown:
            if one.second > second or one.after_hole:
                return None
            if one.frame.key_frame:
                return chain([one], shown)
        return None

    def _shown(
        self, packets: Iterator[av.Packet], clock: CountedClock | StampClock
    ) -> Iterator[_Shown]:
        """Decode all packets and yield their frames; the last item marks the end."""
        self.file.codec.skip_frame = "DEFAULT"
        hole, end_sec = False, 0.0
        for frame in self._decoded(packets):
            if frame is None:
                hole = True
                continue
            second = clock.second(frame)
            if second is None:
                continue
            if self._origin is None and isinstance(clock, StampClock):
                self._origin = clock.origin
            end_sec = second + (frame.duration or 0) * self.file.tick_sec
            yield _Shown(second, frame, hole)
            hole = False
        promised_sec = self.file.promised_sec
        cut_off = promised_sec is not None and end_sec + _HOLE_SEC < promised_sec
        yield _Shown(math.inf, None, hole or cut_off)

    def _decoded(self, packets: Iterator[av.Packet]) -> Iterator[av.VideoFrame | None]:
        """Yield the decoded frames in display order, and None wherever decoding failed."""
        for number, packet in enumerate(packets):
            yield from self.file.decode(packet, number)
        if self.file.read_failed:
            yield None
        yield from self.file.decode(None)


def tells_references(codec: av.VideoCodecContext) -> bool:
    """Return whether a codec's frame headers indicate if other frames depend on a frame."""
    if codec.name != "hevc":
        return codec.name in _TELLS_REFERENCES
    # HEVC's do if there is only one temporal layer; the configuration record gives the number.
    record = codec.extradata or b""
    return len(record) > 22 and record[0] == 1 and (record[21] >> 3 & 7) == 1
