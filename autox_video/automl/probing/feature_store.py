"""Cached features of clips on disk, one file per clip, so that an interrupted job can resume.

The file name is a digest of the weights, the way of reading and the clip's file: no entry is ever
out of date, and runs share entries.

Shape letters: V views, N tokens, C channels.
"""

import struct
import time
from pathlib import Path

import numpy as np

from autox_video.core.disk_cache import DiskCache
from autox_video.core.files import user_cache

SUFFIX = ".features"
MAX_GIB = 4.0
"""Limit for all files together."""

_SHAPE = struct.Struct("<3I")  # V, N, C


def default_folder() -> Path | None:
    """Return this user's cache folder for features; None without a home folder."""
    return user_cache("features")


class FeatureStore:
    """A cache of features in a folder of bounded size; several processes may use it at once.

    The least recently used files make room for new ones, except those that this run has used. If
    the disk is full or the folder is not writable, nothing more is cached.
    """

    def __init__(self, folder: str | Path, max_gib: float = MAX_GIB) -> None:
        self.files = DiskCache(Path(folder), max_gib * 2**30, SUFFIX, time.time())

    def get(self, name: str) -> np.ndarray | None:
        """Return features (V, N, C) float16; None if they are missing or damaged."""
        content = self.files.get(name, check=True)
        if content is None:
            return None
        # Copied, since one open mapping per clip would be too many.
        features = np.frombuffer(bytes(content[_SHAPE.size :]), "<f2")
        return features.reshape(_SHAPE.unpack_from(content))

    def put(self, name: str, features: np.ndarray) -> bool:
        """Store features (V, N, C) as float16; return whether there was room for them."""
        body = np.ascontiguousarray(features, dtype="<f2")
        return self.files.put(name, _SHAPE.pack(*features.shape), body)
