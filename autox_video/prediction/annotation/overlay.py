"""Draw the current segments and the timeline on frames.

Shape letters: H is the height and W the width in pixels; the 3 channels are RGB.
"""

import colorsys
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from autox_video.core.console import complain, printable
from autox_video.prediction.annotation.fonts import font_of
from autox_video.prediction.timeline import Segment

MOST_LINES = 4
"""Maximum number of segments that are named at a time."""
BACKGROUND = (32, 32, 32)
MARK = (255, 255, 255)
"""Colour of the line that marks the current time."""
_GOLDEN = 0.618034  # steps of the hue by the golden ratio give colours that differ


def colour_of(index: int) -> tuple[int, int, int]:
    """Return the colour of a class, as RGB from 0 to 255."""
    red, green, blue = colorsys.hsv_to_rgb((0.58 + index * _GOLDEN) % 1, 0.75, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


class Overlay:
    """Draws on the frames of one video.

    At the top left, each current segment has a line with its colour, score and class. At the
    bottom, a strip shows the segments of the whole video and marks the current time.

    Args:
        size: width and height of the frames in pixels.
        segments: the segments of the video, sorted by start.
        span: start and end of the video in seconds.
    """

    def __init__(
        self, size: tuple[int, int], segments: Sequence[Segment], span: tuple[float, float]
    ) -> None:
        self.width, self.height = size
        self._first_sec, self._seconds = span[0], max(span[1] - span[0], 1e-6)
        self._segments = segments
        self._starts = [segment.start for segment in segments]
        self._longest = max((segment.end - segment.start for segment in segments), default=0.0)
        self._font_px = max(10, self.height // 20)
        self._names: dict[int, tuple[str, ImageFont.FreeTypeFont]] = {}
        self._lines: dict[Segment, np.ndarray] = {}
        self.strip = self._draw_strip(max(4, self.height // 24))
        """Pixels (h, W, 3) of the strip."""
        for segment in segments:
            self._name(segment)  # names that cannot be drawn are reported at once

    def draw(self, pixels: np.ndarray, second: float) -> np.ndarray:
        """Return a copy of a frame (H, W, 3), uint8, with what is current at a time in seconds."""
        drawn = pixels.copy()
        rows = len(self.strip)
        drawn[-rows:] = self.strip
        column = min(int(self._column(second)), self.width - 1)
        drawn[-rows:, max(column - 1, 0) : column + 1] = MARK
        top = 0
        for segment in self.current(second)[:MOST_LINES]:
            line = self._line(segment)
            room = drawn[top : min(top + len(line), self.height - rows), : line.shape[1]]
            room[:] = line[: len(room)]
            top += len(line)
        return drawn

    def current(self, second: float) -> list[Segment]:
        """Return the segments at a time, the most probable first."""
        end = bisect_right(self._starts, second)
        first = bisect_right(self._starts, second - self._longest - 1e-6)
        shown = [segment for segment in self._segments[first:end] if second < segment.end]
        return sorted(shown, key=lambda segment: -segment.score)

    def _column(self, second: float) -> float:
        return max(0.0, (second - self._first_sec) / self._seconds) * self.width

    def _draw_strip(self, height: int) -> np.ndarray:
        strip = np.full((height, self.width, 3), BACKGROUND, dtype=np.uint8)
        lanes = lanes_of(self._segments)
        count = max(lanes, default=0) + 1
        for segment, lane in zip(self._segments, lanes, strict=True):
            first, end = (round(self._column(time)) for time in (segment.start, segment.end))
            top, bottom = lane * height // count, (lane + 1) * height // count
            strip[top : max(bottom, top + 1), first : max(end, first + 1)] = colour_of(
                segment.index
            )
        return strip

    def _line(self, segment: Segment) -> np.ndarray:
        """Return the line (h, w, 3) of a segment: its colour, score and class."""
        if segment not in self._lines:
            if len(self._lines) > 4 * MOST_LINES:
                self._lines.clear()
            self._lines[segment] = self._draw_line(segment)
        return self._lines[segment]

    def _draw_line(self, segment: Segment) -> np.ndarray:
        size = self._font_px
        name, font = self._name(segment)
        score, plain = f"{segment.score:.2f}", font_of("0.", size)
        left = 2 * size + round(plain.getlength(score))
        name = _shortened(name, font, self.width - left - size // 2)
        width = min(left + round(font.getlength(name)) + size // 2, self.width)
        line = Image.new("RGB", (width, size * 3 // 2), BACKGROUND)
        draw = ImageDraw.Draw(line)
        draw.rectangle(
            (size // 4, size // 4, size, line.height - size // 4), colour_of(segment.index)
        )
        draw.text((size * 3 // 2, line.height // 2), score, MARK, plain, anchor="lm")
        draw.text((left, line.height // 2), name, MARK, font, anchor="lm")
        return np.asarray(line)

    def _name(self, segment: Segment) -> tuple[str, ImageFont.FreeTypeFont]:
        """Return the name of a class as it is drawn, and its font."""
        if segment.index not in self._names:
            name = printable(segment.name)
            font = font_of(name, self._font_px)
            if font is None:
                name = f"class {segment.index}"
                complain(
                    f"annotate: no font on this machine can draw the class {segment.name}; the "
                    f"video shows it as `{name}`. Install a font with its letters, such as Noto."
                )
                font = font_of(name, self._font_px)
            self._names[segment.index] = name, font
        return self._names[segment.index]


def lanes_of(segments: Sequence[Segment]) -> list[int]:
    """Return the lane of each segment; segments that overlap are in different lanes."""
    ends: list[float] = []
    lanes = []
    for segment in segments:
        free = (lane for lane, end in enumerate(ends) if end <= segment.start + 1e-6)
        lane = next(free, len(ends))
        ends[lane : lane + 1] = [segment.end]
        lanes.append(lane)
    return lanes


def _shortened(name: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return a name, cut at its end if it is wider than `width` pixels."""
    if font.getlength(name) <= width:
        return name
    while name and font.getlength(name + "...") > width:
        name = name[:-1]
    return name + "..."
