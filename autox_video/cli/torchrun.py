"""Run torchrun for the dist scripts, with the exit codes of this package and without tracebacks.

Each process reports its own error; torchrun would add fifty lines and always exit with 1. This
module accepts all options of torchrun.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from autox_video.core.console import complain
from autox_video.distributed.launch import as_exit_code, start_until_it_fits
from autox_video.distributed.processes import STOPPED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run torchrun, and return the exit code of the process that failed first, or 0.

    On one machine, all processes are restarted when one of them runs out of memory.
    """
    from torch.distributed import run as torchrun

    options = torchrun.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    if not options.standalone:
        return _run(options)

    def start(words: list[str]) -> int:
        options.training_script_args = words
        return _run(options)

    return start_until_it_fits(start, options.training_script_args)


def _run(options) -> int:
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError

    try:
        with _without_logs():
            torchrun.run(options)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = as_exit_code(failure.exitcode)
        if failure.exitcode < 0 and code == 1:
            complain(
                f"Process {rank} was killed by signal {-failure.exitcode}; the others were ended."
            )
        return code
    except SignalException as stop:
        return STOPPED.get(stop.sigval, 1)
    except RendezvousError as error:
        complain(
            f"The machines could not connect at {options.rdzv_endpoint} ({error}). Run the same "
            "command on each machine, and check that all machines can reach this address."
        )
        return 2
    return 0


@contextmanager
def _without_logs() -> Iterator[None]:
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


if __name__ == "__main__":
    sys.exit(main())
