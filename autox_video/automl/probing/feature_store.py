"""A disk cache for clip features, with one file per clip so that interrupted jobs can resume.

Each file is named after a digest of the weights, the reading options and the video file. Cached
features therefore never become outdated, and runs can share them.

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
"""Limit on the total size of the cache files, in GiB."""

_SHAPE = struct.Struct("<3I")  # V, N, C


def default_folder() -> Path | None:
    """Return the user's feature cache folder, or None if the user has no home folder."""
    return user_cache("features")


class FeatureStore:
    """A feature cache of limited size that several processes may use at once.

    To make room for new files, the least recently used files are removed, except for files that
    this run has used. If the disk is full or the folder is not writable, nothing more is cached.
    """

    def __init__(self, folder: str | Path, max_gib: float = MAX_GIB) -> None:
        self.files = DiskCache(Path(folder), max_gib * 2**30, SUFFIX, time.time())

    def get(self, name: str) -> np.ndarray | None:
        """Return features (V, N, C) float16; None if they are missing or damaged."""
        content = self.files.get(name, check=True)
        if content is None:
            return None
        # The content is copied, since one open memory mapping per clip would be too many.
        features = np.frombuffer(bytes(content[_SHAPE.size :]), "<f2")
        return features.reshape(_SHAPE.unpack_from(content))

    def put(self, name: str, features: np.ndarray) -> bool:
        """Store features (V, N, C) as float16; return whether storing them succeeded."""
        body = np.ascontiguousarray(features, dtype="<f2")
        return self.files.put(name, _SHAPE.pack(*features.shape), body)
