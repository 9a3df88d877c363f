"""Files in folders of bounded size: decoded frames, features of clips, clips from elsewhere.

Several processes and runs may use a folder at once. A file lies at FOLDER/??/NAME and appears
whole, by a rename. What all of them take is counted in FOLDER/.usage, under a lock; a count that is
lost, or at the bound, is taken anew from the files, and then the least recently used ones go.
"""

import contextlib
import fcntl
import mmap
import os
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILLED_TO = 0.95
"""Share of the bound that stays when files must go, so that not every new one removes another."""

TOUCH_AFTER_SEC = 3600.0
"""A use is noted when the last one that was noted is as old as this."""

FREE_SHARE, FREE_GIB_MAX, FREE_PER_CACHED = 0.05, 5.0, 20.0
"""What is left free whatever the bound allows: this share of the disk, but not more than so many
GiB, nor so many times what the cache takes: one that is small beside the rest harms no one."""

_MAGIC = b"autoxvc1"
_HEAD = struct.Struct("<8sQI4x")  # magic, bytes and checksum of what follows
_TORN_AFTER_SEC = 86400.0  # a file that is still being written at this age is nobody's any more


@dataclass(eq=False)
class DiskCache:
    """Files with a common suffix in a folder of bounded size.

    `get` and `put` are of content with a checksum; who writes files of other kinds calls `reserve`
    before, and `touch` when one is used.
    """

    folder: Path
    """Made when the first file is written."""
    max_bytes: float | None = None
    """What all files may take; None: half of what the disk has free but for them."""
    suffix: str = ""
    """Of the files; others are never counted or removed."""
    run_began: float | None = None
    """Time (seconds of the epoch) since when used files stay, and the disk is not filled up; None:
    any file may go for a new one."""
    _is_full: bool = False

    def path(self, name: str) -> Path:
        """Where the file of that name is, or would be."""
        return self.folder / name[:2] / (name + self.suffix)

    def touch(self, path: Path) -> bool:
        """Note that a file is used now; whether it is there. Its time of change stays."""
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        after_sec = 0.0 if self.run_began is None else TOUCH_AFTER_SEC
        if time.time() - status.st_atime > after_sec:
            # Of another user's file the next one to need room sees an older use.
            with contextlib.suppress(PermissionError, FileNotFoundError):
                os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
        return path.exists()

    def get(self, name: str, *, check: bool = False) -> memoryview | None:
        """Give what `put` kept, mapped into memory; None where it is not there, or damaged.

        After a loss of power a file may hold less than was written, so one that is older than the
        last start of the machine is compared with its checksum; with `check` each is, every time.
        """
        path = self.path(name)
        try:
            with open(path, "rb", buffering=0) as file:
                is_unchecked = os.fstat(file.fileno()).st_mtime < _machine_start()
                content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError):  # ValueError: an empty file
            return None
        if not _is_sound(content, check=check or is_unchecked):
            _remove(path)
            return None
        if is_unchecked:
            with contextlib.suppress(OSError):
                os.utime(path)
        self.touch(path)
        return content[_HEAD.size :]

    def put(self, name: str, *parts: bytes | memoryview) -> bool:
        """Keep these parts, unflushed; whether there was room and the folder can be written."""
        if self._is_full:
            return False
        views = [memoryview(part).cast("B") for part in parts]
        size, checksum = sum(map(len, views)), 0
        for view in views:
            checksum = zlib.crc32(view, checksum)
        path = self.path(name)
        try:
            self._is_full = not self.reserve(_HEAD.size + size)
            if not self._is_full:
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, [_HEAD.pack(_MAGIC, size, checksum), *views])
        except OSError:
            self._is_full = True
        return not self._is_full

    def reserve(self, size: int) -> bool:
        """Make room for so many bytes, and count them; whether there is room; raises OSError."""
        with self.lock("usage"):
            record = self.folder / ".usage"
            used = _recorded(record)
            if used is None or used + size > self.limit(used, size):
                used = self._make_room(size)
            has_room = used + size <= self.limit(used, size)
            record.write_text(str(used + size if has_room else used))
        return has_room

    def limit(self, used: int, size: int) -> float:
        """The bytes that all files may take, where they take `used` and one of `size` is new."""
        disk = shutil.disk_usage(self.folder)
        if self.max_bytes is None:
            return (used + size + disk.free) // 2
        if self.run_began is None:
            return self.max_bytes
        least = disk.total * FREE_SHARE, FREE_GIB_MAX * 2**30, (used + size) * FREE_PER_CACHED
        return min(self.max_bytes, used + disk.free - min(least))

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keep others out that take the lock of this name; raises OSError."""
        (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".locks" / name, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def usage(self) -> tuple[int, int]:
        """Give the number of files, and their bytes."""
        sizes = [size for _, size, _ in self._files()]
        return len(sizes), sum(sizes)

    def clear(self) -> tuple[int, int]:
        """Remove every file, and nothing else; gives their number and bytes."""
        removed = [size for _, size, path in self._files() if _remove(path)]
        _remove(str(self.folder / ".usage"))
        return len(removed), sum(removed)

    def _make_room(self, size: int) -> int:
        """Remove files until `size` bytes more fit, or none may go; gives what the others take."""
        files = self._files()
        used = sum(file_size for _, file_size, _ in files)
        limit = self.limit(used, size)
        if used + size <= limit or size > limit:
            return used
        for used_at, file_size, path in sorted(files):
            is_in_use = self.run_began is not None and used_at >= self.run_began - TOUCH_AFTER_SEC
            if is_in_use or used + size <= limit * FILLED_TO:
                break
            used -= file_size if _remove(path) else 0
        return used

    def _files(self) -> list[tuple[float, int, str]]:
        """Give the time of last use, size and path of each file; drop what crashes have left."""
        # There may be a million: `Path` objects would cost ten times as much.
        files, torn_before = [], time.time() - _TORN_AFTER_SEC
        for entry in _entries(self.folder):
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat()
                if not entry.name.startswith("."):
                    if entry.name.endswith(self.suffix):
                        files.append((status.st_atime, status.st_size, entry.path))
                elif entry.name.endswith("part") and status.st_mtime < torn_before:
                    _remove(entry.path)
        return files


def free_bytes(folder: Path) -> int:
    """Give the free space on the disk where a folder is, or would be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _entries(folder: Path) -> Iterator[os.DirEntry]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for group in os.scandir(folder):
            if len(group.name) == 2 and group.is_dir(follow_symlinks=False):
                yield from os.scandir(group.path)


def _is_sound(content: memoryview, *, check: bool) -> bool:
    if len(content) < _HEAD.size:
        return False
    magic, size, checksum = _HEAD.unpack_from(content)
    body = content[_HEAD.size :]
    return magic == _MAGIC and len(body) == size and not (check and zlib.crc32(body) != checksum)


def _machine_start() -> float:
    """Give the time at which this machine was started, in seconds of the epoch."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _write(path: Path, parts: list) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.writelines(parts)
        os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: str | Path) -> bool:
    try:
        os.unlink(path)  # noqa: PTH108 (see `_files`)
    except OSError:
        return False
    return True


def _recorded(record: Path) -> int | None:
    try:
        return int(record.read_text())
    except (FileNotFoundError, ValueError):
        return None
