"""Start one process per GPU, or as many processes as `gpus` requests, and wait for them.

`python autotrain.py` can therefore use all GPUs of a machine. Each process runs the same command
and reads its rank from the environment, as under torchrun. torchrun kills the other processes half
a minute after one process has ended. This launcher instead waits for a process that is still
saving, ends all processes at a second signal, and reports which process failed and how. torch is
imported only if there may be several GPUs.
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
"""Time that the other processes have to exit by themselves after one process has failed."""
SAVING_SEC = 600.0
"""Time that the others have to save large checkpoints after a signal has stopped one process."""
AT_ONCE_SEC = 5.0
"""Time that the processes have to exit after a second stop signal."""
SAME_SIGNAL_SEC = 0.2
"""Signals within this time count as one, since some tools signal both a process and its group."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
_LOOK_EVERY_SEC = 0.05

# Ctrl-C during Python's startup must not end in a traceback.
_PROGRAM = """\
import signal, sys
ctrl_c = signal.signal(signal.SIGINT, signal.SIG_DFL)
sys.path[:] = {path!r}
from autox_video.cli.main import main
signal.signal(signal.SIGINT, ctrl_c)
sys.exit(main({words!r}))
"""


def process_count(gpus: int | tuple[int, ...] | str, device: str, *, only_probes: bool) -> int:
    """Return how many processes to start on this machine; 1 means that no new process is needed.

    Args:
        gpus, device: values of these config keys.
        only_probes: whether only probes on frozen features are trained, which takes one process.

    Raises:
        ConfigError: `gpus` and `device` contradict each other.
        ResourceError: the machine does not have enough GPUs.
    """
    if isinstance(gpus, tuple):
        _check_numbers(gpus)
    if started_by_others() or only_probes:
        return 1
    if isinstance(gpus, tuple):
        return len(gpus)
    if device.startswith("cuda:"):
        if gpus not in (AUTO, 1):
            raise ConfigError(f"gpus: {gpus} contradicts device: {device}, which is one GPU.")
        return 1
    there = 0 if device == "cpu" else count_gpus()
    if there == 0:
        return 1 if gpus == AUTO or device == "cuda" else gpus
    if gpus != AUTO and gpus > there:
        raise ResourceError(
            f"gpus: {gpus} requested, but PyTorch finds {there} on this machine. Set gpus: auto, "
            "or device: cpu to run that many processes on the CPU."
        )
    return there if gpus == AUTO else gpus


def _check_numbers(gpus: Sequence[int]) -> None:
    """Check that the listed GPUs exist, and that torchrun did not start the processes."""
    if started_by_others():
        if LAUNCHER not in os.environ:
            numbers = ",".join(map(str, gpus))
            raise ConfigError(
                "gpus: a list of GPU numbers does not work under torchrun. Set "
                f"CUDA_VISIBLE_DEVICES={numbers} for torchrun, and gpus: auto."
            )
        return
    there = count_gpus()
    if absent := [number for number in gpus if number >= there]:
        seen = f"0 to {there - 1}" if there else "none"
        raise ResourceError(
            f"gpus: there is no GPU {absent[0]} on this machine; PyTorch finds {seen}. Run "
            "`autox-video doctor` to see why."
        )


