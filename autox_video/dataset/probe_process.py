"""A process that opens clips: a decoder that hangs or crashes takes it along, and nothing else."""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from autox_video.dataset.clip_facts import ClipFacts, Found, examine_clip, unreadable

HANG_SEC = 10.0
"""How long a clip may take, and a second more for each READ_BYTES_PER_SEC of it."""

READ_BYTES_PER_SEC = 8e6

_READY = b"ready\n"
_PROGRAM = "from autox_video.dataset.probe_process import serve; serve()"


class ProbeProcess:
    """Opens clips in a process of its own, which is started when it is needed; for one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None
        self._stopped = False

    def examine(self, paths: Sequence[str]) -> Iterator[Found]:
        """Give what `examine_clip` finds out about each of the clips, in their order.

        A clip that takes the process along is unreadable. Ends early once stopped.

        Raises:
            RuntimeError: a defect of ours, with its traceback.
        """
        remaining = list(paths)
        while remaining and not self._stopped:
            if not self._send(remaining):
                self._end()
                continue
            try:
                while remaining:
                    answer = pickle.load(self._process.stdout)
                    if isinstance(answer, str):
                        raise RuntimeError(f"the probe failed:\n{answer}")
                    del remaining[0]
                    facts, *others = answer
                    yield Found(ClipFacts(*facts), *others)
            except (EOFError, pickle.UnpicklingError):
                if not self._stopped:
                    del remaining[0]
                    yield unreadable(_why_it_ended(self._end()))

    def stop(self) -> None:
        """End the process at once; any thread may call this."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Stop, and free what the process took, once `examine` has come to its end."""
        self.stop()
        if self._process is not None:
            self._end()

    def _send(self, paths: Sequence[str]) -> bool:
        """Hand the clips over; tells whether the process still takes any."""
        if self._process is None:
            self._process = _start()
        try:
            pickle.dump(paths, self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def _end(self) -> int:
        """Give how the process ended; the next clip starts another."""
        process, self._process = self._process, None
        code = process.wait()
        process.stdout.close()
        with suppress(BrokenPipeError):  # what was still to be written has nobody to read it
            process.stdin.close()
        return code


def _why_it_ended(code: int) -> str:
    if code == -signal.SIGALRM:
        return f"the decoder hangs on it (nothing came for {HANG_SEC:g} s or more)."
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the decoder crashes on it ({name})."


def _start() -> subprocess.Popen:
    root = str(Path(__file__).parents[2])
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
    if process.stdout.readline() != _READY:
        process.kill()
        raise RuntimeError(f"the process that opens clips does not start ({process.wait()})")
    return process


def serve(examine: Callable[[str], Found] = examine_clip) -> None:
    """Answer lists of paths on stdin by what was found on stdout, until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    answers.write(_READY)
    answers.flush()
    # What a decoder prints must not come between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        while True:
            for path in pickle.load(sys.stdin.buffer):
                pickle.dump(_examine_in_time(path, examine), answers)
                answers.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the run is over; nobody reads any more


def _examine_in_time(path: str, examine: Callable[[str], Found]) -> tuple | str:
    """Examine a clip; if that takes too long the alarm ends this process, wherever it is stuck."""
    signal.setitimer(signal.ITIMER_REAL, HANG_SEC + _size(path) / READ_BYTES_PER_SEC)
    try:
        facts, *others = examine(path)
        return (astuple(facts), *others)
    except Exception:  # noqa: BLE001 (the other side raises it again)
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (as a `Path` it would cost more than this)
    except OSError:
        return 0
