"""Rotation, flip and pixel aspect ratio of a clip's frames.

The rotation, flip and aspect ratio given in a file's metadata are applied, as in video players.

Shape letters: H is the height and W the width in pixels; the 3 channels are RGB.
"""

from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np

SQUARE_WITHIN = 0.01
"""Pixels are treated as square if their aspect ratio differs from 1 by at most this amount."""

WIDEST_PIXEL = 4.0
"""Pixel aspect ratios above this value or below its inverse are ignored as implausible."""


class Orientation(NamedTuple):
    """Operations that turn a frame upright: an optional transposition, then optional flips."""

    swaps: bool = False
    """Whether to swap rows and columns."""
    flips_x: bool = False
    """Whether to flip horizontally after transposing."""
    flips_y: bool = False
    """Whether to flip vertically after transposing."""

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Return an upright view of the pixels (H, W, 3)."""
        shown = pixels.swapaxes(0, 1) if self.swaps else pixels
        return shown[:: -1 if self.flips_y else 1, :: -1 if self.flips_x else 1]

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the displayed (width, height) of frames stored with this width and height."""
        return (height, width) if self.swaps else (width, height)

    @property
    def is_mirrored(self) -> bool:
        """Whether the frame is mirrored, so rotation alone cannot turn it upright."""
        return self.swaps ^ self.flips_x ^ self.flips_y


UPRIGHT = Orientation()

EXIF = {
    1: UPRIGHT,
    2: Orientation(flips_x=True),
    3: Orientation(flips_x=True, flips_y=True),
    4: Orientation(flips_y=True),
    5: Orientation(swaps=True),
    6: Orientation(swaps=True, flips_x=True),
    7: Orientation(swaps=True, flips_x=True, flips_y=True),
    8: Orientation(swaps=True, flips_y=True),
}
"""The orientation for each value of the Exif tag Orientation (Exif 2.3)."""


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Return the orientation of a decoded frame; angles are rounded to multiples of 90 degrees."""
    try:
        found = (data for data in frame.side_data if data.type.name == "DISPLAYMATRIX")
        matrix = next(found, None)
    except ValueError:  # side data of a type that PyAV does not know
        return _turned(frame.rotation)
    return UPRIGHT if matrix is None else by_matrix(np.frombuffer(bytes(matrix), np.int32))


def by_matrix(matrix: np.ndarray) -> Orientation:
    """Return the orientation for a display matrix (9,) that maps (x, y) to (ax + cy, bx + dy)."""
    a, b, _, c, d = (int(value) for value in matrix[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, flips_x=c < 0, flips_y=b < 0)
    return Orientation(False, flips_x=a < 0, flips_y=d < 0)


def _turned(degrees: float) -> Orientation:
    """Return the orientation for a counterclockwise rotation by this many degrees."""
    return EXIF[(1, 8, 3, 6)[round(degrees / 90) % 4]]


def pixel_aspect(ratio: Fraction | None) -> float:
    """Return a pixel's width divided by its height; 1 if the ratio is near 1 or implausible."""
    if not ratio or is_absurd(ratio) or abs(ratio - 1) <= SQUARE_WITHIN:
        return 1.0
    return float(ratio)


def is_absurd(ratio: Fraction | None) -> bool:
    """Return whether a pixel aspect ratio is implausible."""
    return bool(ratio) and not 1 / WIDEST_PIXEL <= ratio <= WIDEST_PIXEL
