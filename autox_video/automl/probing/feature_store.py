"""Features of clips on disk, one file a clip, so that a job that was stopped goes on with the rest.

A file's name is a digest of the weights, of how the clip was read and of the clip's file: nothing
is ever out of date, and runs share what they have in common.

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
"""What all files together may take."""

_SHAPE = struct.Struct("<3I")  # V, N, C


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
        """Return features (V, N, C) float16; None where there are none, or the file is damaged."""
        content = self.files.get(name, check=True)
        if content is None:
            return None
        # Copied: as many files as clips cannot stay mapped.
        features = np.frombuffer(bytes(content[_SHAPE.size :]), "<f2")
        return features.reshape(_SHAPE.unpack_from(content))

    def put(self, name: str, features: np.ndarray) -> bool:
        """Keep features (V, N, C) float16; whether there was room for them."""
        body = np.ascontiguousarray(features, dtype="<f2")
        return self.files.put(name, _SHAPE.pack(*features.shape), body)
