"""Size-limited disk caches for decoded frames, clip features and downloaded clips.

Several processes and runs may share a cache folder. Each file is stored at FOLDER/??/NAME and is
renamed into place once it is complete. FOLDER/.usage contains the total size and is protected by a
lock. If FOLDER/.usage is lost or the total reaches the limit, the file sizes are added up again,
and the least recently used files are removed if necessary.
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
"""A full cache is reduced to this share of its limit, so that few writes have to remove files."""

TOUCH_AFTER_SEC = 3600.0
"""Minimum time between two updates of a file's access time, in seconds."""

FREE_SHARE, FREE_GIB_MAX, FREE_PER_CACHED = 0.05, 5.0, 20.0
"""Disk space that a cache leaves free: FREE_SHARE of the disk, but at most FREE_GIB_MAX GiB and at
most FREE_PER_CACHED times the cache size, because a small cache hardly matters on a full disk."""

_MAGIC = b"autoxvc1"
_HEAD = struct.Struct("<8sQI4x")  # magic; size in bytes and checksum of the content
_TORN_AFTER_SEC = 86400.0  # a temporary file this old was left behind by a crash


@dataclass(eq=False)
class DiskCache:
    """A size-limited folder of cached files that share a suffix.

    `get` and `put` read and write files with a checksum. Code that writes files in another format
    must call `reserve` before writing a file and `touch` after using one.
    """

    folder: Path
    """The cache folder, which is created when the first file is stored."""
    max_bytes: float | None = None
    """Limit on the total size; if None, half the space that would be free without the cache."""
    suffix: str = ""
    """Suffix of the cached files; other files are never counted or removed."""
    run_began: float | None = None
    """Start time of the run (Unix time); files used since then are kept, and some disk
    space is left free. If None, any file may be removed to make room for a new file."""
    _is_full: bool = False

    def path(self, name: str) -> Path:
        """Return the path of the file with this name, whether or not the file exists."""
        return self.folder / name[:2] / (name + self.suffix)

    def touch(self, path: Path) -> bool:
        """Update a file's access time if it is out of date; return whether the file exists."""
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        after_sec = 0.0 if self.run_began is None else TOUCH_AFTER_SEC
        if time.time() - status.st_atime > after_sec:
            # The access time of another user's file cannot be set, so such a file looks too old.
            with contextlib.suppress(PermissionError, FileNotFoundError):
                os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))
        return path.exists()

    def get(self, name: str, *, check: bool = False) -> memoryview | None:
        """Return the memory-mapped content stored by `put`; None if the file is missing or damaged.

        The checksum is verified if `check` is true, and also on the first use of a file that is
        older than the last boot, because a power failure may have left the file incomplete.
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
        """Store the concatenated parts in a file, without fsync; return whether there was room."""
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
        """Make room for `size` bytes and count them as used; return whether there was room.

        Raises OSError.
        """
        with self.lock("usage"):
            record = self.folder / ".usage"
            used = _recorded(record)
            if used is None or used + size > self.limit(used, size):
                used = self._make_room(size)
            has_room = used + size <= self.limit(used, size)
            record.write_text(str(used + size if has_room else used))
        return has_room

    def limit(self, used: int, size: int) -> float:
        """Return the size limit in bytes, given the bytes in use and the `size` of a new file."""
        disk = shutil.disk_usage(self.folder)
        if self.max_bytes is None:
            return (used + size + disk.free) // 2
        if self.run_began is None:
            return self.max_bytes
        least = disk.total * FREE_SHARE, FREE_GIB_MAX * 2**30, (used + size) * FREE_PER_CACHED
        return min(self.max_bytes, used + disk.free - min(least))

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock with this name while the `with` block runs; may raise OSError."""
        (self.folder / ".locks").mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".locks" / name, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def usage(self) -> tuple[int, int]:
        """Return the number of files and their total size in bytes."""
        sizes = [size for _, size, _ in self._files()]
        return len(sizes), sum(sizes)

    def clear(self) -> tuple[int, int]:
        """Remove all cached files; return their number and total size in bytes."""
        removed = [size for _, size, path in self._files() if _remove(path)]
        _remove(str(self.folder / ".usage"))
        return len(removed), sum(removed)

    def _make_room(self, size: int) -> int:
        """Remove files until `size` more bytes fit, if possible; return the bytes still in use."""
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
        """Return each file's access time, size and path; remove temporary files left by crashes."""
        # There may be a million files, and `Path` objects would take ten times as long.
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
    """Return the free bytes on the disk that holds a folder; the folder need not exist yet."""
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
    """Return the Unix time of the last boot."""
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
