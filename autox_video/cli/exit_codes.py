"""How a command ends: exit codes, signals that stop it, one of several processes that fails.

0 done; 2 a mistake that the user can mend; 130, 143 and 129 stopped by Ctrl-C, by SIGTERM or
SIGUSR1, and by the end of the terminal; 1, with a traceback, a defect of this project.
"""

import os
import signal
import sys
from types import TracebackType

from autox_video.core.console import complain
from autox_video.core.errors import AutoXVideoError
from autox_video.distributed import processes
from autox_video.machine.installation import explain_import_error


class StopSignals:
    """Ends the command when a signal asks for it, with a sentence and without a traceback."""

    def __init__(self) -> None:
        self.received: int | None = None

    def listen(self) -> None:
        """Take over the signals that nobody has asked to ignore, as nohup does."""
        for signum in processes.STOPPED:
            if signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self.stop)

    def stop(self, signum: int, frame: object) -> None:
        """Handle a signal: say so once, and end the command."""
        if self.received is None:
            say_stopped("Stopped. Run the same command again to resume.")
        self.received = signum
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(processes.STOPPED[signum])

    def let_python_end(self) -> None:
        """While Python tidies up, let a signal end it at once, without a traceback from there."""
        for signum, code in processes.STOPPED.items():
            if signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, lambda *_, code=code: _leave_at_once(code))

    def code_of(self, error: BaseException) -> int | None:
        """The exit code for what a command has raised, after telling the user; None: a defect."""
        if isinstance(error, KeyboardInterrupt):
            return processes.STOPPED[signal.SIGINT]
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            return code if processes.joined() else None
        # A library in the midst of its import may make an error of its own out of the stop.
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
    """Tell the user once, whatever else the environment says, that all processes stop."""
    if os.environ.get("RANK", "0") == "0":
        complain(sentence)


def end(code: int) -> int:
    """Give the exit code, once this process has parted from the others.

    They are waited for only where all is well.
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
    """Show a defect's traceback, but not those of the processes that it took along."""
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
    # What Python does at its end may wait for processes that have gone.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
