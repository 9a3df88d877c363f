"""Decoded frames of clips on local disk, to be read again at memory speed.

A file holds the frames of one clip that training can ask for, uncompressed, so that any of them is
mapped into memory and used in place. Its name is a digest of the clip's file and of how it was
decoded: runs share what they have in common, and nothing is ever out of date.

After a loss of power a file may hold less than was written, so one that is older than the last
start of the machine is compared with its checksum before it is used.

Shape legend: T times, N frames, H height and W width in pixels.
"""

import contextlib
import hashlib
import math
import mmap
import os
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autox_video.core.disk_cache import DiskCache
from autox_video.core.files import user_cache
from autox_video.video.files.remote import is_remote

SUFFIX = ".frames"

_MAGIC = b"autoxvf1"
_MEANING = 3  # another number where the same file and settings give other frames
_HEADER = struct.Struct("<8sdIIIII")  # magic, seconds, T, N, H, W, checksum of what follows
# Of the clip's file, spread evenly from start to end, that go into its name: of what is not
# compressed, ends are often equal.
_PIECES, _PIECE_BYTES = 8, 4096


def default_folder() -> Path | None:
    """This user's cache of frames; None where there is no home."""
    return user_cache("frames")


def content_name(video: str | Path, settings: str) -> str | None:
    """Give the name of what is made of a clip by some settings; None where it cannot be read.

    What is at an address is taken never to change, and is not fetched for this.
    """
    settings = f"{settings}|{_MEANING}"
    if is_remote(video):
        return hashlib.blake2b(f"{video}|{settings}".encode(), digest_size=20).hexdigest()
    digest = hashlib.blake2b(digest_size=20)
    try:
        with open(video, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            last = max(0, status.st_size - _PIECE_BYTES)
            for piece in range(_PIECES):
                start = last * piece // (_PIECES - 1)
                digest.update(os.pread(file.fileno(), _PIECE_BYTES, start))
    except OSError:
        return None
    digest.update(f"|{status.st_size}|{status.st_mtime_ns}|{settings}".encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class CachedClip:
    """The frames of a clip at some times."""

    seconds: float
    """Length of the clip."""
    times_sec: np.ndarray
    """(T,) float64, increasing."""
    index: np.ndarray
    """(T,) int32: which frame is on screen at each time."""
    frames: np.ndarray
    """(N, H, W, 3) uint8 RGB, not to be written to."""

    def frames_at(self, times_sec: np.ndarray) -> list[np.ndarray]:
        """Give the frames at times that are among `times_sec`, each (H, W, 3), without a copy."""
        rows = np.searchsorted(self.times_sec, np.asarray(times_sec) - 1e-6)
        return [self.frames[i] for i in self.index[rows]]


class FrameCache:
    """Cached clips in a folder of bounded size; several processes and runs may use it at once.

    Clips of this run stay, so that a data set which is larger than the cache is at least partly in
    it, epoch after epoch. A disk that is full, or a folder that cannot be written, only means that
    nothing more is kept.
    """

    def __init__(self, folder: str | Path, max_gib: float) -> None:
        self.files = DiskCache(Path(folder), max_gib * 2**30, SUFFIX, time.time())

    def get(self, name: str) -> CachedClip | None:
        """Give a cached clip; None where there is none, or the file is damaged and now removed."""
        path = self.files.path(name)
        try:
            with open(path, "rb", buffering=0) as file:
                is_unchecked = os.fstat(file.fileno()).st_mtime < _machine_start()
                memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # ValueError: an empty file
            return None
        clip = _unpack(memory, check=is_unchecked)
        with contextlib.suppress(OSError):
            if clip is None:
                path.unlink(missing_ok=True)
            elif is_unchecked:
                os.utime(path)
            else:
                self.files.touch(path)
        return clip

    def put(self, name: str, clip: CachedClip) -> bool:
        """Keep a clip; whether there was room for it."""
        return self.files.put(name, *_pack(clip))


def _pack(clip: CachedClip) -> tuple[bytes, np.ndarray]:
    times = np.ascontiguousarray(clip.times_sec, dtype="<f8")
    index = np.ascontiguousarray(clip.index, dtype="<i4")
    frames = np.ascontiguousarray(clip.frames)
    small = times.tobytes() + index.tobytes()
    checksum = zlib.crc32(frames, zlib.crc32(small))
    header = _HEADER.pack(_MAGIC, clip.seconds, len(times), *frames.shape[:3], checksum)
    return header + small, frames


def _unpack(memory: mmap.mmap, *, check: bool) -> CachedClip | None:
    if len(memory) < _HEADER.size:
        return None
    magic, seconds, num_times, *shape, checksum = _HEADER.unpack_from(memory)
    start = _HEADER.size + 12 * num_times
    if magic != _MAGIC or len(memory) != start + 3 * math.prod(shape):
        return None
    if check and zlib.crc32(memoryview(memory)[_HEADER.size :]) != checksum:
        return None
    times = np.frombuffer(memory, "<f8", num_times, _HEADER.size)
    index = np.frombuffer(memory, "<i4", num_times, _HEADER.size + 8 * num_times)
    frames = np.frombuffer(memory, np.uint8, offset=start)
    return CachedClip(seconds, times, index, frames.reshape(*shape, 3))


def _machine_start() -> float:
    """Give the time at which this machine was started, in seconds of the epoch."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
