"""Read the CPU and memory limits of Linux control groups, as set by Docker, Slurm and systemd.

A limit also applies to all descendant groups, so the effective limit is the lowest among a group
and its ancestors.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class GroupLimits(NamedTuple):
    """The lowest CPU and memory limits among all groups of a process; infinity means no limit."""

    cores: float
    memory_bytes: float


def group_limits(root: str | Path = "/") -> GroupLimits:
    """Return the CPU and memory limits of this process; `root` is the root of the file system.

    Source: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of the Linux kernel.
    """
    folders = list(_groups(Path(root)))
    cores = min(map(_cores, folders), default=math.inf)
    return GroupLimits(cores, min(map(_memory, folders), default=math.inf))


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of all visible groups of this process, including their ancestors."""
    mounts = list(_mounts(root))
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        names, _, group = rest.partition(":")
        for top, folder, controllers in mounts:
            if number == "0" if controllers is None else controllers & set(names.split(",")):
                path = PurePosixPath(group)
                below = path.relative_to(top).parts if path.is_relative_to(top) else ()
                below = () if ".." in below else below  # the group is outside of this container
                for depth in range(len(below) + 1):
                    yield root.joinpath(folder.lstrip("/"), *below[:depth])


def _mounts(root: Path) -> Iterator[tuple[str, str, set[str] | None]]:
    """Yield the top group, the folder and the relevant controllers of each group hierarchy.

    For cgroup v2, which has a single hierarchy, the controllers are None.
    """
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) >= 5 and len(kinds) >= 3 and kinds[0] in ("cgroup", "cgroup2"):
            # A space in a path is escaped as \040.
            top, folder = (
                re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
                for text in fields[3:5]
            )
            controllers = {"cpu", "memory"} & set(kinds[2].split(","))
            yield top, folder, None if kinds[0] == "cgroup2" else controllers


def _cores(folder: Path) -> float:
    quota = _numbers(folder / "cpu.max") or [
        number for name in ("quota", "period") for number in _numbers(folder / f"cpu.cfs_{name}_us")
    ]
    return quota[0] / quota[1] if len(quota) == 2 and min(quota) > 0 else math.inf


def _memory(folder: Path) -> float:
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    limits = [_numbers(folder / name) for name in names]
    return min((limit[0] for limit in limits if len(limit) == 1 and limit[0] > 0), default=math.inf)


def _numbers(path: Path) -> list[int]:
    """Return the numbers in a file, ignoring other words such as `max`."""
    words = " ".join(_lines(path)).split()
    return [int(word) for word in words if re.fullmatch(r"-?\d{1,19}", word)]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
