"""Start one process for each GPU, or as many as `gpus` says, and wait for them.

So that plain `python autotrain.py` uses the whole machine. Each runs the same command and finds
out by its environment which one it is, as it would under torchrun. Imports torch only where there
may be several GPUs.
"""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from autox_video.config.settings import AUTO, Settings
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
    own_device,
    started_by_others,
)
from autox_video.machine.hardware import usable_cores

STARTS_AT_MOST = 8
LEAVING_SEC = 15.0
"""What the others have to end by themselves after one has failed."""
SAVING_SEC = 600.0
"""The same after one was stopped by a signal: another may be writing a large checkpoint."""
AT_ONCE_SEC = 5.0
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


def wanted(settings: Settings) -> int:
    """How many processes to start here; 1: this one does the work.

    Raises:
        ConfigError: `gpus` and `device` contradict each other.
        ResourceError: there are not so many GPUs.
    """
    asked, device = settings.gpus, settings.device
    if isinstance(asked, tuple):
        _check_numbers(asked)
        return 1 if started_by_others() or settings.only_probes else len(asked)
    if started_by_others() or settings.only_probes:
        return 1
    if device.startswith("cuda:"):
        if asked not in (AUTO, 1):
            raise ConfigError(f"gpus: {asked} were asked for, but device: {device} names one.")
        return 1
    there = 0 if device == "cpu" else count_gpus()
    if there == 0:
        return 1 if asked == AUTO or device == "cuda" else asked
    if asked != AUTO and asked > there:
        raise ResourceError(
            f"gpus: {asked} were asked for, but PyTorch can use {there} here; set gpus: auto, or "
            "device: cpu for processes that share the CPU."
        )
    return there if asked == AUTO else asked


def say_if_alone(settings: Settings, command: str) -> None:
    """Say, where several processes are to do a job, that the one that is here does it alone."""
    if (count := wanted(settings)) > 1:
        complain(
            f"Called from Python, one process does it all, where {count} could: run "
            f"`python {command}` with this config for all of them."
        )


