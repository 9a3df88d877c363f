"""Convert decoded frames to upright, scaled RGB pixels with correct colours.

Shape letters: H is the height and W the width in pixels; the 3 channels are RGB.
"""

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from autox_video.video.container.orientation import UPRIGHT, Orientation

WORTH_SCALING = 2.0
"""In training, frames at least this many times as large as needed are scaled down when decoded."""


def scaled_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Return a size (width, height), scaled down if the short side exceeds `short_side` px."""
    if short_side is None or min(width, height) <= short_side:
        return width, height
    scale = short_side / min(width, height)
    return round(width * scale), round(height * scale)


class RgbConverter:
    """Converts frames to RGB, reusing the lookup tables of the previous conversion.

    The conversion uses the colour matrix (BT.601, BT.709, BT.2020) and range given in the file, or
    BT.601 and limited range if the file gives none. HDR is not tone-mapped. The alpha channel is
    dropped.
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
            frame: a decoded frame in any pixel format.
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
        """Scale uint8 pixels (H, W, 3) to a size (width, height) in the same way as `convert`."""
        if (pixels.shape[1], pixels.shape[0]) == size:
            return pixels
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
        return self.convert(frame, size)


def _interpolation(frame: av.VideoFrame, size: tuple[int, int]) -> Interpolation:
    is_smaller = size[0] < frame.width or size[1] < frame.height
    return Interpolation.AREA if is_smaller else Interpolation.BILINEAR
