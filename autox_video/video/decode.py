"""One interface over the decoders: how long a clip is, and its frames at given times.

Shape legend: T frames, H height and W width in pixels, 3 colours red, green, blue.
"""

import importlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np

from autox_video.core.errors import InstallError, VideoError
from autox_video.machine.installation import IMPORT_FAILURES, explain_import_error
from autox_video.video.container.packet_count import Counted
from autox_video.video.container.timeline import TIME_TOLERANCE_SEC, Timeline
from autox_video.video.decoders.animated_webp import AnimatedWebp
from autox_video.video.decoders.frame_folder import FrameFolder
from autox_video.video.decoders.frame_rgb import scaled_size
from autox_video.video.decoders.pyav import PyAVDecoder
from autox_video.video.files.file_kinds import is_animated_webp
from autox_video.video.files.video_file import is_frame_folder, why_not_a_file

DecoderName = Literal["auto", "pyav", "torchcodec", "decord"]
"""What decodes. `auto` is PyAV: it decodes no frame on which no wanted one leans, and is exact for
every file."""


class Decoder(Protocol):
    """What reads one open clip; `Video` tells what its attributes and errors are."""

    name: str
    seconds: float
    fps: float
    num_frames: int
    size: tuple[int, int]
    start_sec: float
    odd: tuple[str, ...]
    codec: str
    is_seekable: bool

    def count(self) -> Counted:
        """Find the true length."""

    def pictures(
        self, wanted: np.ndarray, short_side: int | None
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        """Give (places, pixels) until each of the rising times `wanted` has its picture."""

    def close(self) -> None:
        """Free the file."""


class Video:
    """An open clip, a video file or a folder of its frames as pictures; a context manager.

    Attributes:
        path: where the clip is.
        decoder: name of what decodes it: pyav, torchcodec or decord; pictures for a folder of them
            or an animated WebP.
        seconds: length, > 0; counted, or what the header of a large file says until `examine`.
        fps: average frames per second, > 0; counted, or the header's, likewise.
        num_frames: number of frames, >= 1; counted, or an estimate, likewise.
        width, height: size of a frame as players show it, in pixels.
        start_sec: when the first frame comes on the player's clock, which begins with the file's
            sound where that comes first, >= 0.
        odd: what is odd about the file or was repaired, parts of a sentence; all of it once the
            clip was examined.
        codec: FFmpeg's name of the coding, such as `h264`.

    Raises:
        VideoError: the file is missing, unreadable, not a video, or has no length or size; or the
            chosen decoder cannot give its frames exactly.
        InstallError: the chosen decoder cannot be imported.
    """

    def __init__(self, path: str | Path, decoder: DecoderName = "auto") -> None:
        self.path = Path(path)
        if decoder not in get_args(DecoderName):
            raise ValueError(f"decoder must be one of {get_args(DecoderName)}, not {decoder!r}")
        if is_frame_folder(self.path):
            self._decoder: Decoder = FrameFolder(self.path)
            return
        reason = why_not_a_file(self.path)
        if reason is not None:
            raise VideoError(f"{self.path}: {reason}.")
        if is_animated_webp(self.path):
            self._decoder = AnimatedWebp(self.path)
            return
        self._decoder = _decoder_class(decoder)(self.path)

    @property
    def decoder(self) -> str:
        return self._decoder.name

    @property
    def seconds(self) -> float:
        return self._decoder.seconds

    @property
    def fps(self) -> float:
        return self._decoder.fps

    @property
    def num_frames(self) -> int:
        return self._decoder.num_frames

    @property
    def width(self) -> int:
        return self._decoder.size[0]

    @property
    def height(self) -> int:
        return self._decoder.size[1]

    @property
    def start_sec(self) -> float:
        return self._decoder.start_sec

    @property
    def odd(self) -> tuple[str, ...]:
        return self._decoder.odd

    @property
    def codec(self) -> str:
        return self._decoder.codec

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the file and the decoder; closing twice does no harm."""
        self._decoder.close()

    def frames_at(self, times_sec: np.ndarray, short_side: int | None = None) -> np.ndarray:
        """Give the frames that are on screen at the given times, exactly.

        Time 0 is the start of the first frame. A frame is on screen from its own time until the
        next one's; times before the first frame give the first, times after the last the last.

        Args:
            times_sec: (T,) seconds, finite, in any order, repetitions allowed.
            short_side: pixels of the shorter side, to which larger frames are scaled down; None
                leaves them as they are.

        Returns:
            (T, H, W, 3) uint8.

        Raises:
            VideoError: the frame of some time cannot be decoded, nor any up to a second before.
        """
        times = np.asarray(times_sec, dtype=np.float64)
        if times.ndim != 1 or not np.isfinite(times).all():
            raise ValueError(f"times_sec must be finite and of one dimension, not {times_sec!r}")
        if short_side is not None and short_side < 1:
            raise ValueError(f"short_side must be at least 1 px, not {short_side!r}")
        if len(times) == 0:
            width, height = scaled_size(self.width, self.height, short_side)
            return np.empty((0, height, width, 3), dtype=np.uint8)
        order = np.argsort(times, kind="stable")
        wanted = np.maximum(times[order], 0.0) + TIME_TOLERANCE_SEC
        frames = None
        for places, pixels in self._decoder.pictures(wanted, short_side):
            if frames is None:
                frames = np.empty((len(times), *pixels.shape), dtype=np.uint8)
            frames[order[places]] = pixels
        return frames

    def timeline(self) -> Timeline:
        """Find out when each frame is on screen; reads the whole file.

        Raises:
            VideoError: the file holds no frame.
        """
        return self._decoder.count().timeline

    def examine(self) -> None:
        """Find the true length and decode two frames, so that a torn file is found out.

        Reads the whole file but decodes only the first frame and, where seeking is cheap, the last
        key frame. `num_frames`, `seconds` and `fps` are counted ones from then on.

        Raises:
            VideoError: the file holds no frame, or one of the two cannot be decoded.
        """
        counted = self._decoder.count()
        if counted.blank_end:
            raise VideoError(
                f"{self.path}: its end holds only zeros, as if its copying had been interrupted."
            )
        self.frames_at(np.zeros(1))
        if self._decoder.is_seekable and counted.last_key_sec > 0:
            self.frames_at(np.array([counted.last_key_sec]))


@cache
def why_not_usable(decoder: DecoderName) -> str | None:
    """Say in a sentence why a decoder cannot be used on this machine, None where it can."""
    module = {"auto": "av", "pyav": "av"}.get(decoder, decoder)
    try:
        importlib.import_module(module)
    except IMPORT_FAILURES as error:
        return explain_import_error(module, error)
    if decoder == "torchcodec":
        from autox_video.video.decoders.torchcodec import why_no_libraries

        return why_no_libraries()
    return None


def check_decoder(decoder: DecoderName) -> None:
    """Raise InstallError if a decoder cannot be imported."""
    reason = None if decoder in ("auto", "pyav") else why_not_usable(decoder)
    if reason is not None:
        raise InstallError(f"decoder: {decoder} cannot be used. {reason} Or set decoder: pyav.")


def _decoder_class(decoder: DecoderName) -> type:
    check_decoder(decoder)
    if decoder in ("auto", "pyav"):
        return PyAVDecoder
    if decoder == "torchcodec":
        from autox_video.video.decoders.torchcodec import TorchCodecDecoder

        return TorchCodecDecoder
    from autox_video.video.decoders.decord import DecordDecoder

    return DecordDecoder
