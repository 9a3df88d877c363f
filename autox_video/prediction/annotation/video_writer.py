"""Write frames with their times as a video file, with the sound of another file."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from autox_video.core.console import complain
from autox_video.video.video import Video

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's name of the container for each suffix."""
TICK_SEC = Fraction(1, 60000)
"""Unit of the timestamps; frames of 24, 25, 30, 50, 60 and 29.97 per second last whole numbers."""
_ENCODERS = {
    "libx264": {"preset": "veryfast", "crf": "20", "bf": "0"},
    "mpeg4": {"flags": "+qscale", "global_quality": str(3 * 118)},
}
"""Encoders and their options, the preferred one first; quality 3 is high (1 is the highest).

Without B-frames, the times in an MP4 file say how long each frame is shown.
"""
_COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
"""Codecs of sound that is copied."""
_SAME_SEC = 0.1
_BT601 = 6  # the matrix by which RGB is converted


class SoundCopy:
    """The packets of the first audio stream of a file, to be copied.

    Args:
        path: path to the file.
    """

    def __init__(self, path: Path) -> None:
        self._container: Any = av.open(str(path.absolute()))
        self._stream = self._container.streams.audio[0]
        start = self._container.start_time
        self._start_sec = Fraction(start or 0, av.time_base)
        self._packets = self._read()
        self._next: Any = next(self._packets, None)
        self._target: Any = None

    def _read(self) -> Iterator[Any]:
        for packet in self._container.demux(self._stream):
            if packet.size and packet.pts is not None and packet.dts is not None:
                yield packet

    def add_to(self, container: Any) -> None:
        """Add an audio stream to the output."""
        self._target = container.add_stream_from_template(self._stream)

    def copy_until(self, container: Any, second: float) -> None:
        """Write the packets before a time, in seconds from the start of the file."""
        while self._next is not None:
            packet = self._next
            if packet.pts * packet.time_base - self._start_sec >= second:
                return
            shift = round(self._start_sec / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = self._target
            container.mux(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def sound_of(video: Video) -> SoundCopy | None:
    """Return the sound of a video; None if it has none, or if it cannot be copied.

    If there is sound that cannot be copied, a warning says why.
    """
    if not video.path.is_file():
        return None
    try:
        with av.open(str(video.path.absolute())) as container:
            if not container.streams.audio:
                return None
            reason = _why_not_copied(container, video)
    except av.error.FFmpegError:
        return None  # an animated WebP
    if reason is None:
        return SoundCopy(video.path)
    complain(f"annotate: {video.path}: the sound is left out, as {reason}.")
    return None


def _why_not_copied(container: Any, video: Video) -> str | None:
    codec = container.streams.audio[0].codec_context
    if codec is None or codec.name not in _COPIED:
        return f"its codec {codec.name if codec else 'is unknown and'} cannot be copied"
    pictures = container.streams.video[0]
    start_sec = (pictures.start_time or 0) * pictures.time_base
    start_sec -= Fraction(container.start_time or 0, av.time_base)
    if not video.timeline().follows_stamps or abs(start_sec - video.start_sec) > _SAME_SEC:
        return "the timestamps of the video are not reliable"
    return None


class VideoWriter:
    """Encodes frames as H.264, or as MPEG-4 if FFmpeg has no H.264 encoder.

    Args:
        path: the file to write.
        container: FFmpeg's name of the container.
        size: width and height of the frames; odd sizes are padded by a pixel.
        fps: mean frame rate.
        sound: sound to copy; None for a silent video.
    """

    def __init__(
        self,
        path: Path,
        container: str,
        size: tuple[int, int],
        *,
        fps: float,
        sound: SoundCopy | None = None,
    ) -> None:
        self._container = av.open(str(path), "w", format=container)
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = _add_encoder(self._container, rate)
        self._stream.width, self._stream.height = (side + side % 2 for side in size)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = TICK_SEC
        self._stream.codec_context.colorspace = _BT601
        self._durations: dict[int, int] = {}
        self._sound = sound
        if sound is not None:
            sound.add_to(self._container)

    def write(self, pixels: np.ndarray, start_sec: float, end_sec: float) -> None:
        """Write a frame (H, W, 3), uint8, which is on screen from one time to another."""
        if self._sound is not None:
            self._sound.copy_until(self._container, start_sec)
        even = ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0))
        pixels = np.ascontiguousarray(np.pad(pixels, even, mode="edge"))
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
        frame.pts, end = (round(second / TICK_SEC) for second in (start_sec, end_sec))
        frame.time_base = TICK_SEC
        self._durations[frame.pts] = end - frame.pts
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, packet.duration)
            self._container.mux(packet)

    def finish(self) -> None:
        """Write what the encoder still holds, and the rest of the sound."""
        self._mux(self._stream.encode())
        if self._sound is not None:
            self._sound.copy_until(self._container, float("inf"))

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _add_encoder(container: Any, rate: Fraction) -> Any:
    for name, options in _ENCODERS.items():
        try:
            return container.add_stream(name, rate=rate, options=dict(options))
        except ValueError:  # UnknownCodecError
            continue
    raise RuntimeError("FFmpeg has no MPEG-4 encoder")
