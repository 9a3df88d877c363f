"""The processes that train or test together: who this one is, and what they tell each other.

They are started by `launch`, by torchrun or by Slurm's srun, on one machine or several. Alone, a
process is the first of one, and everything here does nothing. Importing this imports no torch.
"""

import ctypes
import os
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

_LONGEST_WAIT = timedelta(days=7)  # for the first process, while it opens every clip
_PR_SET_PDEATHSIG = 1

_control: Any = None
"""The group over which plain values travel, whatever the gradients travel over."""


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


def here() -> Processes:
    """What the environment says: torchrun's variables, else those of a Slurm step, else alone."""
    env = os.environ
    if "RANK" in env and "WORLD_SIZE" in env:
        size = int(env["WORLD_SIZE"])
        local_size = int(env.get("LOCAL_WORLD_SIZE", size))
        return Processes(int(env["RANK"]), size, int(env.get("LOCAL_RANK", 0)), local_size)
    # A batch script, too, has SLURM_NTASKS; only srun makes a step of several tasks.
    size = int(env.get("SLURM_STEP_NUM_TASKS", 1))
    if size == 1 or "SLURM_PROCID" not in env:
        return Processes()
    here_of_each = re.match(r"\d+", env.get("SLURM_STEP_TASKS_PER_NODE", "1"))
    local_size = int(here_of_each[0]) if here_of_each else 1
    return Processes(int(env["SLURM_PROCID"]), size, int(env.get("SLURM_LOCALID", 0)), local_size)


def join() -> Processes:
    """Meet the other processes, if there are any; a second call changes nothing."""
    global _control
    me = here()
    if me.size == 1 or _control is not None:
        return me
    _set_meeting_place(os.environ)
    if me.local_size == me.size:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # Whoever started this process must not leave it behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    import torch
    from torch import distributed

    gpu = torch.cuda.is_available()
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if gpu else "gloo", rank=me.rank, world_size=me.size
    )
    _control = distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    return me


def leave() -> None:
    """Part from the other processes."""
    global _control
    if _control is not None:
        from torch import distributed

        _control = None
        distributed.destroy_process_group()


def share(value: Any = None) -> Any:
    """Give every process the main one's value, which may take it as long as it likes."""
    if _control is None:
        return value
    from torch import distributed

    box = [value]
    distributed.broadcast_object_list(box, src=0, group=_control)
    return box[0]


def gather(value: Any) -> list[Any]:
    """Give every process the values of all, by rank."""
    if _control is None:
        return [value]
    from torch import distributed

    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value, group=_control)
    return values


def largest(values: Sequence[int]) -> list[int]:
    """Give every process, place by place, the largest of all processes' values."""
    if _control is None:
        return list(values)
    import torch
    from torch import distributed

    numbers = torch.tensor(values)
    distributed.all_reduce(numbers, distributed.ReduceOp.MAX, group=_control)
    return numbers.tolist()


def _set_meeting_place(env: Mapping[str, str]) -> None:
    """Where torchrun has not, name a machine and a port that all tasks of a Slurm step agree on."""
    if "MASTER_ADDR" not in env:
        os.environ["MASTER_ADDR"] = first_host(
            env.get("SLURM_STEP_NODELIST", env.get("SLURM_NODELIST", "127.0.0.1"))
        )
    if "MASTER_PORT" not in env:
        os.environ["MASTER_PORT"] = str(20_000 + int(env.get("SLURM_JOB_ID", 0)) % 20_000)


def first_host(nodes: str) -> str:
    """The first machine of a Slurm list: `gpu[03-05,9],cpu1` begins with gpu03."""
    found = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", nodes)
    if found is None:
        return "127.0.0.1"
    prefix, number, suffix = found.groups()
    return prefix if number is None else f"{prefix}{number}{suffix}"
