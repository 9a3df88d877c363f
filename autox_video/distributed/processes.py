"""Connect the processes that share a training run or test; provide ranks and collectives.

The processes are started by `launch` or by torchrun, on one or more machines. A single process has
rank 0 of 1, and its collectives do nothing. Importing this module does not import torch.
"""

import ctypes
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from autox_video.core import console
from autox_video.core.errors import AutoXVideoError, ConfigError, ResourceError

LAUNCHER = "AUTOX_VIDEO_LAUNCHER"
"""Environment variable with the pid of the launcher that started this process."""
STORE_FD = "AUTOX_VIDEO_STORE_FD"
"""Environment variable with the file descriptor of the main process's store socket."""
REASON_FD = "AUTOX_VIDEO_REASON_FD"
"""Environment variable with the file descriptor of a pipe for messages about lost connections."""
LOST = 76
"""Exit code of a process that lost its connection to the other processes."""
OUT_OF_MEMORY = 75
"""Exit code of a process that ran out of memory and has saved settings that need less memory.
`launch` then restarts all processes."""
STOPPED = {
    signal.SIGHUP: 128 + signal.SIGHUP,
    signal.SIGINT: 128 + signal.SIGINT,
    signal.SIGTERM: 128 + signal.SIGTERM,
    signal.SIGUSR1: 128 + signal.SIGTERM,  # sent by Slurm, if asked to, before SIGTERM
}
"""For each stop signal, the exit code of a process that the signal has stopped."""

_LONGEST_WAIT = timedelta(days=7)  # for the main process while it opens every clip
_MEETING_TIME = timedelta(minutes=10)
_PR_SET_PDEATHSIG = 1
_FROM_GLOO = re.compile(r"\[\S*/gloo/\S+:\d+\] ")
"""Pattern of the source location in gloo's errors, which have no exception class of their own."""
_LONGEST_REASON = 600

_control: Any = None
"""The gloo process group that exchanges Python objects, whatever backend the gradients use."""
_store: Any = None
"""The key-value store that the processes used to find each other."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """The number of processes, and the rank of the current process."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Rank among the processes on this machine; also the number of this process's GPU."""
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and prints messages."""
        return self.rank == 0


def current() -> Processes:
    """Return the rank and world size set by torchrun; rank 0 of 1 if the variables are unset.

    Raises:
        ConfigError: the variables are not numbers or contradict each other, or srun started
            several independent processes.
    """
    if not started_by_others():
        tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
        if tasks != "1" and "SLURM_PROCID" in os.environ:
            raise ConfigError(
                f"srun has started {tasks} independent processes. Start a single process on each "
                "machine, which then starts the others: srun --ntasks-per-node=1 dist_train.sh N."
            )
        return Processes()
    size = _number("WORLD_SIZE")
    me = Processes(
        _number("RANK"), size, _number("LOCAL_RANK", "0"), _number("LOCAL_WORLD_SIZE", str(size))
    )
    if me.rank >= size or me.local_size > size or me.local_rank >= max(me.local_size, 1):
        raise ConfigError(
            f"The environment variables contradict each other: RANK={me.rank}, WORLD_SIZE={size}, "
            f"LOCAL_RANK={me.local_rank}, LOCAL_WORLD_SIZE={me.local_size}. Start the processes "
            "with dist_train.sh or torchrun."
        )
    return me


def started_by_others() -> bool:
    """Return whether torchrun or `launch` started this process, alone or with others."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def _number(name: str, default: str = "") -> int:
    text = os.environ.get(name, default)
    if not text.isdecimal():
        raise ConfigError(
            f"The environment variable {name} is '{text}', which is not a number. Start the "
            "processes with dist_train.sh or torchrun."
        )
    return int(text)


def join() -> Processes:
    """Connect to the other processes, if there are any; a second call does nothing.

    From then on, only the main process prints messages.

    Raises:
        ResourceError: the other processes cannot be reached.
    """
    global _control, _store
    me = current()
    if me.size == 1 or joined():
        return me
    follow_launcher()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # hides warnings about host names
    if me.local_size == me.size:
        # Gloo looks up the host name of the machine, which often cannot be resolved.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if not me.is_main:
        console.be_silent()
        warnings.simplefilter("ignore")

    import torch
    from torch import distributed

    hook = sys.excepthook
    try:
        _store = _meet(me)
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=distributed.PrefixStore("autox_video", _store),
            rank=me.rank,
            world_size=me.size,
        )
        _control = distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    except (distributed.DistError, RuntimeError, ValueError) as error:
        raise ResourceError(
            f"Process {me.rank} of {me.size} could not connect to the others at "
            f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')} "
            f"({str(error).splitlines()[0][:200]}). Check that all processes are running, and that "
            "every machine can reach MASTER_ADDR and MASTER_PORT."
        ) from error
    if hook is not sys.__excepthook__:
        sys.excepthook = hook  # torch's wrapper would hide the message
    return me