def _check_numbers(gpus: Sequence[int]) -> None:
    """Refuse numbers of GPUs that are not there, or that other launchers would not follow."""
    if started_by_others():
        if LAUNCHER not in os.environ:
            numbers = ",".join(map(str, gpus))
            raise ConfigError(
                "gpus: numbers of GPUs are for the plain command; where torchrun or srun starts "
                f"the processes, set CUDA_VISIBLE_DEVICES={numbers} for it, and gpus: auto."
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


def launch(count: int, words: Sequence[str], gpus: Sequence[int] = ()) -> int:
    """Run a command in `count` processes to its end; gives its exit code.

    Signals are passed on to each process once. When one fails, the others are ended. When one runs
    out of memory, all are started again.

    Args:
        count: processes.
        words: the command and its arguments, as `cli.main` takes them.
        gpus: numbers of the GPUs that they are to see; none: all.
    """
    seen = {VISIBLE: visible(gpus)} if gpus else {}
    for _ in range(STARTS_AT_MOST):
        code = Group(count, command_of(words), seen).run()
        if code != OUT_OF_MEMORY:
            return code
        words = [word for word in words if word != "--fresh"]  # the run goes on
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
    """What a process runs to do what `cli.main(words)` does here."""
    return [sys.executable, "-c", _PROGRAM.format(path=sys.path, words=list(words))]


def use_own_share(me: Processes, device: str) -> str:
    """Take this process's cores and GPU, so that none gets in the way of another.

    Gives the device: `cpu`, or for `cuda` the GPU of this process.
    """
    import torch

    if me.size == 1:
        if device != "cpu":
            torch.cuda.set_device(device)
        return device
    share = max(1, usable_cores() // me.local_size)
    threads = os.environ.get("OMP_NUM_THREADS")
    unasked = threads == "1" and "TORCHELASTIC_RUN_ID" in os.environ  # torchrun's
    if threads is None or unasked:
        torch.set_num_threads(share)
    own = own_device(device)
    if own != "cpu":
        torch.cuda.set_device(own)
    return own


class Group:
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
        self.environment = dict(environment or {})
        self.command = list(command)
        self.processes: list[subprocess.Popen] = []
        self.signals: list[tuple[int, float]] = []
        """Those that came to stop the job, and when."""
        self.reasons: io.FileIO | None = None
        """What those said that only lost the others."""

    def run(self) -> int:
        """Start them, wait until all have ended, and give what they ended with."""
        before = {signum: signal.getsignal(signum) for signum in STOPPED}
        for signum, handler in before.items():
            if handler != signal.SIG_IGN:  # as nohup does
                signal.signal(signum, self._note)
        try:
            self._start()
            return self._wait()
        finally:
            self._kill()
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _start(self) -> None:
        said, reason = os.pipe()
        self.reasons = open(said, "rb", buffering=0)  # noqa: SIM115 (it lives as long as this)
        os.set_blocking(said, False)
        with socket.create_server(("127.0.0.1", 0), backlog=512) as meeting, open(reason, "wb"):
            for rank in range(self.count):
                self.processes.append(
                    subprocess.Popen(
                        self.command,
                        env={
                            **os.environ,
                            **self.environment,
                            **self._environment(rank, meeting, reason),
                        },
                        pass_fds=[reason, meeting.fileno()] if rank == 0 else [reason],
                        stdin=subprocess.DEVNULL,
                        stdout=None if rank == 0 else subprocess.DEVNULL,
                        # Ctrl-C in a terminal reaches this process, which passes it on, once.
                        start_new_session=True,
                    )
                )

    def _environment(self, rank: int, meeting: socket.socket, reason: int) -> dict[str, str]:
        threads = str(max(1, usable_cores() // self.count))
        return {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self.count),
            "LOCAL_WORLD_SIZE": str(self.count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(meeting.getsockname()[1]),
            STORE_FD: str(meeting.fileno()),
            REASON_FD: str(reason),
            LAUNCHER: str(os.getpid()),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        }

    def _note(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.signals and now - self.signals[-1][1] < SAME_SIGNAL_SEC:
            return
        self.signals.append((signum, now))

    def _wait(self) -> int:
        """Wait for all; give the code of the first that failed by itself."""
        ended: dict[int, int] = {}
        deadline = None
        passed_on = 0
        while len(ended) < self.count:
            # Not by the handler: it may run before the last process is known.
            for signum, _ in self.signals[passed_on:]:
                passed_on += 1
                for process in self.processes:
                    process.send_signal(signum)
            for rank, process in enumerate(self.processes):
                if rank not in ended and (code := process.poll()) is not None:
                    ended[rank] = code = as_exit_code(code)
                    if code not in (0, LOST):
                        self._say(rank, process)
            deadline = self._deadline(deadline, ended)
            if deadline is not None and time.monotonic() > deadline:
                return self._outcome(ended)
            time.sleep(_LOOK_EVERY_SEC)
        return self._outcome(ended)

    def _deadline(self, before: float | None, ended: dict[int, int]) -> float | None:
        """Until when the others may go on: for ever where none has failed."""
        now = time.monotonic()
        codes = [code for code in ended.values() if code != 0]
        times = [before] if before is not None else []
        if len(self.signals) > 1:
            times.append(self.signals[1][1] + AT_ONCE_SEC)
        elif codes and all(code in STOPPED.values() for code in codes):
            times.append(before or now + SAVING_SEC)
        elif codes:
            times.append(min(before or now + LEAVING_SEC, now + LEAVING_SEC))
        return min(times, default=None)

    def _outcome(self, ended: dict[int, int]) -> int:
        codes = [code for code in ended.values() if code != 0]
        own = [code for code in codes if code != LOST]
        code = own[0] if own else 1 if codes else 0
        if codes and not own:
            complain(self._first_reason())
        # Who was asked to stop is not to be started again.
        if len(self.signals) > 1 or (self.signals and code == OUT_OF_MEMORY):
            return STOPPED[self.signals[0][0]]
        return code

    def _first_reason(self) -> str:
        """Why all have ended where none has failed by itself."""
        lines = (self.reasons.read() or b"").decode(errors="replace").splitlines()
        unknown = "The processes lost one another. Run the same command again to go on."
        return lines[0] if lines else unknown

    def _say(self, rank: int, process: subprocess.Popen) -> None:
        """Say which process failed, and how, where it cannot have said so itself."""
        code = process.returncode
        if code >= 0 or as_exit_code(code) in STOPPED.values():
            if code == 1:
                complain(f"Process {rank} of {self.count} failed; its error is above.")
            return
        name = signal.Signals(-code).name
        why = " Was the memory full?" if name == "SIGKILL" else ""
        complain(
            f"Process {rank} of {self.count} was ended by {name}, and the others with it.{why} Run "
            "the same command again to go on."
        )

    def _kill(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()


def as_exit_code(returncode: int) -> int:
    """What a process's end means: 1 for a signal that nobody sends to stop a run."""
    if returncode >= 0:
        return returncode
    return STOPPED.get(-returncode, 1)
