"""What this machine has: devices, memory, cores, fast number types."""

import math
import os
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autox_video.core.errors import ResourceError
from autox_video.distributed import processes
from autox_video.machine.container_limits import group_limits

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Hardware:
    """The facts about a machine that choices depend on."""

    device: str
    """`cpu` or `cuda:N`."""
    device_name: str
    """What the maker calls it."""
    cores: int
    """Processor cores this process may use."""
    memory_gib: float
    """Main memory this process may use, in GiB."""
    gpu_memory_gib: float | None
    """Memory of the GPU in GiB, None on a CPU."""
    fast_bfloat16: bool
    """Whether the device multiplies bfloat16 matrices faster than float32 ones."""
    fast_float16: bool = False
    """Whether the device multiplies float16 matrices faster than float32 ones."""
    compiler: bool = False
    """Whether there is a C compiler, without which torch.compile does nothing."""
    processes: int = 1
    """Processes that train together, on all machines."""
    local_processes: int = 1
    """Those of them on this machine, which share its cores and memory."""


def detect(device: str = "auto") -> Hardware:
    """Look at this machine.

    Args:
        device: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ResourceError: the device asked for is not there.
    """
    import torch

    chosen = _choose_device(device, torch.cuda.device_count() if torch.cuda.is_available() else 0)
    common = {
        "device": chosen,
        "cores": usable_cores(),
        "memory_gib": usable_memory_gib(),
        "compiler": has_compiler(),
    }
    if chosen == "cpu":
        fast = bool({"amx_bf16", "avx512_bf16"} & cpu_flags())
        return Hardware(device_name=cpu_name(), gpu_memory_gib=None, fast_bfloat16=fast, **common)
    gpu = torch.cuda.get_device_properties(chosen)
    return Hardware(
        device_name=gpu.name,
        gpu_memory_gib=gpu.total_memory / GIB,
        fast_bfloat16=gpu.major >= 8,
        fast_float16=gpu.major >= 7,
        **common,
    )


def device_to_find(device: str, gpus: Any) -> str:
    """The device that this process looks for, of what the config says.

    Several processes that `launch` starts see the GPUs of a list alone, and count them from 0.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        gpus: how many GPUs, or a tuple of their numbers, of which one process takes the first.
    """
    takes_first = isinstance(gpus, tuple) and processes.current().size == 1
    return f"cuda:{gpus[0]}" if takes_first else device


def _choose_device(asked: str, gpus: int) -> str:
    if asked == "cpu" or (asked == "auto" and gpus == 0):
        return "cpu"
    index = int(asked.partition(":")[2] or 0) if asked != "auto" else 0
    if index >= gpus:
        there = f"{gpus} CUDA GPU(s) usable by PyTorch" if gpus else "no CUDA GPU usable by PyTorch"
        raise ResourceError(
            f"device: '{asked}' is not on this machine ({there}); set device: auto or device: cpu, "
            "or see `autox-video doctor`."
        )
    return f"cuda:{index}"


def make_cublas_deterministic() -> None:
    """Have cuBLAS give the same bits in every run; heard only before its first use on a GPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def usable_cores() -> int:
    """Cores that this process may use: its affinity mask, and the limits of its control groups."""
    cores = len(os.sched_getaffinity(0))
    return max(1, int(min(cores, group_limits().cores)))


def usable_memory_gib() -> float:
    """Main memory that this process may use, in GiB: the machine's, or the least limit on it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    of_process = math.inf if address_space == resource.RLIM_INFINITY else address_space
    return min(total, of_process, group_limits().memory_bytes) / GIB


def has_compiler() -> bool:
    """Whether a C compiler can be found."""
    return any(map(shutil.which, filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))))


def cpu_flags() -> frozenset[str]:
    """The processor's feature flags as Linux names them; empty where they cannot be read."""
    return frozenset(_cpuinfo("flags").split())


def cpu_name() -> str:
    """The processor's name as Linux gives it."""
    return _cpuinfo("model name") or "CPU"


def _cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(field))
    return next(values, "")
