"""A video file's packets: its header, its true length, and which frames are where in it."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from autox_video.dataset.counting import Counted, CountedFiles, count_packets
from autox_video.dataset.packet_index import PacketIndex
from autox_video.dataset.video_file import believed_fps, why_not_open
from autox_video.errors import VideoError

THREADS_PER_VIDEO = 1
"""Decoding threads of one open clip: the data workers are the parallelism, more would fight."""

COUNT_UP_TO_BYTES = 16 << 20
"""Files up to this size are read whole when they are opened: a tenth of the time that decoding
takes, and headers are wrong about files that are cut off, or whose sound is longer."""

# Seeks in other containers (MPEG-TS and -PS for two) land late or give the frames wrong times, and
# their packets may hold half a frame.
_SEEKABLE_FORMATS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"})

# Text that FFmpeg would follow to other files, or paint as a picture of letters.
_TEXT_FORMATS = frozenset({"concat", "dash", "hls", "tty"})

_PYAV = int(av.__version__.split(".")[0])
# Before release 19, PyAV refuses a file whose titles are not UTF-8, unless told otherwise.
_ANY_METADATA = {"metadata_errors": "replace"} if _PYAV < 19 else {}


_REMEMBERED = CountedFiles()  # workers open a clip each epoch


class MediaFile:
    """An open file with a stream of pictures, and where reading it stands.

    Attributes:
        path: where it is.
        codec: PyAV's decoder, one thread, immediate.
        width, height: pixels of the coded frames, before they are turned.
        seconds, fps, num_frames: counted, or of a large file what its header says until `count`.
        counted: what `count` found out, None before.
        nominal_fps: frames per second by the header.
        promised_sec: length by the header, None once it is counted.
        tick_sec: seconds of a tick, the unit of the stamps.
        is_small: whether it is read whole and its packets are kept.
        is_seekable: whether jumps in the file lead where they should.
        is_torn: whether reading ended by an error.
        has_decoded: whether the decoder was given anything.
        order_is_the_time: whether stamps only tell the order of decoding.

    Raises:
        VideoError: the file is unreadable, not a video, or has no length or size.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counted: Counted | None = None
        self._open()
        try:
            self._read_header()
        except VideoError:
            self.close()
            raise

    def close(self) -> None:
        """Free the file and the decoder; closing twice does no harm."""
        self._kept = []
        self._unread = None  # it holds this object, which holds the decoder's memory
        self.container.close()

    def error(self, reason: str) -> VideoError:
        """Make the error that says what is wrong with this file."""
        return VideoError(f"{self.path}: {reason}.")

    # ---- opening ----

    def renew(self) -> None:
        """Take a decoder that has decoded nothing; large files are read from their start again."""
        if self.has_decoded or not (self.is_small or self._is_unread):
            self.close()
            self._open()

    def _open(self) -> None:
        # An absolute path is never taken for a URL; files that name other files get no network.
        name = str(self.path.absolute())
        options = {"protocol_whitelist": "file"}
        try:
            container = av.open(name, container_options=options, **_ANY_METADATA)
        except av.error.FFmpegError as error:
            raise self.error(why_not_open(error)) from error
        self.container: Any = container
        self._kept: list[av.Packet] = []
        self._unread: Iterator[av.Packet] | None = None
        self._is_unread, self.is_torn, self.has_decoded = True, False, False
        if container.format.name in _TEXT_FORMATS:
            container.close()
            raise self.error("this is text, not a video")
        self.stream = self._video_stream()
        self.codec: Any = self.stream.codec_context
        self.codec.thread_type = "SLICE"
        self.codec.thread_count = THREADS_PER_VIDEO

    def _video_stream(self) -> Any:
        """Give the first stream of moving pictures; an audio file's cover does not count."""
        for stream in self.container.streams.video:
            if not stream.disposition & av.stream.Disposition.attached_pic:
                break
        else:
            self.container.close()
            raise self.error("there are no pictures in it (sound only?)")
        if stream.codec_context is None:
            self.container.close()
            raise self.error("this FFmpeg has no decoder for its coding")
        return stream

    def _read_header(self) -> None:
        stream, container = self.stream, self.container
        self.width, self.height = self.codec.width, self.codec.height
        if self.width < 1 or self.height < 1:
            raise self.error("its header gives no picture size, it is damaged or cut off")
        # AVI stores the order of decoding only, from which FFmpeg guesses wrongly with B-frames.
        self.order_is_the_time = container.format.name == "avi" and bool(self.codec.has_b_frames)
        self.is_seekable = container.format.name in _SEEKABLE_FORMATS and not self.order_is_the_time
        self.is_small = container.size <= COUNT_UP_TO_BYTES
        self.tick_sec = float(stream.time_base or Fraction(1, 90000))
        self.nominal_fps = self.fps = believed_fps(
            stream.average_rate, stream.guessed_rate, stream.base_rate
        )
        self.promised_sec = stream.duration * self.tick_sec if stream.duration else None
        self._estimate_length()

    def _estimate_length(self) -> None:
        """Set `seconds` and `num_frames` by counting where that is quick, else from the header."""
        seconds = self.promised_sec
        if seconds is None and self.container.duration:
            seconds = self.container.duration / av.time_base
        if seconds is None and self.stream.frames:
            seconds = self.stream.frames / self.fps
        if seconds is None or seconds <= 0 or self.is_small:
            self.count()
            return
        self.seconds = float(seconds)
        self.num_frames = self.stream.frames or max(1, round(seconds * self.fps))

    # ---- packets ----

    def packet(self, number: int) -> av.Packet | None:
        """Give a packet of a small file by its number, None where there is no such one."""
        if self._unread is None:
            self._unread = self.read()
        while len(self._kept) <= number:
            packet = next(self._unread, None)
            if packet is None:
                return None
            self._kept.append(packet)
        return self._kept[number]

    def packets(self) -> Iterator[av.Packet]:
        """Give each packet of the pictures from the first on, up to where the file can be read."""
        if not self.is_small:
            self.renew()
            yield from self.read()
            return
        number = 0
        while (packet := self.packet(number)) is not None:
            yield packet
            number += 1

    def read(self) -> Iterator[av.Packet]:
        """Give each packet of the pictures from where the file stands."""
        self._is_unread, self.is_torn = False, False
        try:
            for packet in self.container.demux(self.stream):
                if packet.size > 0:
                    yield packet
        except av.error.FFmpegError:
            self.is_torn = True
        except IndexError:
            pass  # at the end, where streams came up that the header does not tell of (PyAV 18)

    def packets_between(self, first: float, last: float, back: float) -> list[av.Packet]:
        """Give the packets from the last key frame by `first` to the end of what is by `last`.

        Args:
            first, last: ticks.
            back: ticks; the key frame is sought so much earlier.

        Returns:
            Nothing where seeking does not lead there or stamps are missing.
        """
        try:
            self.container.seek(int(first - back), stream=self.stream)
        except av.error.FFmpegError:
            return []
        packets: list[av.Packet] = []
        for packet in self.read():
            if packet.pts is None:
                return []
            if packet.is_keyframe and packet.pts <= first:
                packets.clear()
            packets.append(packet)
            # Whatever follows is decoded later than this, and shown later than it is decoded.
            if packet.dts is not None and packet.dts > last:
                break
        if not packets or not packets[0].is_keyframe or packets[0].pts > first:
            return []
        return packets

    def decode(self, packet: av.Packet | None) -> list[av.VideoFrame | None]:
        """Give the frames that come out with a packet, all that are left without one.

        What cannot be decoded gives a None.
        """
        self.has_decoded = True
        try:
            return self.codec.decode(packet)
        except av.error.FFmpegError:
            return [None]

    def forget(self) -> None:
        """Make the decoder ready to start at any key frame."""
        if self.has_decoded:
            self.codec.flush_buffers()

    # ---- counting ----

    def count(self) -> Counted:
        """Read all packets, decoding none, unless this process knows the file already.

        `seconds`, `fps` and `num_frames` are exact from then on.

        Raises:
            VideoError: the file holds no frame, or went away.
        """
        if self.counted is None:
            key = self._file_state()
            self.counted = _REMEMBERED.get(key)
            if self.counted is None:
                self.counted = self._count()
                _REMEMBERED.keep(key, self.counted)
            self.num_frames, self.seconds = self.counted.num_frames, self.counted.seconds
            self.fps = self.num_frames / self.seconds
            self.promised_sec = None
        return self.counted

    @property
    def index(self) -> PacketIndex | None:
        """All packets, where they are counted and their stamps are exact."""
        return self.counted.index if self.counted else None

    def _file_state(self) -> tuple[str, int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise self.error(f"it went away while it was opened ({error.strerror})") from error
        return str(self.path.absolute()), status.st_mtime_ns, status.st_size

    def _count(self) -> Counted:
        counted = count_packets(
            self.packets(),
            tick_sec=self.tick_sec,
            nominal_fps=self.nominal_fps,
            order_is_the_time=self.order_is_the_time,
            is_lossy=self.codec.codec.lossy,
            may_be_packed=self.codec.name == "mpeg4",
            has_index=self.is_seekable,
        )
        if counted is None:
            raise self.error("it holds no frame, it is damaged or cut off")
        return counted
