"""One interface over the decoders: how long a clip is, and its frames at given times.

Shape legend: T frames, H height and W width in pixels, 3 colours red, green, blue.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from autox_video.dataset.video_file import (
    MAX_FPS,
    MIN_FPS,
    believed_fps,
    why_not_a_file,
    why_not_open,
)
from autox_video.errors import VideoError

THREADS_PER_VIDEO = 1
"""Decoding threads of one open clip: the data workers are the parallelism, more would fight."""

COUNT_UP_TO_BYTES = 16 << 20
"""Files up to this size are counted when they are opened: a tenth of the time that decoding takes,
and headers are wrong about files that are cut off, or whose sound is longer than the pictures."""

_COUNTED: dict[tuple, dict[str, Any]] = {}
"""What counting found out, by path, time of change and size: workers open a clip each epoch."""
_COUNTED_AT_MOST = 100_000
_BY_COUNTING = ("num_frames", "seconds", "fps", "_promised_sec", "_last_key_sec", "_blank_end")

_TIME_TOLERANCE_SEC = 1e-6  # i / fps in floating point may fall just short of frame i's own time
_HOLE_SEC = 1.0  # how long the last good frame may stand in for frames that cannot be decoded
_SEEK_FROM_SEC = 1.0  # below this, decoding on from the start is as fast as a seek
_SEEK_BACK_SEC = (0.0, 2.0)  # a seek may land behind its target: then try this much earlier

# Seeks in other containers (MPEG-TS and -PS for two) land late or give the frames wrong times.
_SEEKABLE_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"})

# Text that FFmpeg would follow to other files, or paint as a picture of letters.
_TEXT_FORMATS = frozenset({"concat", "dash", "hls", "tty"})

_PYAV = int(av.__version__.split(".")[0])
# PyAV converts colours with one thread per core from release 17 on, unless told otherwise.
_ONE_THREAD = {"threads": 1} if _PYAV >= 17 else {}
# Before release 19, PyAV refuses a file whose titles are not UTF-8, unless told otherwise.
_ANY_METADATA = {"metadata_errors": "replace"} if _PYAV < 19 else {}


class _Shown(NamedTuple):
    """A frame and when it comes on screen; the end of the clip has no frame and is at infinity."""

    second: float
    frame: av.VideoFrame | None
    after_hole: bool


class Video:
    """An open clip; a context manager.

    Attributes:
        path: where the clip is.
        seconds: length, > 0; counted, or what the header of a large file says until `examine`.
        fps: average frames per second, > 0; counted, or the header's, likewise.
        num_frames: number of frames, >= 1; counted, or an estimate, likewise.
        width, height: size in pixels.
        codec: FFmpeg's name of the coding, such as `h264`.

    Raises:
        VideoError: the file is missing, unreadable, not a video, or has no length or size.
    """

    path: Path
    seconds: float
    fps: float
    num_frames: int
    width: int
    height: int
    codec: str

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._origin: float | None = None  # ticks of the first frame, once it was decoded
        self._last_key_sec: float | None = None  # time of the last key frame, once counted
        self._reformatter = VideoReformatter()
        reason = why_not_a_file(self.path)
        if reason is not None:
            raise self._error(reason)
        self._open()
        try:
            self._read_header()
        except VideoError:
            self.close()
            raise

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the file and the decoder; closing twice does no harm."""
        self._container.close()

    def frames_at(self, times_sec: np.ndarray, short_side: int | None = None) -> np.ndarray:
        """Give the frames that are on screen at the given times, exactly.

        Time 0 is the start of the first frame. A frame is on screen from its own time until the
        next one's; times before the first frame give the first, times after the last the last.

        Args:
            times_sec: (T,) seconds, finite, in any order, repetitions allowed.

        Returns:
            (T, H, W, 3) uint8.

        Raises:
            VideoError: the frame of some time cannot be decoded, nor any up to a second before.
        """
        times = np.asarray(times_sec, dtype=np.float64)
        if times.ndim != 1 or not np.isfinite(times).all():
            raise ValueError(f"times_sec must be finite and of one dimension, not {times_sec!r}")
        order = np.argsort(times, kind="stable")
        wanted = np.maximum(times[order], 0.0) + _TIME_TOLERANCE_SEC
        frames = np.empty((len(times), self.height, self.width, 3), dtype=np.uint8)
        for first, end, frame in self._frames_for(wanted):
            frames[order[first:end]] = self._rgb(frame)
        return frames

    def examine(self) -> None:
        """Find the true length and decode two frames, so that a torn file is found out.

        Reads the whole file but decodes only the first frame and, where seeking is cheap, the last
        key frame. `num_frames`, `seconds` and `fps` are counted ones from then on.

        Raises:
            VideoError: the file holds no frame, or one of the two cannot be decoded.
        """
        if self._last_key_sec is None:
            self._count()
        if self._blank_end:
            raise self._error("its end holds only zeros, as if its copying had been interrupted")
        self.frames_at(np.zeros(1))
        if self._seekable and self._last_key_sec > 0:
            self.frames_at(np.array([self._last_key_sec]))

    def _error(self, reason: str) -> VideoError:
        return VideoError(f"{self.path}: {reason}.")

    # ---- opening ----

    def _open(self) -> None:
        # An absolute path is never taken for a URL; files that name other files get no network.
        name = str(self.path.absolute())
        options = {"protocol_whitelist": "file"}
        try:
            container = av.open(name, container_options=options, **_ANY_METADATA)
        except av.error.FFmpegError as error:
            raise self._error(why_not_open(error)) from error
        self._container: Any = container
        self._fresh = True
        if container.format.name in _TEXT_FORMATS:
            container.close()
            raise self._error("this is text, not a video")
        self._stream = self._video_stream()
        self._stream.codec_context.thread_type = "SLICE"
        self._stream.codec_context.thread_count = THREADS_PER_VIDEO

    def _video_stream(self) -> Any:
        """Give the first stream of moving pictures; an audio file's cover does not count."""
        for stream in self._container.streams.video:
            if not stream.disposition & av.stream.Disposition.attached_pic:
                break
        else:
            self._container.close()
            raise self._error("there are no pictures in it (sound only?)")
        if stream.codec_context is None:
            self._container.close()
            raise self._error("this FFmpeg has no decoder for its coding")
        return stream

    def _read_header(self) -> None:
        stream, codec = self._stream, self._stream.codec_context
        self.width, self.height, self.codec = codec.width, codec.height, codec.name
        if self.width < 1 or self.height < 1:
            raise self._error("its header gives no picture size, it is damaged or cut off")
        is_avi = self._container.format.name == "avi"
        # AVI stores the order of decoding only, from which FFmpeg guesses wrongly with B-frames.
        self._order_is_the_time = is_avi and bool(codec.has_b_frames)
        self._seekable = (
            self._container.format.name in _SEEKABLE_FORMATS and not self._order_is_the_time
        )
        self._tick_sec = float(stream.time_base or Fraction(1, 90000))
        self._nominal_fps = self.fps = believed_fps(
            stream.average_rate, stream.guessed_rate, stream.base_rate
        )
        self._promised_sec = stream.duration * self._tick_sec if stream.duration else None
        self._estimate_length()

    def _estimate_length(self) -> None:
        """Set `seconds` and `num_frames` by counting where that is quick, else from the header."""
        seconds = self._promised_sec
        if seconds is None and self._container.duration:
            seconds = self._container.duration / av.time_base
        if seconds is None and self._stream.frames:
            seconds = self._stream.frames / self.fps
        if seconds is None or seconds <= 0 or self._container.size <= COUNT_UP_TO_BYTES:
            self._count_once()
            return
        self.seconds = float(seconds)
        self.num_frames = self._stream.frames or max(1, round(seconds * self.fps))

    # ---- counting ----

    def _count_once(self) -> None:
        """Count, unless this process has counted the same file before."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise self._error(f"it went away while it was opened ({error.strerror})") from error
        key = (str(self.path.absolute()), status.st_mtime_ns, status.st_size)
        if key not in _COUNTED:
            self._count()
            if len(_COUNTED) == _COUNTED_AT_MOST:
                _COUNTED.pop(next(iter(_COUNTED)))
            _COUNTED[key] = {name: getattr(self, name) for name in _BY_COUNTING}
        vars(self).update(_COUNTED[key])

    def _count(self) -> None:
        """Count all packets, decoding none: sets the length and the time of the last key frame."""
        stamps, ends, last_key = [], [], -math.inf
        for packet in self._whole_packets():
            stamp = packet.dts if self._order_is_the_time else packet.pts
            if stamp is None:
                stamp = len(stamps) / self._nominal_fps / self._tick_sec
            stamps.append(stamp)
            ends.append(stamp + (packet.duration or 1 / self._nominal_fps / self._tick_sec))
            if packet.is_keyframe:
                last_key = stamp
            last = packet
        if not stamps:
            raise self._error("it holds no frame, it is damaged or cut off")
        first = min(stamps)
        self._set_length(len(stamps), (max(ends) - first) * self._tick_sec)
        self._last_key_sec = max(last_key - first, 0) * self._tick_sec
        # Of what is compressed only: raw pictures may well end in black.
        self._blank_end = self._stream.codec_context.codec.lossy and not any(bytes(last))

    def _set_length(self, num_frames: int, seconds: float) -> None:
        self.num_frames = num_frames
        self.seconds = seconds
        self._promised_sec = None
        if not (seconds > 0 and MIN_FPS <= num_frames / seconds <= MAX_FPS):
            self.seconds = num_frames / self._nominal_fps
        self.fps = num_frames / self.seconds

    def _whole_packets(self) -> Iterator[av.Packet]:
        """Give each packet of the pictures, up to where the file can be read."""
        self._rewind()
        try:
            for packet in self._container.demux(self._stream):
                if packet.size > 0 and not packet.is_corrupt and not packet.is_discard:
                    yield packet
        except av.error.FFmpegError:
            return

    # ---- decoding ----

    def _frames_for(self, wanted: np.ndarray) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Give (first, end, frame): the frame on screen at the times wanted[first:end], sorted."""
        before, first = None, 0
        if len(wanted) == 0:
            return
        for shown in self._shown_from(wanted[0]):
            end = int(np.searchsorted(wanted, shown.second))
            if before is None and shown.frame is None:
                raise self._error("no frame of it can be decoded")
            if end > first:
                if shown.after_hole and wanted[end - 1] > before.second + _HOLE_SEC:
                    raise self._error(
                        f"it is damaged or cut off, nothing can be decoded from "
                        f"{before.second:.1f} s to {wanted[end - 1]:.1f} s"
                    )
                yield first, end, before.frame
                first = end
            if first == len(wanted):
                return
            before = shown

    def _shown_from(self, second: float) -> Iterator[_Shown]:
        """Give the frames in order of display, starting with one on screen by `second`."""
        shown = None
        if self._origin is None:
            shown = self._shown_from_start()
            shown = chain([next(shown)], shown)  # the first frame sets the origin
        if self._seekable and self._origin is not None and second >= _SEEK_FROM_SEC:
            for back_sec in _SEEK_BACK_SEC:
                landed = self._shown_from_key_frame(second, back_sec)
                if landed is not None:
                    return landed
            shown = None
        return self._shown_from_start() if shown is None else shown

    def _shown_from_start(self) -> Iterator[_Shown]:
        self._rewind()
        return self._shown()

    def _rewind(self) -> None:
        """Go to the first packet; opening anew is the one way that every container knows."""
        if not self._fresh:
            self.close()
            self._open()
        self._fresh = False

    def _shown_from_key_frame(self, second: float, back_sec: float) -> Iterator[_Shown] | None:
        """Seek to a key frame by `second` - `back_sec`; None where that does not lead there.

        Frames ahead of the key frame are left out: they may lean on frames that were jumped over.
        """
        target = self._origin + max(second - back_sec, 0.0) / self._tick_sec
        try:
            self._container.seek(int(target), stream=self._stream)
        except av.error.FFmpegError:
            return None
        shown = self._shown()
        for one in shown:
            if one.second > second or one.after_hole:
                return None
            if one.frame.key_frame:
                return chain([one], shown)
        return None

    def _shown(self) -> Iterator[_Shown]:
        """Give the frames from where the file stands, and at last the end."""
        stamp, hole, end_sec = None, False, 0.0
        for frame in self._decoded():
            if frame is None:
                hole = True
                continue
            stamp = self._stamp(frame, stamp)
            if self._origin is None:
                self._origin = stamp
            second = (stamp - self._origin) * self._tick_sec
            end_sec = second + (frame.duration or 0) * self._tick_sec
            yield _Shown(second, frame, hole)
            hole = False
        cut_off = self._promised_sec is not None and end_sec + _HOLE_SEC < self._promised_sec
        yield _Shown(math.inf, None, hole or cut_off)

    def _stamp(self, frame: av.VideoFrame, last: float | None) -> float:
        """Give the time of a frame in ticks; frames without a sound one follow on the `last`."""
        stamp = frame.dts if self._order_is_the_time else frame.pts
        if stamp is not None and (last is None or stamp >= last):
            return stamp
        if last is None:
            self._seekable = False
            return 0.0
        return last + 1 / self._nominal_fps / self._tick_sec

    def _decoded(self) -> Iterator[av.VideoFrame | None]:
        """Give the decoded frames in order of display; None where something could not be."""
        try:
            for packet in self._container.demux(self._stream):
                yield from _decode(packet)
        except av.error.FFmpegError:
            yield None

    def _rgb(self, frame: av.VideoFrame) -> np.ndarray:
        # The reformatter keeps its tables between frames; `to_ndarray(format=...)` would not.
        size = {"width": self.width, "height": self.height}
        try:
            rgb = self._reformatter.reformat(frame, **size, format="rgb24", **_ONE_THREAD)
        except av.error.FFmpegError as error:
            raise self._error(f"pixels of the kind {frame.format.name} are not known") from error
        return rgb.to_ndarray()


def _decode(packet: av.Packet) -> list[av.VideoFrame | None]:
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return [None]
