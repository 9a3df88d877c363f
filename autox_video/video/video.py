"""An open clip: how long it is, and its frames at given times, whatever decodes it.

Shape letters: T frames, H height and W width in pixels, 3 colours red, green, blue.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from autox_video.core.errors import VideoError
from autox_video.video.container.packet_count import Counted
from autox_video.video.container.timeline import TIME_TOLERANCE_SEC, Timeline
from autox_video.video.decoders.frame_rgb import scaled_size


class Video(ABC):
    """An open clip, a video file or a folder of its frames as pictures; a context manager.

    A decoder is a subclass, made of a path. Its attributes, some of them properties, are:

    Attributes:
        path: where the clip is.
        decoder: name of what decodes it: pyav, torchcodec or decord; pictures for a folder of them
            or an animated WebP.
        seconds: length, > 0; counted, or what the header of a large file says until `examine`.
        fps: average frames per second, > 0; counted, or the header's, likewise.
        num_frames: number of frames, >= 1; counted, or an estimate, likewise.
        size: width and height of a frame as players show it, in pixels.
        start_sec: when the first frame comes on the player's clock, which begins with the file's
            sound where that comes first, >= 0.
        odd: what is odd about the file or was repaired, parts of a sentence; all of it once the
            clip was examined.
        codec: FFmpeg's name of the coding, such as `h264`.
        is_seekable: whether its last frames are reached without decoding all.
        package: what has to be installed for it.
    """

    path: Path
    decoder: str
    seconds: float
    fps: float
    num_frames: int
    size: tuple[int, int]
    start_sec: float = 0.0
    odd: tuple[str, ...] = ()
    codec: str
    is_seekable: bool = True
    package: str = "av"

    @abstractmethod
    def count(self) -> Counted:
        """Find the true length; raises VideoError where there is no frame."""

    @abstractmethod
    def pictures(
        self, wanted: np.ndarray, short_side: int | None
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        """Give (places, pixels): what is on screen at the times wanted[places].

        What is given last for a place counts.

        Args:
            wanted: (T,) seconds, rising, >= 0.
            short_side: pixels, to which larger frames are scaled down, or None for the full size.

        Raises:
            VideoError: the frame of some time cannot be decoded, nor any up to a second before.
        """

    @classmethod
    def why_not_usable(cls) -> str | None:
        """Why the decoder does not work on this machine though its package can be imported."""
        return None

    def close(self) -> None:  # noqa: B027 (most decoders have nothing to free)
        """Free the file and the decoder; closing twice does no harm."""

    def error(self, reason: str) -> VideoError:
        """Make the error that says what is wrong with this clip."""
        return VideoError(f"{self.path}: {reason}.")

    @property
    def width(self) -> int:
        return self.size[0]

    @property
    def height(self) -> int:
        return self.size[1]

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

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
            width, height = scaled_size(*self.size, short_side)
            return np.empty((0, height, width, 3), dtype=np.uint8)
        order = np.argsort(times, kind="stable")
        wanted = np.maximum(times[order], 0.0) + TIME_TOLERANCE_SEC
        frames = None
        for places, pixels in self.pictures(wanted, short_side):
            if frames is None:
                frames = np.empty((len(times), *pixels.shape), dtype=np.uint8)
            frames[order[places]] = pixels
        return frames

    def timeline(self) -> Timeline:
        """Find out when each frame is on screen; reads the whole file.

        Raises:
            VideoError: the file holds no frame.
        """
        return self.count().timeline

    def examine(self) -> None:
        """Find the true length and decode two frames, so that a torn file is found out.

        Reads the whole file but decodes only the first frame and, where seeking is cheap, the last
        key frame. `num_frames`, `seconds` and `fps` are counted ones from then on.

        Raises:
            VideoError: the file holds no frame, or one of the two cannot be decoded.
        """
        counted = self.count()
        if counted.blank_end:
            raise self.error("its end holds only zeros, as if its copying had been interrupted")
        self.frames_at(np.zeros(1))
        if self.is_seekable and counted.last_key_sec > 0:
            self.frames_at(np.array([counted.last_key_sec]))
