"""The interface of an open clip, which provides the clip's length and its frames at given times.

Shape letters: T frames; H is the height and W the width in pixels; the 3 channels are RGB.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from autox_video.core.errors import VideoError
from autox_video.video.container.packet_count import Counted
from autox_video.video.container.timeline import TIME_TOLERANCE_SEC, Timeline
from autox_video.video.decoders.frame_rgb import scaled_size

TIMES_AT_ONCE = 32
"""Number of frames that `decode_through` holds in memory."""


class Video(ABC):
    """An open video file or folder of frame images; can be used as a context manager.

    Each decoder is a subclass that is constructed from a path. Some attributes are properties.

    Attributes:
        path: path to the clip.
        decoder: pyav, torchcodec or decord, or `pictures` for a frame folder or animated WebP.
        seconds: length in seconds, > 0; for a large file, an estimate from the header until
            `examine` is called, otherwise exact.
        fps: average frames per second, > 0; exact whenever `seconds` is exact.
        num_frames: number of frames, >= 1; exact whenever `seconds` is exact.
        size: width and height of a frame as displayed, in pixels.
        start_sec: presentation time of the first frame, >= 0; above 0 if the audio starts earlier.
        odd: clauses that describe repairs and anything unusual; complete after `examine`.
        codec: FFmpeg's name of the codec, such as `h264`.
        is_seekable: whether the last frames can be reached without decoding the whole clip.
        package: the package that the decoder needs.
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
        """Read the whole file to determine its length; raise VideoError if it has no frames."""

    @abstractmethod
    def decode_at(
        self, wanted: np.ndarray, short_side: int | None
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        """For each decoded frame, yield its indices into `wanted` and its pixels.

        If an index is yielded more than once, the last frame yielded for that index is used.

        Args:
            wanted: sorted times (T,) in seconds, >= 0.
            short_side: short side in pixels to which larger frames are scaled down; None keeps the
                full size.

        Raises:
            VideoError: neither the frame at one of the times nor any frame in the second before
                that time can be decoded.
        """

    def decode_through(
        self, wanted: np.ndarray, short_side: int | None, threads: int = 1
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        """Like `decode_at`, but in order, each index once, and with little memory for long videos.

        Args:
            wanted, short_side: as in `decode_at`.
            threads: number of decoding threads, if the decoder lets them be chosen.

        Raises:
            VideoError: as in `decode_at`; frames before the error have been yielded.
        """
        for start in range(0, len(wanted), TIMES_AT_ONCE):
            frames: dict[int, np.ndarray] = {}
            for places, pixels in self.decode_at(wanted[start : start + TIMES_AT_ONCE], short_side):
                frames |= dict.fromkeys(map(int, places), pixels)
            for place in sorted(frames):
                yield [start + place], frames[place]

    @classmethod
    def why_not_usable(cls) -> str | None:
        """Return why the decoder fails although its package can be imported; None if it works."""
        return None

    def close(self) -> None:  # noqa: B027 (most decoders have nothing to free)
        """Close the file and the decoder; may be called more than once."""

    def error(self, reason: str) -> VideoError:
        """Return a VideoError with the path to this clip and a reason."""
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
        """Return the frames that are on screen at the given times.

        Time 0 is the start of the first frame. A frame is on screen until the next one starts.
        Times before 0 give the first frame, and times after the end give the last frame.

        Args:
            times_sec: finite times (T,) in seconds, in any order and possibly with duplicates.
            short_side: short side in pixels to which larger frames are scaled down; None keeps the
                full size.

        Returns:
            Pixels of shape (T, H, W, 3), uint8.

        Raises:
            VideoError: neither the frame at one of the times nor any frame in the second before
                that time can be decoded.
        """
        times = np.asarray(times_sec, dtype=np.float64)
        if times.ndim != 1 or not np.isfinite(times).all():
            raise ValueError(f"times_sec must be a 1-D array of finite values, not {times_sec!r}")
        if short_side is not None and short_side < 1:
            raise ValueError(f"short_side must be at least 1 px, not {short_side!r}")
        if len(times) == 0:
            width, height = scaled_size(*self.size, short_side)
            return np.empty((0, height, width, 3), dtype=np.uint8)
        order = np.argsort(times, kind="stable")
        wanted = np.maximum(times[order], 0.0) + TIME_TOLERANCE_SEC
        frames = None
        for places, pixels in self.decode_at(wanted, short_side):
            if frames is None:
                frames = np.empty((len(times), *pixels.shape), dtype=np.uint8)
            frames[order[places]] = pixels
        return frames

    def timeline(self) -> Timeline:
        """Read the whole file and return the times at which each frame is on screen.

        Raises:
            VideoError: the file contains no frames.
        """
        return self.count().timeline

    def examine(self) -> None:
        """Determine the true length, and decode up to two frames to detect damage.

        The whole file is read, but only the first frame and, if seeking is cheap, the last key
        frame are decoded. `num_frames`, `seconds` and `fps` are exact afterwards.

        Raises:
            VideoError: the file contains no frames, or one of the two frames cannot be decoded.
        """
        counted = self.count()
        if counted.blank_end:
            raise self.error("it ends in zero bytes: the copy was probably interrupted")
        self.frames_at(np.zeros(1))
        if self.is_seekable and counted.last_key_sec > 0:
            self.frames_at(np.array([counted.last_key_sec]))
