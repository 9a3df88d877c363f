"""Predict all windows of videos, decoding ahead while the model computes.

Videos are read by worker processes, and the windows of several videos share batches. A worker that
crashes loses one chunk of frames, not the video.

Shape letters: N windows, K classes, T frames, S side of a frame in pixels.
"""

import math
import mmap
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from autox_video.data.loading.loader import FETCH_LIMIT_SEC, TIME_LIMIT_SEC
from autox_video.data.loading.reader_pool import ReaderPool, Task, read_in_process
from autox_video.evaluation.loading import Loading
from autox_video.prediction.grid_reader import CHUNKS, Chunk, GridReader
from autox_video.prediction.window_scorer import WindowScorer
from autox_video.video.files.remote import is_remote

CHUNKS_AHEAD = 4
"""Number of chunks that each worker reads ahead."""
OPEN_PER_WORKER = 2
"""Number of videos per worker that are in progress at the same time."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """The outputs of a model for all windows of a video."""

    row: int
    """Position of the video in the table."""
    seconds: float | None
    """Length of the video; None if it cannot be opened."""
    begin_sec: float
    """Presentation time of the start of the video in seconds."""
    starts: np.ndarray
    """Start (N,) of each window, as a presentation time in seconds."""
    outputs: np.ndarray
    """Outputs (N, K) of the model."""
    error: str | None
    """The first error, if a part of the video cannot be read."""


@dataclass(slots=True, eq=False)
class _Video:
    """A video in progress."""

    row: int
    worker: int
    tasks: deque[Task] = field(default_factory=deque)
    """Chunks that are being read, in order."""
    asked: int = 0
    """Number of chunks that were asked for."""
    chunks: int = 1
    """Number of chunks, as far as known."""
    seconds: float | None = None
    begin_sec: float = 0.0
    starts: np.ndarray | None = None
    """First frame of each window."""
    next_window: int = 0
    frames: np.ndarray | None = None
    """The last frames that were read, encoded, which windows to come may need."""
    first: int = 0
    """Number of the first of `frames` in the video."""
    waiting: int = 0
    """Number of windows that are not scored yet."""
    scored: dict[int, np.ndarray] = field(default_factory=dict)
    """Output (K,) of each window, by its first frame."""
    error: str | None = None

    @property
    def share_read(self) -> float:
        return (self.asked - len(self.tasks)) / self.chunks

    @property
    def is_read(self) -> bool:
        return self.asked == self.chunks and not self.tasks


class Scan:
    """Iterates over videos, in the order in which they are done.

    Args:
        reader: the videos and the windows to predict.
        scorer: the model.
        loading: `batch_size` is the number of windows per batch.
    """

    def __init__(self, reader: GridReader, scorer: WindowScorer, loading: Loading) -> None:
        self.reader, self.scorer = reader, scorer
        self.batch_size = loading.batch_size
        self.on_done: Callable[[float], None] | None = None
        """Called with the number of videos done so far, counting those in progress by fractions."""
        self.workers = loading.workers
        rows = max(loading.workers, 1) * CHUNKS_AHEAD
        shape = (rows, *reader.item_shape)
        self._rows = np.frombuffer(mmap.mmap(-1, math.prod(shape)), np.uint8).reshape(shape)
        self._free = deque(range(rows))
        self._pool = self._new_pool() if loading.workers else None
        self._to_come = deque(range(len(reader)))
        self._open: list[_Video] = []
        self._batch: list[tuple[_Video, int, np.ndarray]] = []

    def _new_pool(self) -> ReaderPool:
        places = (self.reader.data_root, *self.reader.clips.paths)
        limit = FETCH_LIMIT_SEC if any(map(is_remote, places)) else TIME_LIMIT_SEC
        return ReaderPool(self.reader, self._rows, self.workers, limit)

    def __iter__(self) -> Iterator[Scanned]:
        try:
            while self._open or self._to_come:
                self._ask()
                self._wait()
                for video in self._open:
                    self._take(video)
                self._tell()
                if all(video.is_read for video in self._open) and not self._to_come:
                    self._score(len(self._batch))
                yield from self._done()
        finally:
            self.close()

    def close(self) -> None:
        """Stop the workers, and close open files."""
        if self._pool is not None:
            self._pool.close()
        self.reader.close()

    def _tell(self) -> None:
        if self.on_done is not None:
            done = len(self.reader) - len(self._to_come) - len(self._open)
            self.on_done(done + sum(video.share_read for video in self._open))

    # ---- reading ----

    def _ask(self) -> None:
        """Ask for more chunks, of the videos that were begun first."""
        most = OPEN_PER_WORKER * max(self.workers, 1)
        while self._to_come and sum(not video.is_read for video in self._open) < most:
            self._open.append(_Video(self._to_come.popleft(), self._idlest()))
        for video in self._open:
            while self._free and video.asked < video.chunks:
                index = video.row * CHUNKS + video.asked
                task = Task(index, self._free.popleft(), worker=video.worker)
                video.asked += 1
                video.tasks.append(task)
                if self._pool is not None:
                    self._pool.submit(task)

    def _idlest(self) -> int:
        """Return the number of the worker that reads the fewest videos."""
        busy = [video.worker for video in self._open if not video.is_read]
        return min(range(max(self.workers, 1)), key=busy.count)

    def _wait(self) -> None:
        """Wait until a chunk is ready, unless nothing is being read."""
        firsts = [video.tasks[0] for video in self._open if video.tasks]
        if self._pool is None and firsts:
            task = firsts[0]
            row = self._rows[task.row]
            task.value, task.error = read_in_process(self.reader, task.index, row)
            task.done = True
        while firsts and not any(task.done for task in firsts):
            self._pool.attend()

    def _take(self, video: _Video) -> None:
        """Form windows from the chunks that are ready, and score full batches."""
        while video.tasks and video.tasks[0].done:
            task = video.tasks.popleft()
            self._add(video, task)
            self._free.append(task.row)
            while len(self._batch) >= self.batch_size:
                self._score(self.batch_size)

    def _add(self, video: _Video, task: Task) -> None:
        grid, chunk = self.reader.grid, task.value
        number = task.index % CHUNKS
        if chunk is None:
            chunk = Chunk(video.seconds or 0.0, video.begin_sec, 0, task.error)
        video.error = video.error or chunk.error
        if video.seconds is None and task.value is not None:
            video.seconds, video.begin_sec = chunk.seconds, chunk.begin_sec
            video.chunks = grid.chunks_in(chunk.seconds)
            video.starts = grid.window_starts(chunk.seconds)
        if not chunk.frames:
            return
        new = self.scorer.encode(self._rows[task.row, : chunk.frames])
        first = number * grid.chunk_frames
        if video.frames is not None and video.first + len(video.frames) == first:
            video.frames = np.concatenate([video.frames, new])
        else:  # the first frames, or those after a gap
            video.frames, video.first = new, first
        self._form_windows(video)

    def _form_windows(self, video: _Video) -> None:
        length, end = self.reader.grid.clip_len, video.first + len(video.frames)
        while video.next_window < len(video.starts):
            start = int(video.starts[video.next_window])
            if start + length > end:
                break
            video.next_window += 1
            if start >= video.first:
                place = start - video.first
                self._batch.append((video, start, video.frames[place : place + length]))
                video.waiting += 1
        needed = video.starts[video.next_window] if video.next_window < len(video.starts) else end
        unneeded = min(max(int(needed) - video.first, 0), len(video.frames))
        video.frames, video.first = video.frames[unneeded:], video.first + unneeded

    # ---- scoring ----

    def _score(self, count: int) -> None:
        """Score the first `count` waiting windows."""
        batch, self._batch = self._batch[:count], self._batch[count:]
        if not batch:
            return
        outputs = self.scorer.score(np.stack([frames for _, _, frames in batch]))
        for output, (video, start, _) in zip(outputs, batch, strict=True):
            video.scored[start] = output
            video.waiting -= 1

    def _done(self) -> Iterator[Scanned]:
        done = [video for video in self._open if video.is_read and not video.waiting]
        self._open = [video for video in self._open if video not in done]
        for video in done:
            starts = sorted(video.scored)
            outputs = np.array([video.scored[start] for start in starts])
            times = video.begin_sec + np.array(starts) * self.reader.grid.frame_interval_sec
            yield Scanned(*(video.row, video.seconds, video.begin_sec), times, outputs, video.error)


def nearest(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the index of the value that is nearest to each wanted one; `values` are sorted."""
    after = np.minimum(np.searchsorted(values, wanted), len(values) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(wanted - values[before] <= values[after] - wanted, before, after)
