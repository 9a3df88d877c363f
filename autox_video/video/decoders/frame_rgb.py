"""Convert decoded frames to upright, scaled RGB pixels with correct colours.

Shape legend: H height and W width in pixels, 3 channels RGB.
"""

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from autox_video.video.container.orientation import UPRIGHT, Orientation

WORTH_SCALING = 2.0
"""Training scales frames down while decoding if they exceed the needed size by this factor."""


def scaled_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Return (width, height) scaled down to a shorter side of `short_side` px; never scales up."""
    if short_side is None or min(width, height) <= short_side:
        return width, height
    scale = short_side / min(width, height)
    return round(width * scale), round(height * scale)


class RgbConverter:
    """Converts frames to RGB and reuses the lookup tables of the last conversion.

    Uses the file's colour matrix (BT.601, BT.709, BT.2020) and range, or BT.601 and limited range
    if the file does not specify them. HDR is not tone-mapped. The alpha channel is dropped.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(
        self,
        frame: av.VideoFrame,
        size: tuple[int, int],
        orientation: Orientation = UPRIGHT,
    ) -> np.ndarray:
        """Return a frame as upright RGB pixels.

        Args:
            frame: a decoded frame of any pixel format.
            size: target (width, height) before rotation; frames are scaled down by area averaging.
            orientation: orientation of the frame according to the file.

        Returns:
            Pixels of shape (H, W, 3), uint8.

        Raises:
            av.error.FFmpegError: the pixel format is not supported.
        """
        # The reformatter reuses its tables between frames; `to_ndarray(format=...)` would not.
        rgb = self._reformatter.reformat(
            frame,
            width=size[0],
            height=size[1],
            format="rgb24",
            interpolation=_interpolation(frame, size),
            threads=1,
        )
        return orientation.upright(rgb.to_ndarray())

    def scale(self, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Scale (H, W, 3) uint8 pixels to a size (width, height) in the same way as `convert`."""
        if (pixels.shape[1], pixels.shape[0]) == size:
            return pixels
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
        return self.convert(frame, size)


def _interpolation(frame: av.VideoFrame, size: tuple[int, int]) -> Interpolation:
    is_smaller = size[0] < frame.width or size[1] < frame.height
    return Interpolation.AREA if is_smaller else Interpolation.BILINEAR
