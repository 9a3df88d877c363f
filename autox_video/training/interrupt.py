"""Signals: finish the step, save, and say how to resume.

A thread hears them, through a pipe into which the C side of Python writes, since the main thread
may be in a long computation, or waiting for another process that is gone.
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
"""Within it, signals are one: a terminal and a launcher may both send the same."""


class Stopped(BaseException):
    """A signal ended the run at a point where everything is saved.

    Not an Exception, so that nothing on the way up mistakes it for an error.
    """

    def __init__(self, signum: int, *, saved: bool = True) -> None:
        super().__init__(signum)
        self.signum = signum
        self.saved = saved

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that ended by this signal."""
        return STOPPED[self.signum]


@dataclass
class StopRequest:
    """The signal that asks a training to stop, once one has come."""

    signum: int | None = None


@contextmanager
def graceful_stop(give_up_sec: float | None = None) -> Iterator[StopRequest]:
    """Within the block a first signal only asks for a stop; a second one leaves at once.

    A request that the block has not answered by `Stopped`, since it came after the last look, goes
    to whoever hears of signals behind it: it is never forgotten. In another thread than the main
    one, which alone can catch signals, nothing is caught.

    Args:
        give_up_sec: leave so long after the first, though the step is not done: it may never be,
            where it waits for another process.
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
    """Have a thread hear of the signals that stop a run, and nobody else.

    At no moment is nobody listening: the pipe is there before the handlers go, and until they are
    back.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    # A program started with nohup does not want to hear of a hang-up.
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
            # Some handler must be there for the listener to hear of the signal.
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
            complain(f"The step did not end within {give_up_sec:g} s; leaving without it.")
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
                complain("Stopping after this step; once more to leave at once.")
        elif time.monotonic() - first > TWICE_SEC:
            os._exit(STOPPED[signum])
