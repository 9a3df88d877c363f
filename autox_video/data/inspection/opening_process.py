"""A process that opens clips: a decoder that hangs or crashes takes it along, and nothing else.

How long a clip takes is measured in what stands still when the machine does, so that a pause or a
slow disk makes no clip unreadable: in the time that the process computes, and in looks at it during
which it neither computed nor read.
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple
from multiprocessing.connection import Connection
from pathlib import Path

from autox_video.data.inspection.clip_facts import ClipFacts, Inspection, examine_clip, unreadable

HANG_SEC = 10.0
"""How long a clip may be computed on, and a second more for each READ_BYTES_PER_SEC of it."""

READ_BYTES_PER_SEC = 8e6

LOOK_EVERY_SEC, IDLE_LOOKS = 1.0, 60
"""A process that does nothing at so many looks is taken to hang; one that is stopped is not."""

UNKNOWN_LOOKS = 600
"""Likewise where the system does not tell what a process does."""

_PROGRAM = "from autox_video.data.inspection.opening_process import serve; serve()"
_SILENCE = "nothing comes of it, as if its disk did not answer or the decoder hung."


class _HangsError(Exception):
    """The process does nothing, and gives no answer."""


class OpeningProcess:
    """Opens clips in a process of its own, which is started when it is needed; for one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._answers: Connection | None = None
        self.is_stopped = False

    def examine(self, paths: Sequence[str]) -> Iterator[Inspection]:
        """Give what `examine_clip` finds out about each of the clips, in their order.

        A clip that takes the process along is unreadable, if it does so twice: the first time, the
        cause may have been the machine. Ends early once stopped.

        Raises:
            RuntimeError: a defect of ours, with its traceback.
        """
        remaining, was_tried = list(paths), False
        while remaining and not self.is_stopped:
            try:
                self._send(remaining)
                while remaining:
                    facts, *contents = self._answer()
                    del remaining[0]
                    was_tried = False
                    yield Inspection(ClipFacts(*facts), *contents)
            except BrokenPipeError:  # it ended while it waited, and no clip is to blame
                self._end()
            except (EOFError, ConnectionResetError, _HangsError) as error:
                if self.is_stopped:
                    return
                code = self._end()
                if was_tried or code == -signal.SIGPROF:
                    del remaining[0]
                    hangs = isinstance(error, _HangsError)
                    yield unreadable(_SILENCE if hangs else _why_it_ended(code))
                    was_tried = False
                else:
                    was_tried = True

    def stop(self) -> None:
        """End the process at once; any thread may call this."""
        self.is_stopped = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Stop, and free what the process took, once `examine` has come to its end."""
        self.stop()
        if self._process is not None:
            self._end()

    def _send(self, paths: Sequence[str]) -> None:
        if self._process is None:
            self._process, self._answers = _start()
        pickle.dump(paths, self._process.stdin)
        self._process.stdin.flush()

    def _answer(self) -> tuple:
        """Wait for what is found out about the next clip; raises where nothing will come."""
        before, idle = None, 0
        while not self._answers.poll(LOOK_EVERY_SEC):
            doing = _progress(self._process.pid)
            idle = idle + 1 if doing == before else 0
            before = doing
            if idle >= (IDLE_LOOKS if doing is not None else UNKNOWN_LOOKS):
                self._process.kill()
                raise _HangsError
        answer = self._answers.recv()
        if isinstance(answer, str):
            raise RuntimeError(f"the inspection failed:\n{answer}")
        return answer

    def _end(self) -> int:
        """Give how the process ended; the next clip starts another."""
        process, self._process = self._process, None
        code = process.wait()
        self._answers.close()
        with suppress(BrokenPipeError):  # what was still to be written has nobody to read it
            process.stdin.close()
        return code


def _why_it_ended(code: int) -> str:
    if code == -signal.SIGPROF:
        return f"the decoder hangs on it (it computes for {HANG_SEC:g} s or more)."
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the decoder crashes on it ({name})."


def _progress(pid: int) -> object:
    """Give something that changes while a process computes or reads, or is stopped by somebody.

    None where the system does not tell.
    """
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    read = ""
    with suppress(OSError):  # not everybody may look at it
        read = Path(f"/proc/{pid}/io").read_text().partition("\n")[0]
    return object() if state in ("T", "t") else (*numbers[10:12], read)


def _start() -> tuple[subprocess.Popen, Connection]:
    root = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Threads of the small matrix products would only be in each other's way.
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        # Ctrl-C is for the run, which then ends this process itself.
        start_new_session=True,
    )
    answers = Connection(os.dup(process.stdout.fileno()), writable=False)
    process.stdout.close()
    with suppress(EOFError):
        answers.recv()  # it is ready
        return process, answers
    answers.close()
    raise RuntimeError(f"the process that opens clips does not start ({process.wait()})")


def serve(examine: Callable[[str], Inspection] = examine_clip) -> None:
    """Answer lists of paths on stdin by what is found out on stdout, until stdin ends."""
    answers = Connection(os.dup(sys.stdout.fileno()), readable=False)
    answers.send("ready")
    # What a decoder prints must not come between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with suppress(EOFError, BrokenPipeError):
        while True:
            for path in pickle.load(sys.stdin.buffer):
                answers.send(_examine_in_time(path, examine))
    os._exit(0)  # the run is over; nobody reads any more


def _examine_in_time(path: str, examine: Callable[[str], Inspection]) -> tuple | str:
    """Examine a clip; if it computes too long a signal ends this process, wherever it is stuck."""
    size = 0
    with suppress(OSError):
        size = os.stat(path).st_size  # noqa: PTH116 (as a `Path` it would cost more than this)
    signal.setitimer(signal.ITIMER_PROF, HANG_SEC + size / READ_BYTES_PER_SEC)
    try:
        facts, *contents = examine(path)
        return (astuple(facts), *contents)
    except Exception:  # noqa: BLE001 (the other side raises it again)
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
