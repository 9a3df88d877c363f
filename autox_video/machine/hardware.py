"""Detect the device, memory, cores and fast dtypes of this machine."""

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
    """The hardware properties of a machine that affect the training plan."""

    device: str
    """Device for training, `cpu` or `cuda:N`."""
    device_name: str
    """Model name of the device."""
    cores: int
    """Number of CPU cores that this process may use."""
    memory_gib: float
    """Main memory that this process may use, in GiB."""
    gpu_memory_gib: float | None
    """GPU memory in GiB; None if the device is a CPU."""
    fast_bfloat16: bool
    """Whether bfloat16 matrix products are faster than float32 products."""
    fast_float16: bool = False
    """Whether float16 matrix products are faster than float32 products."""
    compiler: bool = False
    """Whether a C compiler, which torch.compile needs, is installed."""
    processes: int = 1
    """Number of training processes on all machines."""
    local_processes: int = 1
    """Number of training processes that share the cores and memory of this machine."""


def detect(device: str = "auto") -> Hardware:
    """Return the hardware of this machine.

    Args:
        device: `auto` (the first GPU, or the CPU if there is none), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ResourceError: the requested device does not exist.
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
    """Return the device for this process according to the config.

    If `launch` started several processes, they can see only the listed GPUs, numbered from 0.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        gpus: number of GPUs, or a tuple of GPU numbers, of which a single process uses the first.
    """
    takes_first = isinstance(gpus, tuple) and processes.current().size == 1
    return f"cuda:{gpus[0]}" if takes_first else device


def _choose_device(asked: str, gpus: int) -> str:
    if asked == "cpu" or (asked == "auto" and gpus == 0):
        return "cpu"
    index = int(asked.partition(":")[2] or 0) if asked != "auto" else 0
    if index >= gpus:
        there = f"PyTorch finds {gpus} CUDA GPU(s)" if gpus else "PyTorch finds no CUDA GPU"
        raise ResourceError(
            f"device: '{asked}' is not available on this machine ({there}); set device: auto or "
            "device: cpu, or run `autox-video doctor`."
        )
    return f"cuda:{index}"


def make_cublas_deterministic() -> None:
    """Make cuBLAS deterministic; must be called before cuBLAS is first used."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def usable_cores() -> int:
    """Return the number of cores that CPU affinity and cgroup limits let this process use."""
    cores = len(os.sched_getaffinity(0))
    return max(1, int(min(cores, group_limits().cores)))


def usable_memory_gib() -> float:
    """Return the main memory in GiB that this process may use, considering all limits."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    of_process = math.inf if address_space == resource.RLIM_INFINITY else address_space
    return min(total, of_process, group_limits().memory_bytes) / GIB


def has_compiler() -> bool:
    """Return whether a C compiler is installed."""
    return any(map(shutil.which, filter(None, (os.environ.get("CC"), "cc", "gcc", "clang"))))


def cpu_flags() -> frozenset[str]:
    """Return the CPU's feature flags as Linux names them; an empty set if they cannot be read."""
    return frozenset(_cpuinfo("flags").split())


def cpu_name() -> str:
    """Return the CPU's model name."""
    return _cpuinfo("model name") or "CPU"


def _cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(field))
    return next(values, "")
