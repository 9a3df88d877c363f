"""Frames in memory, as a video."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from autox_video.video.container.packet_count import Counted
from autox_video.video.container.timeline import Timeline
from autox_video.video.decoders.frame_rgb import RgbConverter, scaled_size
from autox_video.video.video import Video


class ArrayVideo(Video):
    """A video whose frames are in memory.

    Args:
        frames: RGB frames (T, H, W, 3) uint8, T >= 1, in display order.
        fps: frames per second.
        name: name of the video in messages.

    Raises:
        VideoError: the frames have another shape or type, or `fps` is not a positive number.
    """

    decoder = "array"
    codec = "rawvideo"

    def __init__(self, frames: np.ndarray, fps: float, name: str = "array") -> None:
        self.path = Path(name)
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise self.error(
                f"frames must be an RGB array (T, H, W, 3) of uint8, not {frames.shape} of "
                f"{frames.dtype}"
            )
        if 0 in frames.shape:
            raise self.error(f"there are no frames in an array of shape {frames.shape}")
        if not (np.isfinite(fps) and fps > 0):
            raise self.error(f"fps must be above 0, not {fps}")
        self._frames, self.fps = frames, float(fps)
        self.num_frames, self.seconds = len(frames), len(frames) / self.fps
        self.size = frames.shape[2], frames.shape[1]
        self._converter = RgbConverter()

    def count(self) -> Counted:
        starts = np.arange(self.num_frames) / self.fps
        timeline = Timeline(np.arange(self.num_frames), starts, self.seconds)
        return Counted(timeline, 0, float(starts[-1]), blank_end=False)

    def decode_at(
        self, wanted: np.ndarray, short_side: int | None
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        shown = np.minimum((wanted * self.fps).astype(np.int64), self.num_frames - 1)
        size = scaled_size(*self.size, short_side)
        for number in np.unique(shown):
            pixels = self._converter.scale(np.ascontiguousarray(self._frames[number]), size)
            yield np.flatnonzero(shown == number), pixels
