"""A decoded frame as red, green and blue pixels: scaled, turned upright, in the right colours.

Shape legend: H height and W width in pixels, 3 colours red, green, blue.
"""

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from autox_video.video.container.orientation import UPRIGHT, Orientation

WORTH_SCALING = 2.0
"""How many times larger than wanted frames are that training scales down in decoding."""


def scaled_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Give (width, height) in pixels with the shorter side of `short_side` px; never enlarged."""
    if short_side is None or min(width, height) <= short_side:
        return width, height
    scale = short_side / min(width, height)
    return round(width * scale), round(height * scale)


class RgbConverter:
    """Converts frames, keeping the tables of the last conversion for the next.

    The file's own matrix (BT.601, BT.709, BT.2020) and range are followed; BT.601 and limited range
    are taken where it says none. Bright HDR is not mapped to the range of ordinary screens.
    Transparency is left out: the colours are those under it.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(
        self,
        frame: av.VideoFrame,
        size: tuple[int, int],
        orientation: Orientation = UPRIGHT,
    ) -> np.ndarray:
        """Give the pixels of a frame.

        Args:
            frame: a decoded frame of any pixel format.
            size: (width, height) before it is turned; smaller ones average over areas.
            orientation: what puts it upright.

        Returns:
            (H, W, 3) uint8.

        Raises:
            av.error.FFmpegError: the kind of pixels is not known.
        """
        # The reformatter keeps its tables between frames; `to_ndarray(format=...)` would not.
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
        """Scale (H, W, 3) uint8 pixels to (width, height) as `convert` would."""
        if (pixels.shape[1], pixels.shape[0]) == size:
            return pixels
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
        return self.convert(frame, size)


def _interpolation(frame: av.VideoFrame, size: tuple[int, int]) -> Interpolation:
    is_smaller = size[0] < frame.width or size[1] < frame.height
    return Interpolation.AREA if is_smaller else Interpolation.BILINEAR
