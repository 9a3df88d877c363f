"""How this process asks the operating system for memory.

glibc gives every block over some tens of MiB back to the system when it is freed, and gets it as
fresh pages at the next request, which the kernel must clear one by one. A training step on a CPU
asks for such blocks hundreds of times (benchmarks/backbone.py shows models with and without it).
"""

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_MIB = 1024**2


def keep_freed_memory() -> bool:
    """Let this process, and those it forks, reuse freed memory rather than give it back.

    Gives whether the C library took the setting: only glibc has it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 64 * _MIB))
    return all(mallopt(option, value) == 1 for option, value in settings)
