"""Make the C library reuse freed memory instead of returning it to the system.

glibc returns freed blocks of more than a few tens of MiB to the system. The next allocation then
requests new pages, which the kernel must zero. A training step on a CPU allocates large blocks
hundreds of times (benchmarks/backbone.py measures models with and without this setting).
"""

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_MIB = 1024**2


def keep_freed_memory() -> bool:
    """Let this process and its forks reuse freed memory instead of returning it to the system.

    Returns:
        Whether the C library supports the setting; only glibc does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 64 * _MIB))
    return all(mallopt(option, value) == 1 for option, value in settings)
