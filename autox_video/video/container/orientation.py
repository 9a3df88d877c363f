"""How the frames of a clip lie: turned or mirrored, and in what shape their pixels are shown.

Players turn, mirror and stretch what they show as the file says; here it is done likewise.

Shape legend: H height and W width in pixels, 3 colours red, green, blue.
"""

from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np

SQUARE_WITHIN = 0.01
"""Pixels that are this little wider than high, or higher than wide, are taken as square ones."""

WIDEST_PIXEL = 4.0
"""How many times as wide as high pixels may be, or as high as wide; more is not believed."""


class Orientation(NamedTuple):
    """What puts a frame upright: rows and columns are exchanged first, then sides."""

    swaps: bool = False
    """Whether rows become columns."""
    flips_x: bool = False
    """Whether left becomes right, after that."""
    flips_y: bool = False
    """Whether top becomes bottom, after that."""

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Give (H, W, 3) pixels as they are shown: a view of them."""
        shown = pixels.swapaxes(0, 1) if self.swaps else pixels
        return shown[:: -1 if self.flips_y else 1, :: -1 if self.flips_x else 1]

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Give the (width, height) in which frames of this width and height are shown."""
        return (height, width) if self.swaps else (width, height)

    @property
    def is_mirrored(self) -> bool:
        """Whether it takes a mirror, and no turning alone would do."""
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
"""By the number that pictures carry (Exif 2.3, tag Orientation)."""


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Give what puts a decoded frame upright; angles in between are rounded."""
    try:
        found = (data for data in frame.side_data if data.type.name == "DISPLAYMATRIX")
        matrix = next(found, None)
    except ValueError:  # there is data of a kind that PyAV does not know
        return _turned(frame.rotation)
    return UPRIGHT if matrix is None else by_matrix(np.frombuffer(bytes(matrix), np.int32))


def by_matrix(matrix: np.ndarray) -> Orientation:
    """Read a display matrix, (9,) as FFmpeg has it: (x, y) is shown at (ax + cy, bx + dy)."""
    a, b, _, c, d = (int(value) for value in matrix[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, flips_x=c < 0, flips_y=b < 0)
    return Orientation(False, flips_x=a < 0, flips_y=d < 0)


def _turned(degrees: float) -> Orientation:
    """Give the orientation of frames that are turned to the left."""
    return EXIF[(1, 8, 3, 6)[round(degrees / 90) % 4]]


def pixel_aspect(ratio: Fraction | None) -> float:
    """Give how many times as wide as high pixels are shown, 1 where that is hardly so or absurd."""
    if not ratio or is_absurd(ratio) or abs(ratio - 1) <= SQUARE_WITHIN:
        return 1.0
    return float(ratio)


def is_absurd(ratio: Fraction | None) -> bool:
    """Whether a file gives its pixels a shape that is not believed."""
    return bool(ratio) and not 1 / WIDEST_PIXEL <= ratio <= WIDEST_PIXEL
