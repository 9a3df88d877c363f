"""The processes that train or test together: which of them this one is, and their collectives.

They are started by `launch` or by torchrun, on one machine or several. Alone, a process is the
first of one, and everything here does nothing. Importing this imports no torch.
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
"""Variable with the pid of the `launch` that started this process."""
STORE_FD = "AUTOX_VIDEO_STORE_FD"
"""Variable with the number of the open socket at which the first process is met."""
REASON_FD = "AUTOX_VIDEO_REASON_FD"
"""Variable with the number of a pipe into which who ends as LOST says what it saw."""
LOST = 76
"""Exit code of a process that ended because another one had; `launch` looks for that other."""
OUT_OF_MEMORY = 75
"""Exit code of a process that has noted how to use less, and wants all to be started again."""
STOPPED = {
    signal.SIGHUP: 128 + signal.SIGHUP,
    signal.SIGINT: 128 + signal.SIGINT,
    signal.SIGTERM: 128 + signal.SIGTERM,
    signal.SIGUSR1: 128 + signal.SIGTERM,  # Slurm's, on request, to say that SIGTERM is near
}
"""Exit code of a process that was asked to stop, by signal."""

_LONGEST_WAIT = timedelta(days=7)  # for the first process, while it opens every clip
_MEETING_TIME = timedelta(minutes=10)
_PR_SET_PDEATHSIG = 1
_FROM_GLOO = re.compile(r"\[\S*/gloo/\S+:\d+\] ")
"""How an error of gloo begins, with the line of its source; it has no class of its own."""
_LONGEST_REASON = 600

_control: Any = None
"""The group over which plain values travel, whatever the gradients travel over."""
_store: Any = None
"""Where the processes met."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """How many processes there are, and which of them this one is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among those on this machine; also the number of its GPU."""
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and speaks to the user."""
        return self.rank == 0


def current() -> Processes:
    """What torchrun's variables in the environment say; without them, this process is alone.

    Raises:
        ConfigError: the variables are no numbers, or do not fit together.
    """
    if not started_by_others():
        tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
        if tasks != "1" and "SLURM_PROCID" in os.environ:
            raise ConfigError(
                f"srun has started {tasks} processes that do not know each other; start one on "
                "each machine, which starts the others: srun --ntasks-per-node=1 dist_train.sh N."
            )
        return Processes()
    size = _number("WORLD_SIZE")
    me = Processes(
        _number("RANK"), size, _number("LOCAL_RANK", "0"), _number("LOCAL_WORLD_SIZE", str(size))
    )
    if me.rank >= size or me.local_size > size or me.local_rank >= max(me.local_size, 1):
        raise ConfigError(
            f"The environment says process {me.rank} of {size}, {me.local_rank} of {me.local_size} "
            "on this machine, which cannot be: see RANK, WORLD_SIZE, LOCAL_RANK and "
            "LOCAL_WORLD_SIZE."
        )
    return me


def started_by_others() -> bool:
    """Whether torchrun or `launch` has started this process, if only as one of one."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def _number(name: str, default: str = "") -> int:
    text = os.environ.get(name, default)
    if not text.isdecimal():
        raise ConfigError(
            f"{name} in the environment is '{text}', not a number; start the processes by "
            "dist_train.sh or torchrun."
        )
    return int(text)


def join() -> Processes:
    """Meet the other processes, if there are any; a second call changes nothing.

    The others are silent from then on: the first speaks for all.

    Raises:
        ResourceError: they cannot be reached.
    """
    global _control, _store
    me = current()
    if me.size == 1 or joined():
        return me
    follow_launcher()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # warns of names it cannot look up
    if me.local_size == me.size:
        # Gloo looks up the machine's own name, which leads nowhere on many.
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
            f"Process {me.rank} of {me.size} could not meet the others at "
            f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')} "
            f"({str(error).splitlines()[0][:200]}). Have all been started, and can every machine "
            "reach MASTER_ADDR and MASTER_PORT?"
        ) from error
    if hook is not sys.__excepthook__:
        sys.excepthook = hook  # torch has put one of its own around it, which holds back the text
    return me


def _meet(me: Processes) -> Any:
    """Give the store that all processes share, which the main one keeps unless torchrun does."""
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
    """Whether this process has met others."""
    return _control is not None


def leave() -> None:
    """Part from the other processes, once all have come here."""
    global _control, _store
    if joined():
        from torch import distributed

        distributed.barrier(group=_control)
        _control = _store = None
        distributed.destroy_process_group()


def local_device(device: str) -> str:
    """The device on which this process computes, whatever the plan of all says: `cpu` or its GPU.

    Args:
        device: that of the plan: `cpu` or `cuda:N`, where one process alone keeps to N.
    """
    me = current()
    if me.size == 1 or device == "cpu":
        return device
    import torch

    # A cluster may show each process its own GPU only.
    return f"cuda:{me.local_rank % torch.cuda.device_count()}"


def broadcast(value: Any = None) -> Any:
    """Give every process the main one's value, which may take it as long as it likes."""
    if not joined():
        return value
    from torch import distributed

    box = [value]
    distributed.broadcast_object_list(box, src=0, group=_control)
    return box[0]


def all_gather(value: Any) -> list[Any]:
    """Give every process the values of all, by rank."""
    if not joined():
        return [value]
    from torch import distributed

    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value, group=_control)
    return values


def all_reduce_max(values: Sequence[int]) -> list[int]:
    """Give every process, place by place, the largest of all processes' values."""
    if not joined():
        return list(values)
    import torch
    from torch import distributed

    numbers = torch.tensor(values)
    distributed.all_reduce(numbers, distributed.ReduceOp.MAX, group=_control)
    return numbers.tolist()


def run_on_rank_zero(make: Callable[[], T]) -> T:
    """Have the main process make something, and give it to all.

    What the user can mend is raised in all of them, so that they may go on together without it.
    Where it fails there otherwise, the others leave without a word, with the main one's exit code.
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
        with suppress(RuntimeError):  # the others may be gone already
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
    """Whether this process is the one that tells the user why all of them end: the first to ask.

    Before the processes have met, one on each machine may.
    """
    if _store is None:
        # Whatever else is wrong in the environment.
        return os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
    try:
        return _store.add("complaints", 1) == 1
    except RuntimeError:
        return False  # the main process has gone, and has said why


def lost_others(error: BaseException) -> bool:
    """Whether an error is one of talking to other processes, one of which may have ended."""
    if not joined():
        return False
    from torch import distributed

    from_gloo = isinstance(error, RuntimeError) and _FROM_GLOO.match(str(error))
    return bool(from_gloo) or isinstance(error, distributed.DistError)


def end_as_lost(error: BaseException) -> int:
    """Give the exit code of a process that has lost the others, and see to it that they are told.

    `launch` tells of it where no other has failed by itself; else the first to ask does.
    """
    me = current()
    what = f"{type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST_REASON]
    sentence = (
        f"Process {me.rank} of {me.size} could not talk to the others any more ({what}). Run the "
        "same command again to resume."
    )
    if LAUNCHER in os.environ:
        with suppress(OSError, ValueError):
            os.write(int(os.environ.get(REASON_FD, "")), f"{sentence}\n".encode())
        return LOST
    if may_complain():
        console.complain(sentence)
    return 1


def follow_launcher() -> None:
    """Let this process be told to stop, as by SIGTERM, when `launch` or torchrun is killed."""
    if LAUNCHER not in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.environ.get(LAUNCHER, str(os.getppid())) != str(os.getppid()):
        os.kill(os.getpid(), signal.SIGTERM)  # it was killed before
