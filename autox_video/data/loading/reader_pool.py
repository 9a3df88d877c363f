"""Worker processes that open and read clips: one that crashes or hangs takes nothing else along.

Each worker has a pipe of its own and shares no lock with anyone; what is large it writes into
shared memory. Another is started in place of one that died, and tries the clip at hand once more.

How long a clip takes is measured in what stands still when the machine does, so that neither a
pause nor a slow disk makes it unreadable: in the time that a worker computes, and in looks at it
during which it neither computed nor read.
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

_TASKS_AHEAD = 256  # of one worker: few enough to fit into its pipe
_LOOK_EVERY_SEC = 1.0  # for workers that hang
_TRIES = 2  # of a clip in whose reading a worker died or hung: the cause may lie outside of it
_PR_SET_PDEATHSIG = 1


class Readable(Protocol):
    """What a loader reads from; `len` gives the number of clips."""

    item_shape: tuple[int, ...]
    """Of one item, uint8."""

    def __len__(self) -> int: ...

    def read(self, index: int, out: np.ndarray) -> Any:
        """Write the item at `index` (epoch * len + position) into `out`; raises VideoError.

        What it gives is sent along.
        """

    def name(self, index: int) -> str:
        """Name the clip for people."""


@dataclass(slots=True, eq=False)
class Task:
    """An item to read into a row; `error` says why it could not be."""

    index: int
    row: int
    done: bool = False
    value: Any = None
    error: str | None = None
    deaths: int = 0


def read_in_process(dataset: Readable, index: int, out: np.ndarray) -> tuple[Any, str | None]:
    """Read an item in this process: what `read` gives, and why it cannot be read, if so."""
    try:
        return dataset.read(index, out), None
    except VideoError as error:
        return None, str(error)
    except MemoryError:
        return None, f"{dataset.name(index)}: there is not enough memory to read it."


@dataclass(slots=True, eq=False)
class _Worker:
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    tasks: deque[Task] = field(default_factory=deque)
    """Handed over and not answered, in order: it is at the first."""
    answers: int = 0
    doing: Any = None
    doing_since: float = 0.0
    """How far it was at the last look, and since when, by the pool's clock."""


@dataclass(eq=False)
class ReaderPool:
    """Worker processes; a task goes to the one with the least to do."""

    dataset: Readable
    rows: np.ndarray
    """Shared memory for the items."""
    count: int
    """Workers."""
    time_limit_sec: float
    """How long a worker may compute on an item, and how long it may do nothing."""
    waited_sec: float = 0.0
    """For answers, as far as this process ran: a clock that stops where the machine does."""
    looked_at: float = 0.0
    workers: list[_Worker] = field(default_factory=list)
    queue: deque[Task] = field(default_factory=deque)

    def submit(self, task: Task) -> None:
        """Have a task done."""
        while len(self.workers) < self.count:
            self.workers.append(self._start())
        self.queue.append(task)
        self._hand_out()

    def attend(self) -> None:
        """Take the answers that are there; wait for one where there is none."""
        worker_of = {worker.pipe: worker for worker in self.workers}
        began = time.monotonic()
        pipes = wait(list(worker_of), _LOOK_EVERY_SEC)
        # A container that was paused, or a process that was stopped, has lost no time by it.
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
        """Drop what an abandoned pass has asked for, so that its rows can be used anew."""
        self.queue.clear()
        while any(worker.tasks for worker in self.workers):
            self.attend()

    def close(self) -> None:
        """End the workers."""
        for worker in self.workers:
            _end(worker)
        self.workers.clear()
        self.queue.clear()

    def _hand_out(self) -> None:
        while self.queue:
            worker = min(self.workers, key=lambda worker: len(worker.tasks))
            if len(worker.tasks) >= _TASKS_AHEAD:
                return
            task = self.queue.popleft()
            worker.tasks.append(task)
            # A worker that has died is noticed when its answer is waited for.
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
                    f"nothing came of it for {self.time_limit_sec:g} s, twice, as if its disk did "
                    "not answer or the decoder hung",
                )

    def _replace(self, worker: _Worker, reason: str | None = None) -> None:
        """Start another in place of one that has died, or, for a reason, is to die."""
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
            # The child uses no thread of ours, and no lock that one of them may hold.
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
        return "the decoder hangs on it (it computed for too long)"
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the decoder crashes on it ({how}), twice"


def _progress(pid: int) -> object:
    """Return something that changes while a process computes or reads, or is stopped by somebody.

    None where the system does not tell.
    """
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    bytes_read = ""
    with contextlib.suppress(OSError):  # not everybody may look at it
        bytes_read = Path(f"/proc/{pid}/io").read_text().partition("\n")[0]
    return object() if state in ("T", "t") else (*numbers[10:12], bytes_read)


# ---- the worker's side ----


def _work(pool: ReaderPool, pipe: Connection, parent: int) -> None:
    """Answer each (index, row) by what `read` gives, why it cannot be read, and what to raise."""
    _stand_alone(parent)
    while True:
        try:
            index, row = pipe.recv()
        except EOFError:
            os._exit(0)
        # A signal ends this process, wherever it is stuck.
        signal.setitimer(signal.ITIMER_PROF, pool.time_limit_sec)
        value = error = defect = None
        try:
            value, error = read_in_process(pool.dataset, index, pool.rows[row])
        except AutoXVideoError as problem:  # nothing that another clip would be spared
            defect = problem
        except BaseException:  # noqa: BLE001 (the parent raises it)
            defect = RuntimeError(f"A data worker failed:\n{traceback.format_exc()}")
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send((value, error, defect))


def _stand_alone(parent: int) -> None:
    """Leave signals to the parent, die with it, and leave the other cores to the model.

    A terminal signals the whole process group; the parent then still needs its workers for the
    step that it finishes, and it ends them itself.
    """
    os.setpgid(0, 0)
    for signum in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGPROF):
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that
        os._exit(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
