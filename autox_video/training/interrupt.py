"""Stop gracefully on a signal: finish the current step, then save.

A separate thread receives signals through Python's wakeup file descriptor, since the main thread
may be busy with a long computation or may be waiting for a process that has ended.
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
"""Time in seconds within which two signals count as one, since a launcher may repeat a signal."""


class Stopped(BaseException):
    """Raised when a signal ends the run; `saved` tells whether everything was saved.

    The base class is not Exception, so that no caller handles a stop as an error.
    """

    def __init__(self, signum: int, *, saved: bool = True) -> None:
        super().__init__(signum)
        self.signum = signum
        self.saved = saved

    @property
    def exit_code(self) -> int:
        """The exit code that a shell reports for the signal."""
        return STOPPED[self.signum]


@dataclass
class StopRequest:
    """A request to stop training; `signum` is None until a signal arrives."""

    signum: int | None = None


@contextmanager
def graceful_stop(give_up_sec: float | None = None) -> Iterator[StopRequest]:
    """Handle signals in the `with` block: the first requests a stop, and a second exits at once.

    A signal that arrives too late for the block to raise `Stopped` is passed on to the previous
    handler, so no signal is lost. Outside the main thread, this context manager does nothing, since
    Python handles signals only in the main thread.

    Args:
        give_up_sec: maximum time in seconds between the first signal and the exit, since a step
            that waits for another process may never end; None for no limit.
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
    """Deliver stop signals to a listener thread instead of the main thread.

    The socket pair stays open as long as the signal handlers are replaced, so no signal is lost.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    # Signals that are already ignored, such as SIGHUP under nohup, stay ignored.
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
            # Python writes to the wakeup file descriptor only if the signal has a Python handler.
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
