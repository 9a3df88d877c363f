"""What decoders have in common that know frames by their number in order of display.

PyAV's index says which number is on screen when, so that all decoders give the same frames.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from autox_video.core.errors import VideoError
from autox_video.video.container.media_file import MediaFile
from autox_video.video.container.packet_count import Counted
from autox_video.video.container.packet_index import PacketIndex
from autox_video.video.decoders.frame_rgb import RgbConverter, scaled_size
from autox_video.video.decoders.pyav import PyAVDecoder
from autox_video.video.video import Video

_WHOLE_PICTURES = (0, 1)  # what PyAV calls an unknown order of fields, or none


class NumberedDecoder(Video):
    """An open clip; length, size and index come from PyAV, the frames from elsewhere.

    Raises:
        VideoError: the file is not a video, or this decoder cannot give its frames exactly.
    """

    failures: tuple[type[Exception], ...]
    """What the library raises about files that it cannot read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pyav = PyAVDecoder(path)
        self._converter = RgbConverter()
        try:
            self._counted = self._pyav.count()
            for name in ("seconds", "fps", "num_frames", "start_sec", "odd", "size", "codec"):
                setattr(self, name, getattr(self._pyav, name))
            reason = self._why_inexact(self._pyav.file)
            if reason is not None:
                raise self._refusal(reason)
            with self._refusing():
                frames = self._open(path)
            if frames != self.num_frames:
                raise self._refusal(f"it finds {frames} frames instead of {self.num_frames}")
        except VideoError:
            self.close()
            raise

    @abstractmethod
    def _open(self, path: Path) -> int:
        """Open the file; gives its number of frames."""

    @abstractmethod
    def _read(self, numbers: list[int]) -> np.ndarray:
        """Give frames by their rising numbers: (N, H, W, 3) uint8."""

    def _why_inexact(self, file: MediaFile) -> str | None:
        """Say why frames of this file would be wrong, None if they would be right."""
        if file.index is None or not file.index.names_frames:
            return "its packets do not tell which frame is shown when"
        if not file.counted.timeline.in_stamp_order:
            return "its clock does not go on"
        if self._pyav.orientation.is_mirrored:
            return "its frames are mirrored"
        # PyAV tells from release 18 on.
        if getattr(file.codec, "field_order", 0) not in _WHOLE_PICTURES:
            return "its pictures are interlaced"
        if not _starts_anew(file, file.index):
            return "its key frames lean on what is before them"
        return None

    def close(self) -> None:
        self._pyav.close()

    def count(self) -> Counted:
        return self._counted

    def pictures(
        self, wanted: np.ndarray, short_side: int | None
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        shown = self._counted.timeline.on_screen(wanted)
        numbers = np.unique(shown)
        with self._refusing():
            frames = self._read(numbers.tolist())
        for number, pixels in zip(numbers, frames, strict=True):
            self._check_size(pixels)
            yield np.flatnonzero(shown == number), self._scaled(pixels, short_side)

    def _check_size(self, pixels: np.ndarray) -> None:
        """Raise VideoError unless a frame is turned as the file says; today's decoders do it."""
        codec, found = self._pyav.file.codec, (pixels.shape[1], pixels.shape[0])
        expected = self._pyav.orientation.size(codec.width, codec.height)
        if found != expected:
            sizes = f"{found[0]}x{found[1]} instead of {expected[0]}x{expected[1]}"
            raise self._refusal(f"its frames are {sizes} pixels")

    def _scaled(self, pixels: np.ndarray, short_side: int | None) -> np.ndarray:
        return self._converter.scale(pixels, scaled_size(*self.size, short_side))

    def _refusal(self, reason: str) -> VideoError:
        return VideoError(
            f"{self.path}: {self.decoder} cannot decode it ({reason}); set decoder: pyav."
        )

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn what the library raises into a VideoError that names the way out."""
        try:
            yield
        except self.failures as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise self._refusal(reason[:200]) from error


def _starts_anew(file: MediaFile, index: PacketIndex) -> bool:
    """Whether a key frame stands alone; not so in H.264 that is refreshed bit by bit.

    Looks at the second key frame of a file that is read whole.
    """
    if file.codec.name != "h264" or len(index.keys) < 2 or not file.is_small:
        return True
    key = int(index.keys[1])
    packet = file.packet(key)
    file.forget()
    frames = [*file.decode(packet), *file.decode(None)] if packet is not None else []
    return any(frame and frame.key_frame and frame.pts == index.stamps[key] for frame in frames)
