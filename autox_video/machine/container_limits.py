"""What the control groups of Linux leave this process: the limits of Docker, Slurm and systemd.

A limit holds for all groups below the one that has it, so the least one on the way up counts.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """Least limits of all groups that a process is in; infinity where there is none."""

    cores: float
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class _Mount:
    """Where a tree of groups is to be seen."""

    root: PurePosixPath
    """Which group of the tree is at the top of what is to be seen."""
    path: str
    controllers: frozenset[str] | None
    """None for version 2, which has all of them in one tree."""


def group_limits(root: str | Path = "/") -> GroupLimits:
    """The limits on this process; `root` is where the file system begins.

    Source: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
    """
    root = Path(root)
    folders = list(_folders(root))
    cores = [_cores(folder) for folder in folders]
    memory = [_memory(folder) for folder in folders]
    return GroupLimits(min(cores, default=math.inf), min(memory, default=math.inf))


def _folders(root: Path) -> Iterator[Path]:
    """Every group that this process is in, with those above it, as far as they are to be seen."""
    mounts = list(_mounts(root))
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        wanted = set(names.split(","))
        for mount in mounts:
            mine = mount.controllers
            if number == "0" if mine is None else wanted & mine & {"cpu", "memory"}:
                yield from _way_up(root, mount, PurePosixPath(path))


def _way_up(root: Path, mount: _Mount, group: PurePosixPath) -> Iterator[Path]:
    top = root / mount.path.lstrip("/")
    below = group.relative_to(mount.root) if group.is_relative_to(mount.root) else PurePosixPath()
    if ".." in below.parts:  # of a group outside of this container's view
        below = PurePosixPath()
    yield top
    for number in range(len(below.parts)):
        yield top.joinpath(*below.parts[: number + 1])


def _mounts(root: Path) -> Iterator[_Mount]:
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or len(kinds) < 3 or kinds[0] not in ("cgroup", "cgroup2"):
            continue
        controllers = None if kinds[0] == "cgroup2" else frozenset(kinds[2].split(","))
        yield _Mount(PurePosixPath(_plain(fields[3])), _plain(fields[4]), controllers)


def _plain(text: str) -> str:
    r"""A path of mountinfo, where a space is written \040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _cores(folder: Path) -> float:
    quota = _numbers(folder / "cpu.max", 2)
    if quota is None:
        parts = [_numbers(folder / f"cpu.cfs_{name}_us", 1) for name in ("quota", "period")]
        quota = None if None in parts else [part[0] for part in parts]
    if quota is None or quota[0] <= 0 or quota[1] <= 0:
        return math.inf
    return quota[0] / quota[1]


def _memory(folder: Path) -> float:
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    limits = [_numbers(folder / name, 1) for name in names]
    return min((limit[0] for limit in limits if limit and limit[0] > 0), default=math.inf)


def _numbers(path: Path, count: int) -> list[int] | None:
    """The numbers in a file; None where there are not so many, as for the word `max`."""
    words = " ".join(_lines(path)).split()
    if len(words) != count or not all(re.fullmatch(r"-?\d{1,19}", word) for word in words):
        return None
    return [int(word) for word in words]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
