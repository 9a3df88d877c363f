"""Signals: finish the step, save, and say how to resume.

A thread receives them through Python's wakeup file descriptor, since the main thread may be in a
long computation, or waiting for another process that has ended.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from autox_video.core.console import complain, is_silent
from autox_video.distributed.processes import STOPPED

TWICE_SEC = 0.5
"""Signals within this time count as one: a terminal and a launcher may both send it."""


class Stopped(BaseException):
    """A signal ended the run after everything was saved (`saved`).

    Not an Exception, so that no caller mistakes it for an error.
    """

    def __init__(self, signum: int, *, saved: bool = True) -> None:
        super().__init__(signum)
        self.signum = signum
        self.saved = saved

    @property
    def exit_code(self) -> int:
        """The exit code that shells use for this signal."""
        return STOPPED[self.signum]


@dataclass
class StopRequest:
    """The signal that asks training to stop; None until one arrives."""

    signum: int | None = None


@contextmanager
def graceful_stop(give_up_sec: float | None = None) -> Iterator[StopRequest]:
    """Within the block the first signal requests a stop; a second one exits at once.

    A request that arrives too late for the block to raise `Stopped` is passed on to the previous
    handler, so no signal is lost. Outside the main thread, which alone can handle signals, this
    does nothing.

    Args:
        give_up_sec: time after the first signal at which to exit in any case: a step may never end
            if it waits for another process.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    try:
        with _heard(request, give_up_sec):
            yield request
    except Stopped:
        request.signum = None
        raise
    finally:
        if request.signum is not None:
            signal.raise_signal(request.signum)


@contextmanager
def _heard(request: StopRequest, give_up_sec: float | None) -> Iterator[None]:
    """Deliver the signals that stop a run to a thread only.

    No signal is missed: the pipe is set up before the handlers are replaced, and stays until they
    are restored.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    # Under nohup, SIGHUP is ignored and stays so.
    caught = [s for s in STOPPED if signal.getsignal(s) is not signal.SIG_IGN]
    options = (ours, caught, request, give_up_sec)
    listener = threading.Thread(target=_listen, args=options, daemon=True)
    with ExitStack() as undo:
        undo.callback(ours.close)
        listener.start()
        undo.callback(listener.join)
        undo.callback(theirs.close)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        undo.callback(signal.set_wakeup_fd, before)
        for signum in caught:
            # Without a Python handler the wakeup file descriptor gets nothing.
            undo.callback(signal.signal, signum, signal.signal(signum, lambda *_: None))
        yield


def _listen(
    pipe: socket.socket, caught: list[int], request: StopRequest, give_up_sec: float | None
) -> None:
    first = 0.0
    while True:
        try:
            received = pipe.recv(1)
        except TimeoutError:
            complain(f"The step did not end within {give_up_sec:g} s. Exiting without saving it.")
            os._exit(STOPPED[request.signum])
        if not received:
            return
        signum = received[0]
        if signum not in caught:
            continue
        if request.signum is None:
            request.signum, first = signum, time.monotonic()
            pipe.settimeout(give_up_sec)
            if not is_silent():
                complain("Stopping after this step. Press Ctrl-C again to exit at once.")
        elif time.monotonic() - first > TWICE_SEC:
            os._exit(STOPPED[signum])
