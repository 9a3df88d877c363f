"""Features of clips on disk, one file a clip, so that a job that was stopped goes on with the rest.

A file's name is a digest of the weights, of how the clip was read and of the clip's file: nothing
is ever out of date, and runs share what they have in common. Each carries a checksum; one that is
damaged counts as missing.

Shape letters: V views, N tokens, C channels.
"""

import contextlib
import hashlib
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from autox_video.core.files import user_cache
from autox_video.data.loading.frame_cache import FrameCache, free_bytes

SUFFIX = ".features"
MAX_GIB = 4.0
"""What all files together may take, unless the caller says otherwise."""

LEAST_FREE_GIB = 1.0
"""What is left free of the disk."""

_MAGIC = b"autoxft1"
_HEADER = struct.Struct("<8s3I16s")  # magic, V, N, C, digest of what follows
_PART = ".part"
_OLD_SEC = 3600.0


def default_folder() -> Path | None:
    """This user's features; None where there is no home."""
    return user_cache("features")


class FeatureStore:
    """Features of clips in a folder of bounded size; several processes may use it at once.

    For new ones those go that were used longest ago, but none that this run has used. A disk that
    is full, or a folder that cannot be written, only means that nothing more is kept.

    Args:
        folder: made when the first file is written.
        max_gib: what all files together may take, in GiB.
    """

    def __init__(self, folder: str | Path, max_gib: float = MAX_GIB) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_gib * 2**30
        self.since = time.time()
        self._names = FrameCache(folder, 0)
        self._used: int | None = None
        self._full = False

    def name_of(self, video: str, settings: str) -> str | None:
        """Give the name of a clip's features; None where its file cannot be read.

        Args:
            video: path or address of the clip's file.
            settings: all else that its features depend on.
        """
        return self._names.name_of(video, settings)

    def get(self, name: str) -> np.ndarray | None:
        """Give features (V, N, C) float16; None where there are none, or the file is damaged."""
        path = self._path(name)
        try:
            features = _unpack(path.read_bytes())
        except OSError:
            return None
        with contextlib.suppress(OSError):
            path.unlink() if features is None else os.utime(path)
        return features

    def put(self, name: str, features: np.ndarray) -> bool:
        """Keep features (V, N, C) float16; whether there was room for them."""
        content = _pack(features)
        if self._full or not self._make_room(len(content)):
            return False
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".", suffix=_PART, dir=path.parent)
            try:
                with open(handle, "wb") as file:
                    file.write(content)
                os.replace(temporary, path)
            except BaseException:
                Path(temporary).unlink()
                raise
        except OSError:
            self._full = True
            return False
        self._used += len(content)
        return True

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / (name + SUFFIX)

    def _make_room(self, size: int) -> bool:
        if self._used is None:
            self._used = size_of(self.folder)[1]
        if _too_little_free(self.folder, size):
            self._full = True
            return False
        if self._used + size > self.max_bytes:
            self._remove_old(self._used + size - self.max_bytes * 0.95)
        self._full = self._used + size > self.max_bytes
        return not self._full

    def _remove_old(self, wanted: float) -> None:
        """Remove what this run has not used, the oldest first, until `wanted` bytes are free."""
        old = []
        for path in _files(self.folder):
            with contextlib.suppress(OSError):
                status = path.stat()
                if status.st_mtime < self.since:
                    old.append((status.st_mtime, status.st_size, path))
        for _, size, path in sorted(old):
            if wanted <= 0:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                self._used -= size
                wanted -= size


def size_of(folder: Path) -> tuple[int, int]:
    """Give the number of clips whose features are in a folder, and their bytes."""
    sizes = []
    for path in _files(folder):
        with contextlib.suppress(OSError):
            sizes.append(path.stat().st_size)
    return len(sizes), sum(sizes)


def clear(folder: Path) -> tuple[int, int]:
    """Remove all features in a folder, and nothing else; gives their number and bytes."""
    count = freed = 0
    for path in _files(folder):
        with contextlib.suppress(OSError):
            size = path.stat().st_size
            path.unlink()
            count, freed = count + 1, freed + size
    for path in _files(folder, _PART):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - _OLD_SEC:
                path.unlink()
    return count, freed


def _files(folder: Path, suffix: str = SUFFIX) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for group in sorted(folder.iterdir()):
            if len(group.name) == 2 and group.is_dir():
                yield from (path for path in group.iterdir() if path.name.endswith(suffix))


def _too_little_free(folder: Path, size: int) -> bool:
    return free_bytes(folder) - size < LEAST_FREE_GIB * 2**30


def _pack(features: np.ndarray) -> bytes:
    body = np.ascontiguousarray(features, dtype="<f2").tobytes()
    return _HEADER.pack(_MAGIC, *features.shape, _digest(body)) + body


def _unpack(content: bytes) -> np.ndarray | None:
    if len(content) < _HEADER.size:
        return None
    magic, views, tokens, channels, digest = _HEADER.unpack_from(content)
    body = content[_HEADER.size :]
    if magic != _MAGIC or len(body) != 2 * views * tokens * channels or digest != _digest(body):
        return None
    return np.frombuffer(body, "<f2").reshape(views, tokens, channels)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()
