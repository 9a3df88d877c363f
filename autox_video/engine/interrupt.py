"""Ctrl-C and SIGTERM: finish the step, save, and say how to go on."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from autox_video.console import complain

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_received: int | None = None


class Stopped(BaseException):
    """A signal ended the run at a point where everything is saved.

    Not an Exception, so that nothing on the way up mistakes it for an error.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that ended by this signal: 128 and the signal."""
        return 128 + self.signum


@contextmanager
def graceful_stop() -> Iterator[None]:
    """Within the block a first signal only asks for a stop; a second one leaves at once."""
    global _received
    _received = None
    before = {signum: signal.signal(signum, _on_signal) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def stop_requested() -> int | None:
    """The signal that asked for a stop, if any."""
    return _received


def stop_if_requested() -> None:
    """Raise Stopped if a signal came; to be called where everything is saved."""
    if _received is not None:
        raise Stopped(_received)


def _on_signal(signum: int, frame: FrameType | None) -> None:
    global _received
    if _received is not None:
        os._exit(128 + signum)
    _received = signum
    complain("Stopping after this step; once more to leave at once.")
