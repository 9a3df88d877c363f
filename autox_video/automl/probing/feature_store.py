"""Features of clips on disk, one file a clip, so that a job that was stopped goes on with the rest.

A file's name is a digest of the weights, of how the clip was read and of the clip's file: nothing
is ever out of date, and runs share what they have in common. Each carries a checksum; one that is
damaged counts as missing.

Shape letters: V views, N tokens, C channels.
"""

import contextlib
import hashlib
import struct
import time
from pathlib import Path

import numpy as np

from autox_video.core.disk_cache import DiskCache
from autox_video.core.files import user_cache

SUFFIX = ".features"
MAX_GIB = 4.0
"""What all files together may take."""

_MAGIC = b"autoxft1"
_HEADER = struct.Struct("<8s3I16s")  # magic, V, N, C, digest of what follows


def default_folder() -> Path | None:
    """This user's features; None where there is no home."""
    return user_cache("features")


class FeatureStore:
    """Features of clips in a folder of bounded size; several processes may use it at once.

    For new ones those go that were used longest ago, but none that this run has used. A disk that
    is full, or a folder that cannot be written, only means that nothing more is kept.
    """

    def __init__(self, folder: str | Path, max_gib: float = MAX_GIB) -> None:
        self.files = DiskCache(Path(folder), max_gib * 2**30, SUFFIX, time.time())

    def get(self, name: str) -> np.ndarray | None:
        """Give features (V, N, C) float16; None where there are none, or the file is damaged."""
        path = self.files.path(name)
        with contextlib.suppress(OSError):
            features = _unpack(path.read_bytes())
            path.unlink() if features is None else self.files.touch(path)
            return features
        return None

    def put(self, name: str, features: np.ndarray) -> bool:
        """Keep features (V, N, C) float16; whether there was room for them."""
        body = np.ascontiguousarray(features, dtype="<f2").tobytes()
        return self.files.put(name, _HEADER.pack(_MAGIC, *features.shape, _digest(body)), body)


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
