"""A decoder for folders with one image per frame, such as img_00001.jpg."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from autox_video.core.errors import VideoError
from autox_video.video.container.orientation import EXIF, UPRIGHT, Orientation
from autox_video.video.container.packet_count import Counted
from autox_video.video.container.timeline import Timeline
from autox_video.video.decoders.frame_rgb import RgbConverter, scaled_size
from autox_video.video.files.file_kinds import why_no_video
from autox_video.video.files.video_file import PICTURE_NAME
from autox_video.video.video import Video

FRAME_FOLDER_FPS = 30.0
"""Frame rate assumed for frame folders."""

# Folders of extracted frames may also contain optical flow, such as flow_x_00001.jpg.
_PREFIXES_OF_FRAMES = ("img", "image", "frame")

_END_OF_PICTURE = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND"}
_LOOK_FOR_EXIF_BYTES = 65536
_EXIF_ORIENTATION = 0x112
_LOOK_FOR_END_BYTES = 4096  # some programs append data after the end of the image


class FrameFolder(Video):
    """An open clip stored as a folder of images.

    Images are ordered by the number at the end of their names and shown at `FRAME_FOLDER_FPS`,
    regardless of gaps in the numbers. All images are rotated upright and scaled to the size of the
    first image.

    Raises:
        VideoError: the folder cannot be read, or does not contain exactly one series of images.
    """

    decoder = "pictures"
    fps = FRAME_FOLDER_FPS

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = self._frame_names()
        self._converter = RgbConverter()
        self._size: tuple[int, int] | None = None
        self.num_frames = len(self._names)
        self.seconds = self.num_frames / self.fps
        self.codec = Path(self._names[0]).suffix.lower().removeprefix(".")

    @property
    def size(self) -> tuple[int, int]:
        if self._size is None:
            frame, orientation = self._frame(0)
            self._size = orientation.size(frame.width, frame.height)
        return self._size

    def count(self) -> Counted:
        starts = np.arange(self.num_frames) / self.fps
        timeline = Timeline(np.arange(self.num_frames), starts, self.seconds)
        return Counted(timeline, None, float(starts[-1]), blank_end=False)

    def decode_at(
        self, wanted: np.ndarray, short_side: int | None
    ) -> Iterator[tuple[Sequence[int], np.ndarray]]:
        shown = np.minimum((wanted * self.fps).astype(np.int64), self.num_frames - 1)
        size = scaled_size(*self.size, short_side)
        for number in np.unique(shown):
            frame, orientation = self._frame(int(number))
            pixels = self._converter.convert(frame, orientation.size(*size), orientation)
            yield np.flatnonzero(shown == number), pixels

    def _frame_names(self) -> list[str]:
        """Return the names of the images, sorted by number."""
        kinds: dict[str, list[tuple[int, str]]] = {}
        try:
            names = sorted(entry.name for entry in self.path.iterdir())
        except OSError as error:
            raise VideoError(
                f"{self.path}: the folder cannot be read ({error.strerror})."
            ) from error
        for name in names:
            match = PICTURE_NAME.fullmatch(name)
            if match:
                kind = f"{match['prefix']}*{match['suffix']}"
                kinds.setdefault(kind, []).append((int(match["number"]), name))
        if len(kinds) > 1:
            frames = [kind for kind in kinds if kind.lower().startswith(_PREFIXES_OF_FRAMES)]
            kinds = {kind: kinds[kind] for kind in frames} or kinds
        if len(kinds) != 1:
            found = ", ".join(sorted(kinds)[:4]) or "none"
            raise VideoError(
                f"{self.path}: a frame folder must contain one series of images, not {found}."
            )
        return [name for _, name in sorted(*kinds.values())]

    def _frame(self, number: int) -> tuple[av.VideoFrame, Orientation]:
        """Return an image and its orientation."""
        name = self._names[number]
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise self._error(name, error.strerror or str(error)) from error
        end = _END_OF_PICTURE.get(Path(name).suffix.lower())
        if end is not None and end not in data[-_LOOK_FOR_END_BYTES:]:
            raise self._error(name, self._why_damaged(name))
        try:
            # Read from memory because FFmpeg treats a file name with % as a pattern.
            with av.open(io.BytesIO(data), options={"err_detect": "explode"}) as container:
                container.streams.video[0].codec_context.thread_count = 1
                return next(container.decode(video=0)), _exif_orientation(data)
        except (av.error.FFmpegError, StopIteration, IndexError) as error:
            raise self._error(name, self._why_damaged(name)) from error

    def _why_damaged(self, name: str) -> str:
        what = why_no_video(self.path / name)
        return "it is cut off or damaged" if what is None or "image" in what else what

    def _error(self, name: str, reason: str) -> VideoError:
        return VideoError(f"{self.path}: the image {name} cannot be read ({reason}).")


def _exif_orientation(data: bytes) -> Orientation:
    """Return the orientation of an image according to its Exif data."""
    if b"Exif" not in data[:_LOOK_FOR_EXIF_BYTES] and b"eXIf" not in data[:_LOOK_FOR_EXIF_BYTES]:
        return UPRIGHT
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return EXIF.get(image.getexif().get(_EXIF_ORIENTATION), UPRIGHT)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return UPRIGHT  # the image itself could be decoded
