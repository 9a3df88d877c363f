"""Handle exit codes, stop signals, and the failure of one of several processes.

The exit code is 0 for success, 2 for an error that the user can fix, 130 for Ctrl-C, 143 for
SIGTERM or SIGUSR1, 129 if the terminal was closed, and 1, with a traceback, for a bug in this
package.
"""

import os
import signal
import sys
from types import TracebackType

from autox_video.core.console import complain
from autox_video.core.errors import AutoXVideoError
from autox_video.distributed import processes
from autox_video.machine.installation import explain_import_error

RESUMES = "Stopped. Run the same command again to resume."


class StopSignals:
    """Ends the command on a signal, with a message and no traceback."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.sentence = RESUMES
        """The message."""

    def listen(self) -> None:
        """Handle the stop signals, except those that are already ignored, as under nohup."""
        for signum in processes.STOPPED:
            if signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self.stop)

    def stop(self, signum: int, frame: object) -> None:
        """Handle a signal: tell the user once, and end the command."""
        if self.received is None:
            say_stopped(self.sentence)
        self.received = signum
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(processes.STOPPED[signum])

    def let_python_end(self) -> None:
        """Let a signal end the process at once, without a traceback, during Python's shutdown."""
        for signum, code in processes.STOPPED.items():
            if signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, lambda *_, code=code: _leave_at_once(code))

    def code_of(self, error: BaseException) -> int | None:
        """Report the error that a command raised, and return the exit code; None for a bug."""
        if isinstance(error, KeyboardInterrupt):
            return processes.STOPPED[signal.SIGINT]
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            return code if processes.joined() else None
        # While a library is being imported, it may turn the stop signal into an error of its own.
        if self.received is not None:
            return processes.STOPPED[self.received]
        if isinstance(error, ModuleNotFoundError):
            error = AutoXVideoError(explain_import_error("autox_video", error))
        if not isinstance(error, AutoXVideoError):
            return None
        if processes.may_complain():
            for problem in error.problems:
                complain(problem)
        return 2


def say_stopped(sentence: str) -> None:
    """Tell the user that all processes are stopping; only the first process prints the message."""
    if os.environ.get("RANK", "0") == "0":
        complain(sentence)


def end(code: int) -> int:
    """Leave the group of processes, and return the exit code.

    The process waits for the other processes only if it succeeded.
    """
    if not processes.joined():
        return code
    if code == 0:
        processes.leave()
        return code
    return _leave_at_once(code)


def show_defect(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Show the traceback of a bug, unless the failure of another process caused the error."""
    if not processes.joined():
        sys.__excepthook__(kind, error, trace)
        return
    code = 1
    if processes.lost_others(error):
        code = processes.end_as_lost(error)
    elif processes.may_complain():
        sys.__excepthook__(kind, error, trace)
    _leave_at_once(code)


def _leave_at_once(code: int) -> int:
    # A regular shutdown of Python could block on processes that are already gone.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
