"""Read the items of a data set in order and in batches, using workers that read ahead.

Items are written directly into memory shared by all processes. The memory is anonymous, so the size
limit of /dev/shm does not apply.
"""

import math
import mmap
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from autox_video.data.loading.reader_pool import Readable, ReaderPool, Task, read_in_process

TIME_LIMIT_SEC, FETCH_LIMIT_SEC = 60.0, 600.0
"""A worker that spends more than this many seconds computing on one clip, or waiting for it without
progress, is considered hung; the second limit is for remote clips."""

CHANCE = 1e-9
"""A run of unreadable clips is not attributed to chance if it is less likely than this."""

BATCHES_AHEAD = 2
"""Number of batches read ahead while the model computes."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many clips may be unreadable before the disk, not the clips, is considered faulty."""

    broken: float = math.inf
    """Maximum number of unreadable clips."""
    in_a_row: float = math.inf
    """Maximum number of consecutive unreadable clips."""

    @classmethod
    def of_share(cls, tolerated: float, clips: int) -> "Tolerance":
        """Return the limits for a tolerated share; a share above 0 allows at least one clip."""
        broken = max(1, math.floor(tolerated * clips)) if tolerated > 0 else 0
        # The longest run that chance explains if this share of all clips is unreadable.
        row = math.ceil(math.log(CHANCE) / math.log(tolerated)) if 0 < tolerated < 1 else math.inf
        return cls(min(broken, clips - 1), row)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A clip that could not be read."""

    position: int
    """Position of the clip in the list."""
    video: str
    """Path of the clip as listed."""
    error: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """The items of a batch, in order; the loader reuses `items` for the next batch."""

    indices: list[int]
    items: np.ndarray
    """Array (len(indices), *item_shape) uint8."""
    values: list[Any]
    """The return value of `Readable.read` for each item."""
    unreadable: list[Unreadable]
    """Unreadable clips found while the items were read, each reported once."""


class ClipLoader:
    """Reads the items of a data set in batches, ahead of time.

    Args:
        dataset: the data set to read.
        batch_size: maximum number of items per batch.
        workers: number of worker processes that read the items; 0: read in this process.
        time_limit_sec: time after which a worker is considered hung.
    """

    def __init__(
        self,
        dataset: Readable,
        *,
        batch_size: int,
        workers: int,
        time_limit_sec: float = TIME_LIMIT_SEC,
    ) -> None:
        self.dataset = dataset
        self.broken: dict[int, str] = {}
        """The error for each unreadable clip, by position; these clips are not tried again."""
        self.tolerance = Tolerance()
        self._in_a_row = 0
        shape = (batch_size * (1 + BATCHES_AHEAD if workers else 1), *dataset.item_shape)
        self._rows = np.frombuffer(mmap.mmap(-1, math.prod(shape)), np.uint8).reshape(shape)
        self._free = deque(range(len(self._rows)))
        self._pool = ReaderPool(dataset, self._rows, workers, time_limit_sec) if workers else None

    def read(
        self, order: Sequence[int], batches: Sequence[Sequence[int]], *, fill: bool = False
    ) -> Iterator[Loaded]:
        """Yield the items of each batch, without unreadable items.

        If more clips than tolerated are unreadable, reading stops: the current batch is the last
        one and may be incomplete.

        Args:
            order: the indices to read, in order.
            batches: for each batch, the positions of its items in `order`.
            fill: whether to replace each unreadable clip with another clip from `order`. The choice
                of replacement depends only on the position, and all other clips keep their
                positions.
        """
        if self._pool is not None:
            self._pool.forget()
        self._free = deque(range(len(self._rows)))
        to_come = chain.from_iterable(batches)
        waiting: deque[tuple[int, Task | None]] = deque()
        for batch in batches:
            done: list[Task] = []
            unreadable: list[Unreadable] = []
            for _ in batch:
                # Start as many items as there are free rows, or only one without workers.
                while self._free and not (waiting and self._pool is None):
                    if (number := next(to_come, None)) is None:
                        break
                    waiting.append((number, self._start(order, number, fill)))
                number, task = waiting.popleft()
                while task is not None and not self._succeeds(task, unreadable):
                    self._free.appendleft(task.row)
                    task = self._start(order, number, fill)
                if task is not None:
                    done.append(task)
                if self.gives_up:
                    break
            rows = [task.row for task in done]
            indices, values = [task.index for task in done], [task.value for task in done]
            yield Loaded(indices, self._gather(rows), values, unreadable)
            if self.gives_up:
                return
            self._free.extend(rows)

    @property
    def gives_up(self) -> bool:
        """Whether more clips than tolerated are unreadable."""
        return len(self.broken) > self.tolerance.broken or self._in_a_row > self.tolerance.in_a_row

    def close(self) -> None:
        """Stop the workers; the loader can be used again."""
        if self._pool is not None:
            self._pool.close()

    def _start(self, order: Sequence[int], number: int, fill: bool) -> Task | None:
        """Start reading an item of `order` into a free row; return None if no clip is left."""
        clips, candidates = len(self.dataset), [order[number]]
        if fill and not self.gives_up and len(self.broken) < clips:
            # Replacements come from half an epoch away, so that no clip occurs twice in a batch.
            far = number + len(order) // 2
            candidates = chain(
                candidates, (order[(far + step) % len(order)] for step in range(len(order)))
            )
        index = next((index for index in candidates if index % clips not in self.broken), None)
        if index is None:
            return None
        task = Task(index, self._free.popleft())
        if self._pool is not None:
            self._pool.submit(task)
        return task

    def _succeeds(self, task: Task, unreadable: list[Unreadable]) -> bool:
        """Wait for a task and return whether it succeeded; record and report a clip that failed."""
        if self._pool is None:
            task.value, task.error = read_in_process(self.dataset, task.index, self._rows[task.row])
        while self._pool is not None and not task.done:
            self._pool.attend()
        position = task.index % len(self.dataset)
        if task.error is None:
            self._in_a_row = 0
        elif position not in self.broken:
            self.broken[position] = task.error
            self._in_a_row += 1
            unreadable.append(Unreadable(position, self.dataset.name(task.index), task.error))
        return task.error is None

    def _gather(self, rows: list[int]) -> np.ndarray:
        first = rows[0] if rows else 0
        if rows == list(range(first, first + len(rows))):
            return self._rows[first : first + len(rows)]
        return self._rows[rows]
