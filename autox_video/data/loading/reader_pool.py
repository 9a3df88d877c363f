"""Worker processes that read clips, isolated so that a crash or hang affects only one clip.

Each worker has its own pipe and shares no locks; large data goes through shared memory. A worker
that has died is replaced, and the new worker tries to read the current clip once more.

Time limits apply to a worker's CPU time, and to the time during which a worker neither computes nor
reads. Both timers stop while the machine is paused, so neither a pause nor a slow disk makes a clip
count as unreadable.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
import traceback
import warnings
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from autox_video.core.errors import AutoXVideoError, VideoError

_TASKS_AHEAD = 256  # per worker: few enough to fit into its pipe
_LOOK_EVERY_SEC = 1.0  # how often to check for hung workers
_TRIES = 2  # for a clip on which a worker died or hung, as the cause may lie elsewhere
_PR_SET_PDEATHSIG = 1


class Readable(Protocol):
    """A data set that a loader can read; `len` is the number of clips."""

    item_shape: tuple[int, ...]
    """Shape of one uint8 item."""

    def __len__(self) -> int: ...

    def read(self, index: int, out: np.ndarray) -> Any:
        """Write the item at `index` (epoch * len + position) into `out`; raises VideoError.

        The return value is passed on with the item.
        """

    def name(self, index: int) -> str:
        """Return the clip's name for messages."""


@dataclass(slots=True, eq=False)
class Task:
    """The task of reading an item into a row of the pool; `error` says why reading failed."""

    index: int
    row: int
    done: bool = False
    value: Any = None
    error: str | None = None
    deaths: int = 0
    worker: int | None = None
    """Number of the worker that reads the item; None for any worker."""


def read_in_process(dataset: Readable, index: int, out: np.ndarray) -> tuple[Any, str | None]:
    """Read an item in this process; return the value of `read`, and the error if reading fails."""
    try:
        return dataset.read(index, out), None
    except VideoError as error:
        return None, str(error)
    except MemoryError:
        return None, f"{dataset.name(index)}: not enough memory to read the clip."


@dataclass(slots=True, eq=False)
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    tasks: deque[Task] = field(default_factory=deque)
    """Unanswered tasks, in order of submission; the worker is working on the first one."""
    answers: int = 0
    doing: Any = None
    doing_since: float = 0.0
    """Time on the pool's clock when `doing` (the worker's progress) last changed."""


