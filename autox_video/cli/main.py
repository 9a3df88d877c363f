"""The entry point of `autox-video COMMAND`.

If stdout is closed, for example by `| head`, the command finishes without an error message.
"""

import atexit
import os
import sys
from collections.abc import Sequence

from autox_video.cli import exit_codes
from autox_video.cli.parser import parse
from autox_video.core.console import show_every_letter
from autox_video.distributed import processes
from autox_video.run.clock import command_begins


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command_begins()
    # Threads that spin for long while they wait starve each other and the data workers as soon as
    # there are more threads than free cores, and a step then takes ten times as long. Without any
    # spinning, threads sleep between small operations, and a small model takes 1.5 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    processes.follow_launcher()
    sys.excepthook = exit_codes.show_defect
    signals = exit_codes.StopSignals()
    signals.listen()
    show_every_letter()
    try:
        options = parse(words)
        signals.sentence = getattr(options, "stopped", signals.sentence)
        code = options.run(options)
    except BaseException as error:
        code = signals.code_of(error)
        if code is None:
            raise
    finally:
        atexit.register(signals.let_python_end)  # last registered, first called
    return exit_codes.end(code)
