"""What the control groups of Linux leave this process: the limits of Docker, Slurm and systemd.

A limit holds for all groups below the one that has it, so the least one on the way up counts.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class GroupLimits(NamedTuple):
    """Least limits of all groups that a process is in; infinity where there is none."""

    cores: float
    memory_bytes: float


def group_limits(root: str | Path = "/") -> GroupLimits:
    """The limits on this process; `root` is where the file system begins.

    Source: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
    """
    folders = list(_groups(Path(root)))
    cores = min(map(_cores, folders), default=math.inf)
    return GroupLimits(cores, min(map(_memory, folders), default=math.inf))


def _groups(root: Path) -> Iterator[Path]:
    """Every group that this process is in, with those above it, as far as they are to be seen."""
    mounts = list(_mounts(root))
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        names, _, group = rest.partition(":")
        for top, folder, controllers in mounts:
            if number == "0" if controllers is None else controllers & set(names.split(",")):
                path = PurePosixPath(group)
                below = path.relative_to(top).parts if path.is_relative_to(top) else ()
                below = () if ".." in below else below  # of a group outside of this container
                for depth in range(len(below) + 1):
                    yield root.joinpath(folder.lstrip("/"), *below[:depth])


def _mounts(root: Path) -> Iterator[tuple[str, str, set[str] | None]]:
    """Each tree of groups: which group is at its top, where it is, and its controllers that count.

    None for version 2, which has all of them in one tree.
    """
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) >= 5 and len(kinds) >= 3 and kinds[0] in ("cgroup", "cgroup2"):
            # A space in a path is written \040.
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
    """The numbers in a file; none where it holds something else, as the word `max`."""
    words = " ".join(_lines(path)).split()
    return [int(word) for word in words if re.fullmatch(r"-?\d{1,19}", word)]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
