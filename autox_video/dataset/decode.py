"""One interface over the decoders: how long a clip is, and its frames at given times.

Shape legend: T frames, H height and W width in pixels, 3 colours red, green, blue.
"""

from pathlib import Path

import numpy as np

from autox_video.dataset.decode_pyav import PyAVDecoder
from autox_video.dataset.frame_rgb import scaled_size
from autox_video.dataset.video_file import why_not_a_file
from autox_video.errors import VideoError

_TIME_TOLERANCE_SEC = 1e-6  # i / fps in floating point may fall just short of frame i's own time


class Video:
    """An open clip; a context manager.

    Attributes:
        path: where the clip is.
        seconds: length, > 0; counted, or what the header of a large file says until `examine`.
        fps: average frames per second, > 0; counted, or the header's, likewise.
        num_frames: number of frames, >= 1; counted, or an estimate, likewise.
        width, height: size of an upright frame in pixels.
        codec: FFmpeg's name of the coding, such as `h264`.

    Raises:
        VideoError: the file is missing, unreadable, not a video, or has no length or size.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        reason = why_not_a_file(self.path)
        if reason is not None:
            raise VideoError(f"{self.path}: {reason}.")
        self._decoder = PyAVDecoder(self.path)

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
        wanted = np.maximum(times[order], 0.0) + _TIME_TOLERANCE_SEC
        frames = None
        for places, pixels in self._decoder.pictures(wanted, short_side):
            if frames is None:
                frames = np.empty((len(times), *pixels.shape), dtype=np.uint8)
            frames[order[places]] = pixels
        return frames

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
