"""Read the header and the packets of a video file, and determine the file's true length."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from autox_video.core.durations import duration
from autox_video.core.errors import VideoError
from autox_video.video.container.orientation import is_absurd, pixel_aspect
from autox_video.video.container.packet_count import Counted, CountedFiles, Reading, count_packets
from autox_video.video.container.packet_index import PacketIndex
from autox_video.video.container.stream_choice import choose_stream
from autox_video.video.container.timeline import FEW_REORDERED, JUMP_SEC, MOST_REORDERED
from autox_video.video.container.truncation import is_cut_off, say_cut_off
from autox_video.video.files.file_kinds import why_no_video
from autox_video.video.files.video_file import USUAL_FPS, plausible_fps, why_not_open

THREADS_PER_VIDEO = 1
"""Decoding threads per open clip; more threads would compete with the other data workers."""

COUNT_UP_TO_BYTES = 16 << 20
"""Files up to this size are read completely when opened, because the header gives a wrong length if
the file is cut off or its audio is longer. Reading is ten times as fast as decoding."""

# In other containers, such as MPEG-TS and MPEG-PS, seeks land late or give frames wrong times, and
# a packet may contain half a frame.
_SEEKABLE_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"})

# These containers store decoding times (DTS); for others, FFmpeg derives them from the PTS.
_STORE_DECODING = frozenset({"mpegts", "flv"})

# Codecs without reordering: frames are shown in decoding order, whatever FFmpeg reports.
_IN_ORDER = frozenset(
    (
        *("vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "mjpeg", "png", "gif", "apng"),
        *("ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "prores", "dnxhd", "dvvideo"),
    )
)

_FEWEST_PLACES, _LOOK_AT_PLACES = 3, 64  # index entries of a large file to check
# Long clips with few bytes per second are counted: it is cheap, and their length may be wrong.
_LONG_SEC, _FEW_BYTES_PER_SEC = 600.0, 12_500

# Text formats that make FFmpeg open other files or render text as an image.
_TEXT_FORMATS = frozenset({"concat", "dash", "hls", "tty"})

_PYAV = int(av.__version__.split(".")[0])
# By default, PyAV before release 19 refuses a file whose metadata is not UTF-8.
ANY_METADATA = {"metadata_errors": "replace"} if _PYAV < 19 else {}


_CLOCKS_AGREE_SEC = 1e-4  # tolerance, because start times of streams and files are rounded
_LATEST_START_SEC = 3600.0  # if the video starts later, its clock differs from the audio's

_REMEMBERED = CountedFiles()  # cached because workers open each clip in every epoch
_CHOSEN: dict[tuple, tuple[int, str | None]] = {}  # the chosen stream of files with several streams


class PacketNumber(int):
    """A packet's number in decoding order, which the decoder passes on to the packet's frame.

    A plain int does not work: PyAV compares objects by identity, and equal ints may be identical.
    """


class MediaFile:
    """An open video file, with its video stream and its current read position.

    Attributes:
        path: path to the file.
        codec: PyAV's decoder; it delays frames only if it has several threads.
        threads: number of decoding threads.
        width, height: frame size in pixels before rotation, corrected for the pixel aspect ratio.
        odd: clauses that describe anything unusual in the streams and frames.
        seconds, fps, num_frames: exact; for a large file, estimates until `count` is called.
        counted: the result of `count`; None until `count` is called.
        nominal_fps: frame rate according to the header.
        promised_sec: length according to the header; None once `count` has been called.
        tick_sec: seconds per tick, the unit of the timestamps.
        is_small: whether the file is small enough to keep all its packets in memory.
        is_seekable: whether seeking in the file is reliable.
        read_failed: whether reading ended with an error.
        has_decoded: whether the decoder has received any packets.
        has_only_dts: whether the timestamps give only the decoding order.

    Raises:
        VideoError: the file is unreadable or not a video, or its length or frame size is unknown.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counted: Counted | None = None
        self.odd: tuple[str, ...] = ()
        self.threads = THREADS_PER_VIDEO
        self._stream_index: int | None = None
        self._open()
        try:
            self._read_header()
        except VideoError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and the decoder; may be called more than once."""
        self._kept = []
        self._unread = None  # breaks a reference cycle that keeps the decoder alive
        self.container.close()

    def error(self, reason: str) -> VideoError:
        """Return a VideoError with the path to this file and a reason."""
        return VideoError(f"{self.path}: {reason}.")

    # ---- opening ----

    def renew(self) -> None:
        """Reset the decoder, and return to the start of a large file."""
        if self.has_decoded or not (self.is_small or self._is_unread):
            self.close()
            self._open()

    def use_threads(self, threads: int) -> None:
        """Decode with this number of threads."""
        if threads != self.threads:
            self.threads = threads
            self.close()
            self._open()

    def _open(self) -> None:
        container = self._open_container()
        if self._stream_index is None:
            container = self._choose_stream(container)
        self.container: Any = container
        self._kept: list[av.Packet] = []
        self._unread: Iterator[av.Packet] | None = None
        self._is_unread, self.read_failed, self.has_decoded = True, False, False
        self.stream = container.streams[self._stream_index]
        self.codec: Any = self.stream.codec_context
        if self.codec is None:
            container.close()
            reason = "FFmpeg has no decoder for its codec"
            raise self.error(why_no_video(self.path) or reason)
        self.codec.thread_type = "SLICE" if self.threads == 1 else "FRAME"
        self.codec.thread_count = self.threads
        self.codec.flags |= av.codec.context.Flags.copy_opaque  # frames carry their packet's number

    def _open_container(self) -> Any:
        # An absolute path is never mistaken for a URL; files that refer to others get no network.
        name = str(self.path.absolute())
        options = {"protocol_whitelist": "file"}
        try:
            container = av.open(name, container_options=options, **ANY_METADATA)
        except av.error.FFmpegError as error:
            raise self.error(why_not_open(self.path, error)) from error
        if container.format.name in _TEXT_FORMATS:
            container.close()
            raise self.error(why_no_video(self.path) or "this is text, not a video")
        return container

    def _choose_stream(self, container: Any) -> Any:
        """Choose a video stream and return a container positioned at the file's start."""
        key = self._file_state() if len(container.streams.video) > 1 else None
        if key not in _CHOSEN:
            stream, doubt = choose_stream(container)
            if stream is None:
                container.close()
                reason = "it has no video stream (audio only?)"
                raise self.error(why_no_video(self.path) or reason)
            self._stream_index = stream.index
            if key is None:
                return container
            _CHOSEN[key] = stream.index, doubt
            container.close()
            container = self._open_container()
        self._stream_index, doubt = _CHOSEN[key]
        self.odd += (doubt,) if doubt else ()
        return container

    def _read_header(self) -> None:
        stream, container = self.stream, self.container
        if self.codec.width < 1 or self.codec.height < 1:
            reason = "its header gives no frame size; it is damaged or cut off"
            raise self.error(why_no_video(self.path) or reason)
        ratio = stream.sample_aspect_ratio
        self.width = max(1, round(self.codec.width * pixel_aspect(ratio)))
        self.height = self.codec.height
        if is_absurd(ratio):
            self.odd += (f"its implausible pixel aspect ratio of {float(ratio):.3g} is ignored",)
        # AVI stores only the decoding order, so FFmpeg derives wrong times if there are B-frames.
        self.has_only_dts = container.format.name == "avi" and bool(self.codec.has_b_frames)
        self.is_seekable = container.format.name in _SEEKABLE_FORMATS and not self.has_only_dts
        self.is_small = container.size <= COUNT_UP_TO_BYTES
        self.tick_sec = float(stream.time_base or Fraction(1, 90000))
        self.nominal_fps = self.fps = plausible_fps(
            stream.average_rate, stream.guessed_rate, stream.base_rate
        )
        self.promised_sec = stream.duration * self.tick_sec if stream.duration else None
        self._estimate_length()
        if self.num_frames == 1 and (what := why_no_video(self.path)):
            raise self.error(what)  # FFmpeg reads images, too

    def _estimate_length(self) -> None:
        """Take the length from the header, or count packets if that is quick or more accurate."""
        seconds = self.promised_sec
        if seconds is None and self.container.duration:
            seconds = self.container.duration / av.time_base
        if seconds is None and self.stream.frames:
            seconds = self.stream.frames / self.fps
        is_quick = self.is_small or not self.is_seekable  # if not seekable, read from start
        if seconds is None or seconds <= 0 or is_quick or self._may_be_wrong(seconds):
            self.count()
            return
        self.seconds = float(seconds)
        self.num_frames = self.stream.frames or max(1, round(seconds * self.fps))

    def _may_be_wrong(self, seconds: float) -> bool:
        """Return whether a large file seems to be cut off or to have wrong timestamps."""
        average = self.stream.average_rate
        is_odd = bool(average) and not USUAL_FPS[0] <= average <= USUAL_FPS[1]
        if is_odd or is_cut_off(self.path, self.container, self.stream):
            return True
        if self.container.format.name == "matroska,webm":
            self.container.seek(0)  # FFmpeg reads its index on the first seek
        entries = self.stream.index_entries
        count = min(len(entries), _LOOK_AT_PLACES)
        has_few_bytes = self.container.size < seconds * _FEW_BYTES_PER_SEC
        is_long = seconds > _LONG_SEC and has_few_bytes
        if count < _FEWEST_PLACES or (count < _LOOK_AT_PLACES and is_long):
            return is_long
        places = np.linspace(0, len(entries) - 1, count).astype(int).tolist()
        moments = np.array([entries[place].timestamp for place in places]) * self.tick_sec
        gaps = np.append(np.diff(moments), seconds - (moments[-1] - moments[0]))
        return bool((gaps - np.median(gaps) > JUMP_SEC).any())

    @property
    def start_sec(self) -> float:
        """Presentation time of the first frame, in seconds.

        Time 0 is the start of the video or the audio, whichever comes first.
        """
        return self._start_said if self._start_said <= _LATEST_START_SEC else 0.0

    @property
    def start_odd(self) -> tuple[str, ...]:
        """A clause that reports an implausibly late start of the video; empty if there is none."""
        if self._start_said <= _LATEST_START_SEC:
            return ()
        late = duration(self._start_said)
        return (f"its video starts {late} after its audio; times count from the first frame",)

    @property
    def _start_said(self) -> float:
        first = self.counted.first_stamp if self.counted is not None else self.stream.start_time
        if first is None or self.container.start_time is None:
            return 0.0
        second = first * self.tick_sec - self.container.start_time / av.time_base
        return second if second > _CLOCKS_AGREE_SEC else 0.0

    # ---- packets ----

    def packet(self, number: int) -> av.Packet | None:
        """Return the packet with this number in a small file; None if there is no such packet."""
        if self._unread is None:
            self._unread = self.read()
        while len(self._kept) <= number:
            packet = next(self._unread, None)
            if packet is None:
                return None
            self._kept.append(packet)
        return self._kept[number]

    def packets(self) -> Iterator[av.Packet]:
        """Yield all video packets that can be read from the file."""
        if not self.is_small:
            self.renew()
            yield from self.read()
            return
        number = 0
        while (packet := self.packet(number)) is not None:
            yield packet
            number += 1

    def _most_reordered(self) -> int:
        if self.codec.name in _IN_ORDER:
            return 0
        return MOST_REORDERED if self.codec.has_b_frames else FEW_REORDERED

    def _clear_packets(self) -> Iterator[av.Packet]:
        """Yield the same packets as `packets`, but raise VideoError if they are encrypted."""
        for packet in self.packets():
            if packet.is_keyframe and packet.has_sidedata("encryption_info"):
                raise self.error("it is encrypted (DRM) and cannot be decoded")
            yield packet

    def read(self) -> Iterator[av.Packet]:
        """Yield the video packets that follow the current position."""
        self._is_unread, self.read_failed = False, False
        try:
            for packet in self.container.demux(self.stream):
                if packet.size > 0:
                    yield packet
        except av.error.FFmpegError:
            self.read_failed = True
        except IndexError:
            pass  # raised by PyAV 18 at the end if there are streams that the header does not list

    def decode(
        self, packet: av.Packet | None, number: int | None = None
    ) -> list[av.VideoFrame | None]:
        """Decode a packet, or flush the decoder if given None, and return the available frames.

        The result is [None] if the packet cannot be decoded. Each frame's attribute `opaque` is the
        `number` of its packet.
        """
        self.has_decoded = True
        if number is not None:
            packet.opaque = PacketNumber(number)
        try:
            return self.codec.decode(packet)
        except av.error.FFmpegError:
            return [None]

    def forget(self) -> None:
        """Flush the decoder, so that decoding can restart at any key frame."""
        if self.has_decoded:
            self.codec.flush_buffers()

    # ---- counting ----

    def count(self) -> Counted:
        """Read all packets without decoding them, unless this process has already read them.

        `seconds`, `fps` and `num_frames` are exact afterwards.

        Raises:
            VideoError: the file contains no frames, or has disappeared.
        """
        if self.counted is None:
            key = self._file_state()
            self.counted = _REMEMBERED.get(key)
            if self.counted is None:
                self.counted = self._count()
                if not self.read_failed:  # else the next attempt may read more
                    _REMEMBERED.keep(key, self.counted)
            self.num_frames, self.seconds = self.counted.num_frames, self.counted.seconds
            self.fps = self.num_frames / self.seconds
            self.promised_sec = None
            self.odd += say_cut_off(self.container, self.stream, self.counted)
        return self.counted

    @property
    def index(self) -> PacketIndex | None:
        """Index of all packets; None if they have not been counted or have inexact timestamps."""
        return self.counted.index if self.counted else None

    def _file_state(self) -> tuple[str, int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise self.error(f"it disappeared while it was open ({error.strerror})") from error
        return str(self.path.absolute()), status.st_mtime_ns, status.st_size

    def _count(self) -> Counted:
        how = Reading(
            tick_sec=self.tick_sec,
            nominal_fps=self.nominal_fps,
            has_only_dts=self.has_only_dts,
            stores_decoding=self.container.format.name in _STORE_DECODING,
            most_reordered=self._most_reordered(),
            is_lossy=self.codec.codec.lossy,
            may_be_packed=self.codec.name == "mpeg4",
            has_index=self.is_seekable,
        )
        counted = count_packets(self._clear_packets(), how)
        if counted is None:
            reason = "it has no frame to show: it is damaged, cut off or hidden by its edit list"
            raise self.error(why_no_video(self.path) or reason)
        return counted
