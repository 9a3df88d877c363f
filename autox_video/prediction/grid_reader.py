"""Read the frames of whole videos in order, each frame decoded once, in chunks.

The frames of a video lie on a grid, one in the middle of each slot of `frame_interval_sec` seconds,
as in training, so that every window of a video is a range of this grid.

Shape letters: T frames, S side of a frame in pixels.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from autox_video.core.errors import VideoError
from autox_video.data.clip_table import WHOLE_VIDEO, ClipTable
from autox_video.data.loading.transforms import CropClips, decoded_side, extent
from autox_video.video.container.timeline import TIME_TOLERANCE_SEC
from autox_video.video.files.remote import join
from autox_video.video.files.remote_cache import local_path
from autox_video.video.open_video import open_video
from autox_video.video.sampling import test_times
from autox_video.video.video import Video

CHUNKS = 1 << 32
"""Upper bound on the number of chunks in a video."""
LEAST_FRAMES = 32
"""Minimum number of frames in a chunk."""
_ALMOST = 1e-6  # slots by which a video may be too short for its last frame, due to rounding


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a video that was read."""

    seconds: float
    """Length of the video in seconds."""
    begin_sec: float
    """Presentation time of the start of the video; above 0 for a segment or late first frame."""
    frames: int
    """Number of frames read; fewer than the chunk has if there is an error."""
    error: str | None = None
    """Why the rest of the chunk cannot be read; None if all of it was read."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The frames that are read from a video, and the windows on them."""

    clip_len: int
    """Frames per window."""
    frame_interval_sec: float
    """Seconds between frames."""
    step: int
    """Frames between the starts of two windows."""

    @property
    def span_sec(self) -> float:
        """Length of a window in seconds."""
        return self.clip_len * self.frame_interval_sec

    @property
    def chunk_frames(self) -> int:
        """Number of frames in a chunk."""
        return max(self.clip_len, LEAST_FRAMES)

    def frames_in(self, seconds: float) -> int:
        """Return the number of frames in a video of this length; at least those of one window."""
        slots = math.floor(seconds / self.frame_interval_sec + 0.5 + _ALMOST)
        return max(slots, self.clip_len)

    def chunks_in(self, seconds: float) -> int:
        """Return the number of chunks in a video of this length."""
        return math.ceil(self.frames_in(seconds) / self.chunk_frames)

    def window_starts(self, seconds: float) -> np.ndarray:
        """Return the first frame (N,) of each window; the last window ends with the video."""
        last = self.frames_in(seconds) - self.clip_len
        starts = np.arange(0, last + 1, self.step)
        return starts if starts[-1] == last else np.append(starts, last)

    def times(self, seconds: float) -> np.ndarray:
        """Return the time of each frame in seconds; a video shorter than a window is looped."""
        frames = self.frames_in(seconds)
        if frames == self.clip_len:
            return test_times(seconds, self.clip_len, self.frame_interval_sec, num_clips=1)[0]
        times = (np.arange(frames) + 0.5) * self.frame_interval_sec
        return np.minimum(times, np.nextafter(seconds, 0.0))


@dataclass(eq=False)
class GridReader:
    """Reads chunks of videos; consecutive chunks of a video continue where the last one ended.

    An index is `video * CHUNKS + chunk`.
    """

    clips: ClipTable
    """The videos, or segments of them."""
    data_root: str
    grid: Grid
    side: int
    """Side of the frames, in px."""
    decoder: str = "auto"
    remote_cache: str = "auto"
    threads: int = 1
    """Number of decoding threads."""
    _open: "_Opened | None" = field(default=None, init=False)

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of a chunk: frames, height, width, 3."""
        return self.grid.chunk_frames, self.side, self.side, 3

    def __len__(self) -> int:
        return len(self.clips)

    def name(self, index: int) -> str:
        """Return the path of a video as listed."""
        return self.clips.paths[index // CHUNKS]

    def read(self, index: int, out: np.ndarray) -> Chunk:
        """Write the frames of a chunk into `out`, (T, S, S, 3) uint8.

        Raises:
            VideoError: the video cannot be opened.
        """
        row, chunk = divmod(index, CHUNKS)
        opened = self._open
        if opened is None or (opened.row, opened.next_chunk) != (row, chunk):
            self.close()
            opened = self._open = self._opened(row, chunk)
        frames: list[np.ndarray] = []
        error = None
        try:
            for frame in islice(opened.frames, len(out)):
                frames.append(frame)
        except VideoError as problem:
            error = str(problem)
        if frames:
            views = {"imgs": frames, "clip_len": len(frames), "out": out[None, : len(frames)]}
            CropClips(self.side, "centre").transform(views)
        opened.next_chunk += 1
        if error or chunk + 1 == self.grid.chunks_in(opened.seconds):
            self.close()
        return Chunk(opened.seconds, opened.begin_sec, len(frames), error)

    def close(self) -> None:
        """Close the open video, if any."""
        if self._open is not None:
            self._open.video.close()
            self._open = None

    def open(self, row: int) -> Video:
        """Open a video; raise VideoError if this is not possible."""
        path = local_path(join(self.data_root, self.clips.paths[row]), self.remote_cache)
        return open_video(path, self.decoder)

    def _opened(self, row: int, chunk: int) -> "_Opened":
        video = self.open(row)
        try:
            video.count()  # the length in the header may be wrong
            part = self.clips.segment(row)
            start, seconds = extent(video, None if part == WHOLE_VIDEO else part)
            times = start + self.grid.times(seconds)[chunk * self.grid.chunk_frames :]
            frames = _frames_at(video, times, self.side, self.threads)
            return _Opened(row, video, seconds, video.start_sec + start, frames, chunk)
        except BaseException:
            video.close()
            raise


@dataclass(eq=False)
class ArrayReader(GridReader):
    """Reads chunks of a video that is in memory."""

    video: Video | None = None

    def open(self, row: int) -> Video:
        return self.video


@dataclass(slots=True, eq=False)
class _Opened:
    """A video that is being read."""

    row: int
    video: Video
    seconds: float
    begin_sec: float
    frames: Iterator[np.ndarray]
    next_chunk: int


def _frames_at(video: Video, times: np.ndarray, side: int, threads: int) -> Iterator[np.ndarray]:
    """Yield the frame at each time; the times of a looped video may decrease."""
    short_side = decoded_side(video, side)
    if (np.diff(times) < 0).any():
        yield from video.frames_at(times, short_side)
        return
    wanted = np.maximum(times, 0) + TIME_TOLERANCE_SEC
    for places, pixels in video.decode_through(wanted, short_side, threads):
        for _ in places:
            yield pixels
