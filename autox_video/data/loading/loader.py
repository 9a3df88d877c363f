"""Items of a data set in batches, read ahead by worker processes: in order, whatever breaks.

Items are written straight into memory that all processes share (anonymous, so that no limit on
/dev/shm applies).
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
"""A worker that computes on one clip for longer, or does nothing, is taken to hang; the second
where clips are fetched from elsewhere."""

CHANCE = 1e-9
"""Of unreadable clips in a row, below which it is not chance that they are."""

BATCHES_AHEAD = 2
"""That are read while the model computes."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many clips may turn out unreadable before it is the disk's fault, not the clips'."""

    broken: float = math.inf
    """In all."""
    in_a_row: float = math.inf
    """With none between them that could be read."""

    @classmethod
    def of_share(cls, tolerated: float, clips: int) -> "Tolerance":
        """Return that of a share of so many clips; of a share above 0, at least one clip."""
        broken = max(1, math.floor(tolerated * clips)) if tolerated > 0 else 0
        # More than chance would bring in a row, if that share of all clips were unreadable.
        row = math.ceil(math.log(CHANCE) / math.log(tolerated)) if 0 < tolerated < 1 else math.inf
        return cls(min(broken, clips - 1), row)


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
    values: list[Any]
    """What `Readable.read` gives for each."""
    unreadable: list[Unreadable]
    """Clips between and before them that could not be read, each reported once."""


class ClipLoader:
    """Reads a data set in batches, ahead of whoever uses them.

    Args:
        dataset: what to read.
        batch_size: items in a batch, at most.
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
        self.broken: dict[int, str] = {}
        """Why, by position, of every clip that could not be read; they are not tried again."""
        self.tolerance = Tolerance()
        self._in_a_row = 0
        shape = (batch_size * (1 + BATCHES_AHEAD if workers else 1), *dataset.item_shape)
        self._rows = np.frombuffer(mmap.mmap(-1, math.prod(shape)), np.uint8).reshape(shape)
        self._free = deque(range(len(self._rows)))
        self._pool = ReaderPool(dataset, self._rows, workers, time_limit_sec) if workers else None

    def read(
        self, order: Sequence[int], batches: Sequence[Sequence[int]], *, fill: bool = False
    ) -> Iterator[Loaded]:
        """Read the items of each batch; those that cannot be read are missing from it.

        Where more cannot be read than is tolerated, nothing more is tried: the batch at hand is
        the last, with what there is of it.

        Args:
            order: the index to read, by its number in the order.
            batches: such numbers.
            fill: whether another clip of the order stands in for one that cannot be read. Which
                one depends on the number alone, and no other clip of the order is moved by it.
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
                # As far as there is room; without workers, one item.
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
        """Whether more clips could not be read than is tolerated."""
        return len(self.broken) > self.tolerance.broken or self._in_a_row > self.tolerance.in_a_row

    def close(self) -> None:
        """End the workers; the loader can be used again."""
        if self._pool is not None:
            self._pool.close()

    def _start(self, order: Sequence[int], number: int, fill: bool) -> Task | None:
        """Have the item for a number of the order read into a free row, if there is any."""
        clips, candidates = len(self.dataset), [order[number]]
        if fill and not self.gives_up and len(self.broken) < clips:
            # From half an epoch away, so that no clip is twice in a batch.
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
        """Wait for a task; where it failed, remember and report its clip."""
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
