"""Decoded frames of clips on local disk, to be read again at memory speed.

A file holds the frames of one clip that training can ask for, uncompressed, so that any of them is
mapped into memory and used in place. Its name is a digest of the clip's file and of the settings
it was decoded by: runs share what they have in common, and nothing is ever out of date.

Files appear whole, by a rename; after a loss of power a file may hold less than was written, so one
that is older than the last start of the machine is compared with its checksum before it is used.

Shape legend: T times, N frames, H height and W width in pixels.
"""

# A cache may hold a million files: `Path` objects would cost ten times as much.
# ruff: noqa: PTH108

import contextlib
import hashlib
import mmap
import os
import shutil
import struct
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.core.files import user_cache
from autox_video.video.files.remote import is_remote

SUFFIX = ".frames"
FREE_SHARE = 0.05
FREE_GIB_MAX = 5.0
FREE_PER_CACHED = 20.0
"""What is left free whatever the size allows: this share of the disk, but not more than this, and
no more than this times what the cache takes: one that is small beside the rest harms no one."""

_MAGIC = b"autoxvf1"
_MEANING = 3  # another number where the same file and settings give other frames
_HEADER = struct.Struct("<8sdIIIII")  # magic, seconds, T, N, H, W, checksum of what follows
_PIECES, _PIECE_BYTES = 8, 4096
"""Of the clip's file, spread evenly from start to end, that go into its name: of what is not
compressed, ends are often equal."""
_RECOUNT_SHARE = 0.02  # of the size, written by this process, after which the folder is read again
_TOUCH_AFTER_SEC = 3600.0
_PART = ".part"  # what a file is called while it is written
_TORN_AFTER_SEC = 3600.0  # a part as old as this was left by a process that was killed


@dataclass(frozen=True, slots=True)
class CachedClip:
    """The frames of a clip at some times.

    Attributes:
        seconds: length of the clip.
        times_sec: (T,) float64, increasing.
        index: (T,) int32: which frame is on screen at each time.
        frames: (N, H, W, 3) uint8 RGB, not to be written to.
    """

    seconds: float
    times_sec: np.ndarray
    index: np.ndarray
    frames: np.ndarray

    def frames_at(self, times_sec: np.ndarray) -> list[np.ndarray]:
        """Give the frames at times that are among `times_sec`, each (H, W, 3), without a copy."""
        places = np.searchsorted(self.times_sec, np.asarray(times_sec) - 1e-6)
        return [self.frames[i] for i in self.index[places]]


def default_folder() -> Path | None:
    """This user's cache of frames; None where there is no home."""
    return user_cache("frames")


def size_of(folder: Path) -> tuple[int, int]:
    """Give the number of cached clips in a folder and their bytes."""
    sizes = [entry.stat().st_size for entry in _entries(folder)]
    return len(sizes), sum(sizes)


def clear(folder: Path) -> tuple[int, int]:
    """Remove every cached clip, and nothing else; gives their number and bytes."""
    count = freed = 0
    for entry in _entries(folder):
        with contextlib.suppress(FileNotFoundError):
            size = entry.stat().st_size
            os.unlink(entry.path)
            count, freed = count + 1, freed + size
    _remove_torn(folder)
    return count, freed