@dataclass(eq=False)
class ReaderPool:
    """A pool of worker processes; a task goes to its worker or the one with the fewest tasks."""

    dataset: Readable
    rows: np.ndarray
    """Shared memory for the items, one row per item."""
    count: int
    """Number of workers."""
    time_limit_sec: float
    """Limit on a worker's CPU time per item, and also on its time without progress."""
    waited_sec: float = 0.0
    """Time spent waiting for answers; used as a clock that stops while the machine is paused."""
    looked_at: float = 0.0
    workers: list[_Worker] = field(default_factory=list)
    queue: deque[Task] = field(default_factory=deque)

    def submit(self, task: Task) -> None:
        """Queue a task."""
        while len(self.workers) < self.count:
            self.workers.append(self._start())
        self.queue.append(task)
        self._hand_out()

    def attend(self) -> None:
        """Process the available answers; wait briefly if there are none."""
        worker_of = {worker.pipe: worker for worker in self.workers}
        began = time.monotonic()
        pipes = wait(list(worker_of), _LOOK_EVERY_SEC)
        # Do not count time during which the container or process was suspended.
        self.waited_sec += min(time.monotonic() - began, 2 * _LOOK_EVERY_SEC)
        for pipe in pipes:
            try:
                value, error, defect = pipe.recv()
            except (EOFError, OSError):
                self._replace(worker_of[pipe])
                continue
            if defect is not None:
                raise defect
            worker_of[pipe].answers += 1
            task = worker_of[pipe].tasks.popleft()
            task.done, task.value, task.error = True, value, error
        if self.waited_sec - self.looked_at >= _LOOK_EVERY_SEC:
            self.looked_at = self.waited_sec
            self._replace_hanging()
        self._hand_out()

    def forget(self) -> None:
        """Drop the tasks of an abandoned pass, so that its rows can be reused."""
        self.queue.clear()
        while any(worker.tasks for worker in self.workers):
            self.attend()

    def close(self) -> None:
        """Stop the workers."""
        for worker in self.workers:
            _end(worker)
        self.workers.clear()
        self.queue.clear()

    def _hand_out(self) -> None:
        while self.queue:
            number = self.queue[0].worker
            if number is None:
                worker = min(self.workers, key=lambda worker: len(worker.tasks))
            else:
                worker = self.workers[number]
            if len(worker.tasks) >= _TASKS_AHEAD:
                return
            task = self.queue.popleft()
            worker.tasks.append(task)
            # The death of a worker is noticed later, while the pool waits for its answer.
            with contextlib.suppress(OSError):
                worker.pipe.send((task.index, task.row))

    def _replace_hanging(self) -> None:
        for worker in list(self.workers):
            doing = worker.answers, _progress(worker.process.pid)
            if not worker.tasks or doing != worker.doing:
                worker.doing, worker.doing_since = doing, self.waited_sec
            elif self.waited_sec - worker.doing_since > self.time_limit_sec:
                self._replace(
                    worker,
                    f"reading it made no progress for {self.time_limit_sec:g} s, twice: the disk "
                    "does not respond or the decoder hangs",
                )

    def _replace(self, worker: _Worker, reason: str | None = None) -> None:
        """Replace a worker that has died or, if `reason` is given, must be killed."""
        _end(worker)
        if worker.tasks:
            task, code = worker.tasks[0], worker.process.exitcode or 0
            task.deaths += 1
            if task.deaths >= _TRIES or code == -signal.SIGPROF:
                reason = reason or _why_it_died(code)
                task.done, task.error = True, f"{self.dataset.name(task.index)}: {reason}."
                worker.tasks.popleft()
            self.queue.extendleft(reversed(worker.tasks))
        self.workers[self.workers.index(worker)] = self._start()

    def _start(self) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=_work, args=(self, theirs, os.getpid()), daemon=True
        )
        with warnings.catch_warnings():
            # The child uses neither our threads nor the locks that they may hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        theirs.close()
        return _Worker(process, ours)


def _end(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def _why_it_died(code: int) -> str:
    if code == -signal.SIGPROF:
        return "the decoder hangs on it (CPU time limit exceeded)"
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the decoder crashed on it twice ({how})"


def _progress(pid: int) -> object:
    """Return a value that changes while a process works or is paused; None if it cannot be read."""
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    bytes_read = ""
    with contextlib.suppress(OSError):  # requires permission
        bytes_read = Path(f"/proc/{pid}/io").read_text().partition("\n")[0]
    return object() if state in ("T", "t") else (*numbers[10:12], bytes_read)


# ---- the worker's side ----


def _work(pool: ReaderPool, pipe: Connection, parent: int) -> None:
    """Answer each task (index, row) with (value, read error, fatal error); an error may be None."""
    _stand_alone(parent)
    while True:
        try:
            index, row = pipe.recv()
        except EOFError:
            os._exit(0)
        # The signal kills this process wherever it is stuck.
        signal.setitimer(signal.ITIMER_PROF, pool.time_limit_sec)
        value = error = defect = None
        try:
            value, error = read_in_process(pool.dataset, index, pool.rows[row])
        except AutoXVideoError as problem:  # would affect other clips, too
            defect = problem
        except BaseException:  # noqa: BLE001 (the parent raises it)
            defect = RuntimeError(f"A data worker failed:\n{traceback.format_exc()}")
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send((value, error, defect))


def _stand_alone(parent: int) -> None:
    """Ignore terminal signals, exit with the parent, and use a single thread.

    A terminal signals the whole process group; the parent still needs its workers to finish the
    current step, and stops them itself.
    """
    os.setpgid(0, 0)
    for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGPROF):
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before prctl
        os._exit(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