def _meet(me: Processes) -> Any:
    """Return the shared key-value store, which torchrun or the main process hosts."""
    from torch import distributed

    if STORE_FD not in os.environ:
        return next(distributed.rendezvous("env://", me.rank, me.size, timeout=_MEETING_TIME))[0]
    listening = {"master_listen_fd": int(os.environ[STORE_FD])} if me.is_main else {}
    return distributed.TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        me.size,
        me.is_main,
        timeout=_MEETING_TIME,
        **listening,
    )


def joined() -> bool:
    """Return whether this process is connected to others."""
    return _control is not None


def leave() -> None:
    """Disconnect from the other processes once all of them have called this function."""
    global _control, _store
    if joined():
        from torch import distributed

        distributed.barrier(group=_control)
        _control = _store = None
        distributed.destroy_process_group()


def local_device(device: str) -> str:
    """Return the device of this process: `cpu` or its own GPU.

    Args:
        device: the plan's device, `cpu` or `cuda:N`; N is ignored if there are several processes.
    """
    me = current()
    if me.size == 1 or device == "cpu":
        return device
    import torch

    # On a cluster, each process may see only its own GPU.
    return f"cuda:{me.local_rank % torch.cuda.device_count()}"


def broadcast(value: Any = None) -> Any:
    """Return the main process's value in every process, waiting up to a week for it."""
    if not joined():
        return value
    from torch import distributed

    box = [value]
    distributed.broadcast_object_list(box, src=0, group=_control)
    return box[0]


def all_gather(value: Any) -> list[Any]:
    """Return the values of all processes, in order of rank, in every process."""
    if not joined():
        return [value]
    from torch import distributed

    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value, group=_control)
    return values


def all_reduce_max(values: Sequence[int]) -> list[int]:
    """Return the element-wise maximum over all processes, in every process."""
    if not joined():
        return list(values)
    import torch
    from torch import distributed

    numbers = torch.tensor(values)
    distributed.all_reduce(numbers, distributed.ReduceOp.MAX, group=_control)
    return numbers.tolist()


def run_on_rank_zero(make: Callable[[], T]) -> T:
    """Call a function in the main process and return its value in all processes.

    An AutoXVideoError is raised in all processes, so that they can handle it together. On any other
    error, the other processes exit silently with the exit code of the main process.
    """
    if not joined():
        return make()
    if not current().is_main:
        value, failure = broadcast()
        if failure is not None:
            raise failure if isinstance(failure, AutoXVideoError) else SystemExit(failure)
        return value
    try:
        value = make()
    except BaseException as error:
        failure = error if isinstance(error, AutoXVideoError) else _exit_code_of(error)
        with suppress(RuntimeError):  # the other processes may have ended already
            broadcast((None, failure))
        raise
    broadcast((value, None))
    return value


def _exit_code_of(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return STOPPED[signal.SIGINT]
    code = error.code if isinstance(error, SystemExit) else getattr(error, "exit_code", 1)
    return code if isinstance(code, int) else 1


def may_complain() -> bool:
    """Return whether to report why all processes are exiting; True only for the first caller.

    Before the processes are connected, one process on each machine may report a reason.
    """
    if _store is None:
        # This works even if other environment variables are wrong.
        return os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
    try:
        return _store.add("complaints", 1) == 1
    except RuntimeError:
        return False  # the main process has ended and reported why


def lost_others(error: BaseException) -> bool:
    """Return whether an error means that communication with another process failed."""
    if not joined():
        return False
    from torch import distributed

    from_gloo = isinstance(error, RuntimeError) and _FROM_GLOO.match(str(error))
    return bool(from_gloo) or isinstance(error, distributed.DistError)


def end_as_lost(error: BaseException) -> int:
    """Report a lost connection to the other processes and return the exit code.

    Under `launch`, the launcher receives the message and prints it if no process reported another
    error. Without `launch`, the first process that calls `may_complain` prints the message.
    """
    me = current()
    what = f"{type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST_REASON]
    sentence = (
        f"Process {me.rank} of {me.size} lost the connection to the others ({what}). Run the same "
        "command again to resume."
    )
    if LAUNCHER in os.environ:
        with suppress(OSError, ValueError):
            os.write(int(os.environ.get(REASON_FD, "")), f"{sentence}\n".encode())
        return LOST
    if may_complain():
        console.complain(sentence)
    return 1


def follow_launcher() -> None:
    """Arrange for this process to receive SIGTERM when `launch` or torchrun is killed."""
    if LAUNCHER not in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.environ.get(LAUNCHER, str(os.getppid())) != str(os.getppid()):
        os.kill(os.getpid(), signal.SIGTERM)  # the launcher has already been killed