class FrameCache:
    """Cached clips in a folder of bounded size; several processes and runs may use it at once.

    What is there stays while there is room. For more, clips go that no run has used since this one
    began, those unused for longest first; clips of this run stay, so that a data set which is
    larger than the cache is at least partly in it, epoch after epoch. A disk that is full, or a
    folder that cannot be written, only means that nothing more is kept.

    Args:
        folder: where the files are; made when the first is written.
        max_gib: what all files together may take, in GiB.
        since: time (seconds of the epoch) at which the run began; default: now.
    """

    def __init__(self, folder: str | Path, max_gib: float, since: float | None = None) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_gib * 2**30
        self.since = time.time() if since is None else since
        self._used: int | None = None
        self._written = 0
        self._full = False

    def name_of(self, video: str | Path, settings: str) -> str | None:
        """Give the name under which a clip is kept; None where its file cannot be read.

        What is at an address is taken never to change, and is not fetched for this.
        """
        settings = f"{settings}|{_MEANING}"
        if is_remote(video):
            return hashlib.blake2b(f"{video}|{settings}".encode(), digest_size=20).hexdigest()
        try:
            with open(video, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                last = max(0, status.st_size - _PIECE_BYTES)
                places = (last * piece // (_PIECES - 1) for piece in range(_PIECES))
                pieces = [os.pread(file.fileno(), _PIECE_BYTES, place) for place in places]
        except OSError:
            return None
        digest = hashlib.blake2b(b"".join(pieces), digest_size=20)
        digest.update(f"|{status.st_size}|{status.st_mtime_ns}|{settings}".encode())
        return digest.hexdigest()

    def get(self, name: str) -> CachedClip | None:
        """Give a cached clip; None where there is none, or the file is damaged and now removed."""
        path = self._path(name)
        try:
            with open(path, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # ValueError: an empty file
            return None
        clip = _read(memory, check=status.st_mtime < _machine_start())
        if clip is None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        elif time.time() - status.st_mtime > _TOUCH_AFTER_SEC:
            with contextlib.suppress(OSError):
                os.utime(path)
        return clip

    def put(self, name: str, clip: CachedClip) -> bool:
        """Keep a clip; whether there was room for it."""
        head, body = _pack(clip)
        size = len(head) + body.nbytes
        if self._full or not self._make_room(size):
            return False
        try:
            path = self._path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".", suffix=_PART, dir=path.parent)
            try:
                with open(handle, "wb") as file:
                    file.write(head)
                    file.write(body)
                os.replace(temporary, path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError:
            self._full = True
            return False
        self._used += size
        self._written += size
        return True

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / (name + SUFFIX)

    def _make_room(self, size: int) -> bool:
        if self._used is None or self._written > self.max_bytes * _RECOUNT_SHARE:
            _remove_torn(self.folder)
            self._used, self._written = size_of(self.folder)[1], 0
            if _too_little_free(self.folder, self._used, size):
                self._full = True
                return False
        if self._used + size <= self.max_bytes:
            return True
        self._remove_old(self._used + size - self.max_bytes)
        self._full = self._used + size > self.max_bytes
        return not self._full

    def _remove_old(self, wanted: int) -> None:
        """Remove clips that this run has not used, until `wanted` bytes are free or none is."""
        old = []
        for entry in _entries(self.folder):
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat()
                if status.st_mtime < self.since - _TOUCH_AFTER_SEC:
                    old.append((status.st_mtime, status.st_size, entry.path))
        for _, size, path in sorted(old):
            if wanted <= 0:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
                self._used -= size
                wanted -= size


def _entries(folder: Path, suffix: str = SUFFIX) -> list[os.DirEntry]:
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for group in os.scandir(folder):
            if len(group.name) == 2 and group.is_dir(follow_symlinks=False):
                found += [e for e in os.scandir(group.path) if e.name.endswith(suffix)]
    return found


def _remove_torn(folder: Path) -> None:
    """Remove what processes that were killed had begun to write."""
    for entry in _entries(folder, _PART):
        with contextlib.suppress(OSError):
            if entry.stat().st_mtime < time.time() - _TORN_AFTER_SEC:
                os.unlink(entry.path)


def free_bytes(folder: Path) -> int:
    """Give the free space on the disk where a folder is, or would be."""
    return _disk(folder).free


def _too_little_free(folder: Path, used: int, size: int) -> bool:
    disk = _disk(folder)
    least = disk.total * FREE_SHARE, FREE_GIB_MAX * 2**30, (used + size) * FREE_PER_CACHED
    return disk.free - size < min(least)


def _disk(folder: Path) -> Any:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder)


def _pack(clip: CachedClip) -> tuple[bytes, np.ndarray]:
    times = np.ascontiguousarray(clip.times_sec, dtype="<f8")
    index = np.ascontiguousarray(clip.index, dtype="<i4")
    frames = np.ascontiguousarray(clip.frames)
    small = times.tobytes() + index.tobytes()
    checksum = zlib.crc32(frames, zlib.crc32(small))
    num_frames, height, width, _ = frames.shape
    header = _HEADER.pack(_MAGIC, clip.seconds, len(times), num_frames, height, width, checksum)
    return header + small, frames


def _read(memory: mmap.mmap, *, check: bool) -> CachedClip | None:
    if len(memory) < _HEADER.size:
        return None
    magic, seconds, num_times, num_frames, height, width, checksum = _HEADER.unpack_from(memory)
    start = _HEADER.size + 12 * num_times
    if magic != _MAGIC or len(memory) != start + num_frames * height * width * 3:
        return None
    if check and zlib.crc32(memoryview(memory)[_HEADER.size :]) != checksum:
        return None
    times = np.frombuffer(memory, "<f8", num_times, _HEADER.size)
    index = np.frombuffer(memory, "<i4", num_times, _HEADER.size + 8 * num_times)
    frames = np.frombuffer(memory, np.uint8, offset=start)
    return CachedClip(seconds, times, index, frames.reshape(num_frames, height, width, 3))


def _machine_start() -> float:
    """Give the time at which this machine was started, in seconds of the epoch."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
