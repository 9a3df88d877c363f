"""The base class of decoders that access frames by their number in display order.

All decoders return the same frames, because PyAV's timeline decides which frame is on screen at a
given time.
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

_PROGRESSIVE = (0, 1)  # PyAV's field orders for unknown and progressive


class NumberedDecoder(Video):
    """An open clip decoded by another library; PyAV provides its length, frame size and timeline.

    Raises:
        VideoError: the file is not a video, or this decoder cannot return its frames exactly.
    """

    failures: tuple[type[Exception], ...]
    """Exceptions that the library raises for files it cannot read."""

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
        """Open the file and return its number of frames."""

    @abstractmethod
    def _read(self, numbers: list[int]) -> np.ndarray:
        """Return the frames with the given (sorted) numbers as uint8 pixels (N, H, W, 3)."""

    def _why_inexact(self, file: MediaFile) -> str | None:
        """Return why the library would return wrong frames; None if they would be correct."""
        if file.index is None or not file.index.names_frames:
            return "its packets cannot be matched to frames"
        if not file.counted.timeline.in_stamp_order:
            return "its timestamps are not in order"
        if self._pyav.orientation.is_mirrored:
            return "its frames are flipped"
        # PyAV has this attribute since release 18.
        if getattr(file.codec, "field_order", 0) not in _PROGRESSIVE:
            return "its frames are interlaced"
        if not _starts_anew(file, file.index):
            return "its key frames depend on earlier frames"
        return None

    def close(self) -> None:
        self._pyav.close()

    def count(self) -> Counted:
        return self._counted

    def decode_at(
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
        """Raise VideoError unless the library rotated the frame as the file specifies."""
        codec, found = self._pyav.file.codec, (pixels.shape[1], pixels.shape[0])
        expected = self._pyav.orientation.size(codec.width, codec.height)
        if found != expected:
            sizes = f"{found[0]}x{found[1]} instead of {expected[0]}x{expected[1]}"
            raise self._refusal(f"its frame size is {sizes}")

    def _scaled(self, pixels: np.ndarray, short_side: int | None) -> np.ndarray:
        return self._converter.scale(pixels, scaled_size(*self.size, short_side))

    def _refusal(self, reason: str) -> VideoError:
        return VideoError(
            f"{self.path}: {self.decoder} cannot decode this video ({reason}); set decoder: pyav."
        )

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Convert the library's exceptions to a VideoError that says what to do."""
        try:
            yield
        except self.failures as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise self._refusal(reason[:200]) from error


def _starts_anew(file: MediaFile, index: PacketIndex) -> bool:
    """Return whether key frames can be decoded on their own, unlike in H.264 with intra-refresh.

    A small H.264 file is tested by decoding its second key frame; other files are assumed to pass.
    """
    if file.codec.name != "h264" or len(index.keys) < 2 or not file.is_small:
        return True
    key = int(index.keys[1])
    packet = file.packet(key)
    file.forget()
    frames = [*file.decode(packet), *file.decode(None)] if packet is not None else []
    return any(frame and frame.key_frame and frame.pts == index.stamps[key] for frame in frames)