def count_gpus() -> int:
    """Return the number of GPUs; import torch to count them only if there may be more than one."""
    nvidia = [path for path in Path("/dev").glob("nvidia*") if path.name[6:].isdecimal()]
    others = any(Path("/dev", name).exists() for name in ("kfd", "dxg"))
    if len(nvidia) < 2 and not others:
        return len(nvidia)
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def use_device(me: Processes, device: str) -> str:
    """Limit this process to its share of the CPU cores and to its own GPU.

    Returns:
        The device of this process: `cpu`, or its own GPU if `device` is a GPU.
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
    """Run a command in `count` processes and return its exit code.

    Each signal is forwarded once to each process. If one process fails, the others are stopped. If
    one process runs out of memory, all processes are restarted.

    Args:
        count: number of processes.
        words: the command and its arguments, as in `cli.main`.
        gpus: value of the config key; if it lists GPUs, the processes see only these GPUs.
    """
    seen = {VISIBLE: visible(gpus)} if isinstance(gpus, tuple) else {}
    return start_until_it_fits(lambda w: ProcessGroup(count, command_of(w), seen).run(), words)


def start_until_it_fits(start: Callable[[list[str]], int], words: Sequence[str]) -> int:
    """Run a command, restart it each time it runs out of memory, and return its exit code."""
    for number in range(STARTS_AT_MOST):
        # A restart resumes the run, so --fresh, which would move the run aside, is omitted.
        code = start([word for word in words if number == 0 or word != FRESH])
        if code != OUT_OF_MEMORY:
            return code
    complain(
        f"Out of memory after {STARTS_AT_MOST} attempts. Lower resolution, clip_len or "
        "videos_per_gpu, or use fewer gpus."
    )
    return 2


def visible(gpus: Sequence[int]) -> str:
    """Return a value for CUDA_VISIBLE_DEVICES that selects GPUs, given their current numbers."""
    names = [name for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return ",".join(names[number] if names else str(number) for number in gpus)


def command_of(words: Sequence[str]) -> list[str]:
    """Return the command line that runs `cli.main(words)` in a new process."""
    return [sys.executable, "-c", _PROGRAM.format(path=sys.path, words=list(words))]


class ProcessGroup:
    """A group of processes that run one job together.

    Args:
        count: number of processes.
        command: the command that each process runs; its environment variables contain its rank.
        environment: additional environment variables.
    """

    def __init__(
        self, count: int, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.count = count
        self.command = list(command)
        self.environment = {**os.environ, **(environment or {})}
        self.processes: list[subprocess.Popen] = []
        self.ended: dict[int, tuple[int, float]] = {}
        """Exit code and end time of each process that has ended, by rank."""
        self.signals: list[tuple[int, float]] = []
        """The received stop signals and their times."""

    def run(self) -> int:
        """Start the processes, wait for all of them, and return the exit code of the job."""
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
                    # Ctrl-C in a terminal reaches only the launcher, which forwards it once.
                    start_new_session=True,
                )
                self.processes.append(process)

    def _wait(self) -> None:
        """Wait until all processes have ended or the deadline for the remaining ones has passed."""
        passed_on = 0
        while len(self.ended) < self.count:
            if time.monotonic() > deadline(self.ended.values(), self.signals):
                return
            # Signals are not forwarded in the handler, which may run before all processes exist.
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
        """Report that a process failed, unless it has reported the error itself."""
        which = f"Process {rank} of {self.count}"
        if returncode == 1:
            complain(f"{which} failed; its error is above.")
        elif returncode < 0 and -returncode not in STOPPED:
            name = signal.Signals(-returncode).name
            why = " The machine may have run out of memory." if name == "SIGKILL" else ""
            complain(
                f"{which} was killed by {name}; the others have been stopped.{why} Run the same "
                "command again to resume."
            )

    def _outcome(self, reasons: IO[bytes]) -> int:
        """Return the exit code of the job, and report a lost connection if nothing else failed."""
        failures = [code for code, _ in self.ended.values() if code != 0]
        first = next((code for code in failures if code != LOST), None)
        if failures and first is None:
            lines = (reasons.read() or b"").decode(errors="replace").splitlines()
            unknown = (
                "The connection between the processes was lost. Run the same command again to "
                "resume."
            )
            complain(lines[0] if lines else unknown)
        # A job that was asked to stop must not be restarted.
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
    """While the `with` block runs, record stop signals and their times instead of exiting."""

    def note(signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not signals or now - signals[-1][1] >= SAME_SIGNAL_SEC:
            signals.append((signum, now))

    before = {signum: signal.getsignal(signum) for signum in STOPPED}
    for signum, handler in before.items():
        if handler != signal.SIG_IGN:  # nohup, for example, makes the process ignore SIGHUP
            signal.signal(signum, note)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def deadline(ended: Sequence[tuple[int, float]], signals: Sequence[tuple[int, float]]) -> float:
    """Return the time at which to kill the remaining processes; infinity to let them run.

    Args:
        ended: exit code and end time of each process that has ended.
        signals: the stop signals that were received, and their times.
    """
    stops = [when + SAVING_SEC for code, when in ended if code in STOPPED.values()]
    failures = [when + LEAVING_SEC for code, when in ended if code and code not in STOPPED.values()]
    second = [when + AT_ONCE_SEC for _, when in signals[1:2]]
    return min([*stops, *failures, *second], default=math.inf)


def as_exit_code(returncode: int) -> int:
    """Return the exit code for a Popen return code; 1 for signals other than stop signals."""
    if returncode >= 0:
        return returncode
    return STOPPED.get(-returncode, 1)
