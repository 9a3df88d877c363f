"""The cache of decoded frames on the local disk; cached frames are read at memory speed.

Each file contains all the frames that training can request from one clip, uncompressed so that they
can be memory-mapped. The file name is a digest of the clip's file and the decoding parameters, so
that runs can share entries and no entry is ever stale.

Shape legend: T times, N frames, H height and W width in pixels.
"""

import hashlib
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autox_video.core.disk_cache import DiskCache
from autox_video.core.files import user_cache
from autox_video.video.files.remote import is_remote

SUFFIX = ".frames"

_MEANING = 3  # increase this when the same file and parameters give different frames
_HEAD = struct.Struct("<dIIII8x")  # seconds, T, N, H, W
# Number and size of the pieces of a clip's file that are hashed. The pieces are spread over the
# whole file, since uncompressed files often have equal ends.
_PIECES, _PIECE_BYTES = 8, 4096


def default_folder() -> Path | None:
    """Return the user's cache folder for frames; None if there is no home folder."""
    return user_cache("frames")


def content_name(video: str | Path, reading: str) -> str | None:
    """Return the cache file name for a clip and its decoding parameters; None if the clip is
    unreadable.

    Remote clips are assumed never to change; they are not fetched to compute the name.
    """
    reading = f"{reading}|{_MEANING}"
    if is_remote(video):
        return hashlib.blake2b(f"{video}|{reading}".encode(), digest_size=20).hexdigest()
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
    digest.update(f"|{status.st_size}|{status.st_mtime_ns}|{reading}".encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class CachedClip:
    """The frames of a clip at given times."""

    seconds: float
    """Length of the clip, in seconds."""
    times_sec: np.ndarray
    """Times (T,) float64 in seconds, in increasing order."""
    index: np.ndarray
    """Index (T,) int32 of the frame shown at each time."""
    frames: np.ndarray
    """Frames (N, H, W, 3) uint8 RGB, read-only."""

    def frames_at(self, times_sec: np.ndarray) -> list[np.ndarray]:
        """Return the frames (H, W, 3) at a subset of the clip's times, without copying."""
        rows = np.searchsorted(self.times_sec, np.asarray(times_sec) - 1e-6)
        return [self.frames[i] for i in self.index[rows]]


class FrameCache:
    """Cached clips in a folder of limited size, which several processes and runs may share.

    Clips of this run are never evicted, so that a data set larger than the cache stays partly
    cached throughout all epochs. If the disk is full or the folder is not writable, caching stops.
    """

    def __init__(self, folder: str | Path, max_gib: float) -> None:
        self.files = DiskCache(Path(folder), max_gib * 2**30, SUFFIX, time.time())

    def get(self, name: str) -> CachedClip | None:
        """Return a clip from the cache; None if it is not cached or its file is damaged."""
        content = self.files.get(name)
        if content is None:
            return None
        seconds, num_times, *shape = _HEAD.unpack_from(content)
        end = _HEAD.size + 8 * num_times
        times = np.frombuffer(content, "<f8", num_times, _HEAD.size)
        index = np.frombuffer(content, "<i4", num_times, end)
        frames = np.frombuffer(content, np.uint8, offset=end + 4 * num_times)
        return CachedClip(seconds, times, index, frames.reshape(*shape, 3))

    def put(self, name: str, clip: CachedClip) -> bool:
        """Cache a clip, and return whether there was room for it."""
        columns = ((clip.times_sec, "<f8"), (clip.index, "<i4"), (clip.frames, np.uint8))
        arrays = [np.ascontiguousarray(column, dtype) for column, dtype in columns]
        head = _HEAD.pack(clip.seconds, len(clip.times_sec), *clip.frames.shape[:3])
        return self.files.put(name, head, *arrays)
