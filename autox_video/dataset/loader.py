"""Items of a data set in batches, read ahead by worker processes: in order, whatever breaks.

Items are written straight into memory that all processes share (anonymous, so that no limit on
/dev/shm applies).
"""

import math
import mmap
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice

import numpy as np

from autox_video.dataset.reader_pool import Readable, ReaderPool, Task, read_here

TIME_LIMIT_SEC = 60.0
"""A worker that reads one clip for longer is taken to hang."""

BATCHES_AHEAD = 2
"""That are read while the model computes."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A clip that could not be read."""

    position: int
    """Its place in the list."""
    video: str
    """The path as listed."""
    error: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Items in order. `items` belongs to the loader: it changes when the next are asked for."""

    indices: list[int]
    items: np.ndarray
    """(len(indices), *item_shape) uint8."""
    unreadable: list[Unreadable]
    """Clips between and before them that could not be read, each reported once."""
    taken: int
    """How many places of the order have been used up to here."""


class ClipLoader:
    """Reads a data set in batches, ahead of whoever uses them.

    Args:
        dataset: what to read.
        batch_size: items in a batch.
        workers: processes that read; 0: this one.
        time_limit_sec: after which a worker is taken to hang.
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
        self.batch_size = batch_size
        self.broken: dict[int, str] = {}
        """Why, by position, of every clip that could not be read; they are not tried again."""
        rows = batch_size * (1 + BATCHES_AHEAD if workers else 1)
        self._rows = _shared_rows(rows, dataset.item_shape)
        self._pool = ReaderPool(dataset, self._rows, workers, time_limit_sec) if workers else None

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return math.ceil(len(self.dataset) / self.batch_size)

    def read(
        self, order: Sequence[int], *, skip: int = 0, done: int = 0, fill: bool = False
    ) -> Iterator[Loaded]:
        """Read the indices of `order` in batches; the last may be smaller.

        Args:
            order: what to read, in this order.
            skip: so many places of the order are left out, as they were used before a stop.
            done: so many batches were had before that stop.
            fill: where clips cannot be read, go on at the start of the order until there are as
                many items as places; otherwise there are fewer.
        """
        places = chain(order, cycle(order) if fill and len(order) else ())
        remaining = iter(enumerate(islice(places, skip, None), start=skip + 1))
        wanted = max(0, len(order) - (done * self.batch_size if fill else skip))
        return self._batches(remaining, wanted)

    def close(self) -> None:
        """End the workers; the loader can be used again."""
        if self._pool is not None:
            self._pool.close()

    def _batches(self, remaining: Iterator[tuple[int, int]], wanted: int) -> Iterator[Loaded]:
        if self._pool is not None:
            self._pool.forget()
        free = deque(range(len(self._rows)))
        waiting: deque[tuple[int, Task]] = deque()
        in_order = _Places(remaining, self.broken, len(self.dataset))
        while wanted > 0:
            batch: list[Task] = []
            unreadable: list[Unreadable] = []
            while len(batch) < min(self.batch_size, wanted):
                self._submit(in_order, waiting, free, wanted - len(batch))
                if not waiting:
                    wanted = len(batch)
                    break
                taken, task = waiting.popleft()
                self._finish(task)
                if task.error is None:
                    batch.append(task)
                    continue
                free.append(task.row)
                unreadable += self._note(task)
            if not batch and not unreadable:
                return
            rows = [task.row for task in batch]
            yield Loaded([task.index for task in batch], self._gather(rows), unreadable, taken)
            free.extend(rows)
            wanted -= len(batch)

    def _submit(
        self,
        in_order: "_Places",
        waiting: deque[tuple[int, Task]],
        free: deque[int],
        wanted: int,
    ) -> None:
        while free and len(waiting) < wanted:
            place = in_order.next()
            if place is None:
                return
            taken, index = place
            task = Task(index, free.popleft())
            waiting.append((taken, task))
            if self._pool is not None:
                self._pool.submit(task)

    def _finish(self, task: Task) -> None:
        if self._pool is None:
            task.error = read_here(self.dataset, task.index, self._rows[task.row])
            return
        while not task.done:
            self._pool.attend()

    def _note(self, task: Task) -> list[Unreadable]:
        position = task.index % len(self.dataset)
        if position in self.broken:
            return []
        self.broken[position] = task.error
        return [Unreadable(position, self.dataset.name(task.index), task.error)]

    def _gather(self, rows: list[int]) -> np.ndarray:
        if not rows:
            return self._rows[:0]
        if rows == list(range(rows[0], rows[0] + len(rows))):
            return self._rows[rows[0] : rows[0] + len(rows)]
        return self._rows[rows]


class _Places:
    """The places of an order, but those of clips that are known to be unreadable."""

    def __init__(
        self, remaining: Iterator[tuple[int, int]], broken: dict[int, str], clips: int
    ) -> None:
        self.remaining = remaining
        self.broken = broken
        self.clips = clips

    def next(self) -> tuple[int, int] | None:
        """Give how many places are used with the next one, and its index; None at the end."""
        if len(self.broken) >= self.clips:
            return None
        for taken, index in self.remaining:
            if index % self.clips not in self.broken:
                return taken, index
        return None


def _shared_rows(rows: int, item_shape: Iterable[int]) -> np.ndarray:
    shape = (rows, *item_shape)
    return np.frombuffer(mmap.mmap(-1, math.prod(shape)), dtype=np.uint8).reshape(shape)
