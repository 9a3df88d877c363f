"""Start one process for each GPU, or as many as `gpus` says, and wait for them.

So that plain `python autotrain.py` uses the whole machine. Each runs the same command and finds
out by its environment which one it is, as it would under torchrun. Other than torchrun, which
gives the others half a minute when one has ended, this waits for one that still saves, ends all at
a second signal, and tells the user which process failed and how. Imports torch only where there
may be several GPUs.
"""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from autox_video.config.settings import AUTO
from autox_video.core.console import complain
from autox_video.core.errors import ConfigError, ResourceError
from autox_video.distributed.processes import (
    LAUNCHER,
    LOST,
    OUT_OF_MEMORY,
    REASON_FD,
    STOPPED,
    STORE_FD,
    Processes,
    local_device,
    started_by_others,
)
from autox_video.machine.hardware import usable_cores
from autox_video.run.work_dir import FRESH

STARTS_AT_MOST = 8
LEAVING_SEC = 15.0
"""What the others have to end by themselves after one has failed."""
SAVING_SEC = 600.0
"""The same after one was stopped by a signal: another may be writing a large checkpoint."""
AT_ONCE_SEC = 5.0
"""The same after a second signal."""
SAME_SIGNAL_SEC = 0.2
"""Within this time a signal is the same one: some send it to a process and to its group."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
_LOOK_EVERY_SEC = 0.05

# Ctrl-C while Python still loads must not end in a traceback.
_PROGRAM = """\
import signal, sys
ctrl_c = signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.path[:] = {path!r}
from autox_video.cli.main import main
signal.signal(signal.SIGINT, ctrl_c)
sys.exit(main({words!r}))
"""


def process_count(gpus: int | tuple[int, ...] | str, device: str, *, only_probes: bool) -> int:
    """How many processes to start here; 1: this one does the work.

    Args:
        gpus, device: the keys of the config.
        only_probes: whether nothing but a head is fitted, which takes one process.

    Raises:
        ConfigError: `gpus` and `device` contradict each other.
        ResourceError: there are not so many GPUs.
    """
    if isinstance(gpus, tuple):
        _check_numbers(gpus)
    if started_by_others() or only_probes:
        return 1
    if isinstance(gpus, tuple):
        return len(gpus)
    if device.startswith("cuda:"):
        if gpus not in (AUTO, 1):
            raise ConfigError(f"gpus: {gpus} were asked for, but device: {device} names one.")
        return 1
    there = 0 if device == "cpu" else count_gpus()
    if there == 0:
        return 1 if gpus == AUTO or device == "cuda" else gpus
    if gpus != AUTO and gpus > there:
        raise ResourceError(
            f"gpus: {gpus} were asked for, but PyTorch can use {there} here; set gpus: auto, or "
            "device: cpu for processes that share the CPU."
        )
    return there if gpus == AUTO else gpus


def _check_numbers(gpus: Sequence[int]) -> None:
    """Refuse numbers of GPUs that are not there, or that torchrun would not follow."""
    if started_by_others():
        if LAUNCHER not in os.environ:
            numbers = ",".join(map(str, gpus))
            raise ConfigError(
                "gpus: numbers of GPUs are for the plain command; where torchrun starts the "
                f"processes, set CUDA_VISIBLE_DEVICES={numbers} for it, and gpus: auto."
            )
        return
    there = count_gpus()
    if absent := [number for number in gpus if number >= there]:
        seen = f"0 to {there - 1}" if there else "none"
        raise ResourceError(
            f"gpus: there is no GPU {absent[0]} here; PyTorch can use {seen}. See `autox-video "
            "doctor`."
        )


def count_gpus() -> int:
    """GPUs that PyTorch can use here; it is asked only where the system shows several."""
    nvidia = [path for path in Path("/dev").glob("nvidia*") if path.name[6:].isdecimal()]
    others = any(Path("/dev", name).exists() for name in ("kfd", "dxg"))
    if len(nvidia) < 2 and not others:
        return len(nvidia)
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def use_device(me: Processes, device: str) -> str:
    """Take this process's cores and GPU, so that none gets in the way of another.

    Gives the device: `cpu`, or for `cuda` the GPU of this process.
    """
    import torch

    threads = os.environ.get("OMP_NUM_THREADS")
    by_torchrun = threads == "1" and "TORCHELASTIC_RUN_ID" in os.environ
    if me.size > 1 and (threads is None or by_torchrun):
        torch.set_num_threads(max(1, usable_cores() // me.local_size))
    device = local_device(device)
    if device != "cpu":
        torch.cuda.set_device(device)
    return device


def launch(count: int, words: Sequence[str], gpus: int | tuple[int, ...] | str = AUTO) -> int:
    """Run a command in `count` processes to its end; gives its exit code.

    Signals are passed on to each process once. When one fails, the others are ended. When one runs
    out of memory, all are started again.

    Args:
        count: processes.
        words: the command and its arguments, as `cli.main` takes them.
        gpus: the key of the config; where it names GPUs, they see these alone.
    """
    seen = {VISIBLE: visible(gpus)} if isinstance(gpus, tuple) else {}
    return start_until_it_fits(lambda w: ProcessGroup(count, command_of(w), seen).run(), words)


def start_until_it_fits(start: Callable[[list[str]], int], words: Sequence[str]) -> int:
    """Give the exit code of a command, started again for each time that it ran out of memory."""
    for number in range(STARTS_AT_MOST):
        # The run that has begun is resumed: to move it aside again would lose what it learnt.
        code = start([word for word in words if number == 0 or word != FRESH])
        if code != OUT_OF_MEMORY:
            return code
    complain(
        f"There was not enough memory in {STARTS_AT_MOST} tries. Lower resolution, clip_len or "
        "videos_per_gpu, or give fewer gpus."
    )
    return 2


def visible(gpus: Sequence[int]) -> str:
    """Give the value of VISIBLE for the GPUs of these numbers, of those that can be seen now."""
    names = [name for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return ",".join(names[number] if names else str(number) for number in gpus)


def command_of(words: Sequence[str]) -> list[str]:
    """What a process runs to do what `cli.main(words)` does in this one."""
    return [sys.executable, "-c", _PROGRAM.format(path=sys.path, words=list(words))]


class ProcessGroup:
    """Processes that do one job together.

    Args:
        count: how many.
        command: what each runs; its environment says which it is.
        environment: what is in it beside that.
    """

    def __init__(
        self, count: int, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.count = count
        self.command = list(command)
        self.environment = {**os.environ, **(environment or {})}
        self.processes: list[subprocess.Popen] = []
        self.ended: dict[int, tuple[int, float]] = {}
        """Exit code of each process that has ended, and when, by rank."""
        self.signals: list[tuple[int, float]] = []
        """Those that came to stop the job, and when."""

    def run(self) -> int:
        """Start them, wait until all have ended, and give what they ended with."""
        with _noting(self.signals):
            reading, writing = os.pipe()
            os.set_blocking(reading, False)
            with open(reading, "rb", buffering=0) as reasons:
                try:
                    with open(writing, "wb"):
                        self._start(writing)
                    self._wait()
                    return self._outcome(reasons)
                finally:
                    self._kill()

    def _start(self, reason: int) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=512) as meeting:
            shared = {
                **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(self.count)),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(meeting.getsockname()[1]),
                STORE_FD: str(meeting.fileno()),
                REASON_FD: str(reason),
                LAUNCHER: str(os.getpid()),
            }
            threads = {"OMP_NUM_THREADS": str(max(1, usable_cores() // self.count))}
            for rank in range(self.count):
                ranks = dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank))
                process = subprocess.Popen(
                    self.command,
                    env={**threads, **self.environment, **shared, **ranks},
                    pass_fds=[reason, meeting.fileno()] if rank == 0 else [reason],
                    stdin=subprocess.DEVNULL,
                    stdout=None if rank == 0 else subprocess.DEVNULL,
                    # Ctrl-C in a terminal reaches this process, which passes it on, once.
                    start_new_session=True,
                )
                self.processes.append(process)

    def _wait(self) -> None:
        """Wait for all, or until those that are left have had their time."""
        passed_on = 0
        while len(self.ended) < self.count:
            if time.monotonic() > deadline(self.ended.values(), self.signals):
                return
            # Not by the handler: it may run before the last process is known.
            for signum, _ in self.signals[passed_on:]:
                passed_on += 1
                for process in self.processes:
                    process.send_signal(signum)
            for rank, process in enumerate(self.processes):
                if rank not in self.ended and process.poll() is not None:
                    self.ended[rank] = as_exit_code(process.returncode), time.monotonic()
                    self._say(rank, process.returncode)
            time.sleep(_LOOK_EVERY_SEC)

    def _say(self, rank: int, returncode: int) -> None:
        """Say which process failed, and how, where it cannot have said so itself."""
        which = f"Process {rank} of {self.count}"
        if returncode == 1:
            complain(f"{which} failed; its error is above.")
        elif returncode < 0 and -returncode not in STOPPED:
            name = signal.Signals(-returncode).name
            why = " Was the memory full?" if name == "SIGKILL" else ""
            complain(
                f"{which} was ended by {name}, and the others with it.{why} Run the same command "
                "again to resume."
            )

    def _outcome(self, reasons: IO[bytes]) -> int:
        """The code of the first that failed by itself; where none did, says what was seen."""
        failures = [code for code, _ in self.ended.values() if code != 0]
        first = next((code for code in failures if code != LOST), None)
        if failures and first is None:
            lines = (reasons.read() or b"").decode(errors="replace").splitlines()
            unknown = "The processes lost one another. Run the same command again to resume."
            complain(lines[0] if lines else unknown)
        # Who was asked to stop is not to be started again.
        if len(self.signals) > 1 or (self.signals and first == OUT_OF_MEMORY):
            return STOPPED[self.signals[0][0]]
        return first or (1 if failures else 0)

    def _kill(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()


@contextmanager
def _noting(signals: list[tuple[int, float]]) -> Iterator[None]:
    """Append what comes to stop the job, and when, instead of being stopped by it."""

    def note(signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not signals or now - signals[-1][1] >= SAME_SIGNAL_SEC:
            signals.append((signum, now))

    before = {signum: signal.getsignal(signum) for signum in STOPPED}
    for signum, handler in before.items():
        if handler != signal.SIG_IGN:  # as nohup does
            signal.signal(signum, note)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def deadline(ended: Sequence[tuple[int, float]], signals: Sequence[tuple[int, float]]) -> float:
    """Until when those that have not ended may go on: for ever where none has failed.

    Args:
        ended: exit code and time of each process that has ended.
        signals: signals and times.
    """
    stops = [when + SAVING_SEC for code, when in ended if code in STOPPED.values()]
    failures = [when + LEAVING_SEC for code, when in ended if code and code not in STOPPED.values()]
    second = [when + AT_ONCE_SEC for _, when in signals[1:2]]
    return min([*stops, *failures, *second], default=math.inf)


def as_exit_code(returncode: int) -> int:
    """What a process's end means: 1 for a signal that nobody sends to stop a run."""
    if returncode >= 0:
        return returncode
    return STOPPED.get(-returncode, 1)
