"""A decoder for animated WebP files, which Pillow can read but FFmpeg cannot."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from autox_video.video.container.packet_count import Counted
from autox_video.video.container.timeline import MISSING, Stamps, Timeline, lay_out
from autox_video.video.decoders.frame_rgb import RgbConverter, scaled_size
from autox_video.video.video import Video

FASTEST_MS, SHOWN_MS = 10, 100
"""Frames with a duration of at most FASTEST_MS are shown for SHOWN_MS instead, as in browsers."""


class AnimatedWebp(Video):
    """An open clip stored as an animated WebP file.

    Raises:
        VideoError: the file cannot be read.
    """

    decoder = "pictures"
    codec = "webp"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise self.error(f"it cannot be read ({error.strerror or error})") from error
        durations = np.array(list(_durations_ms(data)), dtype=np.int64)
        if len(durations) == 0:
            raise self.error("it contains no frame; it is damaged or cut off")
        durations[durations <= FASTEST_MS] = SHOWN_MS
        self._timeline = _timeline(durations)
        self.num_frames, self.seconds = len(durations), self._timeline.seconds
        self.fps = self.num_frames / self.seconds
        self.odd = self._timeline.odd
        self.size = tuple(int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        self._converter = RgbConverter()

    def count(self) -> Counted:
        return Counted(self._timeline, 0, float(self._timeline.starts[-1]), blank_end=False)

    def decode_at(
        self, wanted: np.ndarray, short_side: int | None
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        from PIL import Image

        shown = self._timeline.on_screen(wanted)
        size = scaled_size(*self.size, short_side)
        try:
            with Image.open(self.path) as image:
                for number in np.unique(shown):
                    image.seek(int(number))
                    pixels = np.asarray(image.convert("RGBA"))[..., :3]
                    yield np.flatnonzero(shown == number), self._converter.scale(pixels, size)
        except Image.DecompressionBombError as error:
            raise self.error(f"its frames are too large ({error})") from error
        except (OSError, EOFError, SyntaxError, ValueError) as error:
            raise self.error(f"it is damaged or cut off ({error})") from error


def _durations_ms(data: bytes) -> Iterator[int]:
    """Yield the duration of each frame, read from the ANMF chunks of the RIFF container."""
    place = 12
    while place + 8 <= len(data):
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        if place + 8 + size > len(data):
            return  # the file is cut off
        if data[place : place + 4] == b"ANMF":
            yield int.from_bytes(data[place + 20 : place + 23], "little")
        place += 8 + size + size % 2


def _timeline(durations: np.ndarray) -> Timeline:
    stamps = Stamps(
        shown_at=np.cumsum(durations) - durations,
        decoded_at=np.full(len(durations), MISSING),
        durations=durations,
        is_key=np.arange(len(durations)) == 0,
        is_shown=np.ones(len(durations), dtype=bool),
        stores_decoding=False,
        most_reordered=0,
    )
    return lay_out(stamps, tick_sec=1e-3, nominal_fps=1000 / SHOWN_MS)
