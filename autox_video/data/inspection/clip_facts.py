"""Inspect one clip to get its facts, content digest, fingerprint and scene descriptor."""

import errno
import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autox_video.core.errors import VideoError
from autox_video.data.inspection.fingerprint import FINGERPRINT_BYTES, fingerprint, sampled_frames
from autox_video.data.inspection.scene import SCENE_BYTES, scene
from autox_video.video.open_video import open_video

DIGEST_BYTES = 16
DIGEST_UP_TO_BYTES = 64 << 20
"""The digest of a larger file covers its size and this many bytes, in evenly spaced pieces."""

RETRY_AFTER_SEC = (1.0, 4.0, 15.0)
"""Seconds to wait before each retry after a disk error."""

# Possibly temporary read errors, caused by the disk, the network or a lack of resources.
_OF_DISKS = errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENOLCK
_OF_CONNECTIONS = errno.ENOTCONN, errno.ECONNRESET, errno.ECONNABORTED
_OF_NETWORKS = errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH
_OF_MACHINES = errno.EMFILE, errno.ENFILE, errno.ENOMEM
PASSING = frozenset((*_OF_DISKS, *_OF_CONNECTIONS, *_OF_NETWORKS, *_OF_MACHINES))

_PIECE_BYTES = 1 << 20
_CONTENT_BYTES = DIGEST_BYTES, FINGERPRINT_BYTES, SCENE_BYTES


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """Facts about one clip; all numbers are 0 if the clip is unreadable."""

    frames: int
    """Exact number of frames."""
    fps: float
    """Average frames per second."""
    seconds: float
    """Length in seconds, from the start of the first frame to the end of the last frame."""
    width: int
    """Width in pixels, as displayed."""
    height: int
    codec: str
    """FFmpeg's name for the codec."""
    error: str | None
    """Why the clip cannot be read (the path is not included); None if the clip is readable."""
    start: float = 0.0
    """Presentation time of the first frame, in seconds."""
    odd: str = ""
    """Clauses about anomalies in the clip and repairs made while reading it; usually empty."""
    is_even: bool = True
    """Whether frames are evenly spaced: frame N starts N / fps seconds after the first frame."""
    whole_sec: float = 0.0
    """Length of the whole video in seconds, if the clip is a part of it; otherwise 0."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "codec", sys.intern(self.codec))  # few names shared by many clips


class Inspection(NamedTuple):
    """The result of inspecting one clip; all bytes are zero if the clip is unreadable."""

    facts: ClipFacts
    digest: bytes
    """The file's digest (DIGEST_BYTES bytes); identical files have the same digest."""
    fingerprint: bytes
    """The result of `fingerprint.fingerprint`."""
    scene: bytes
    """The result of `scene.scene`."""


class Contents(NamedTuple):
    """Digests, fingerprints and scenes of clips, as columns; unreadable clips have zeros."""

    digests: np.ndarray
    """Array (N, DIGEST_BYTES) uint8."""
    fingerprints: np.ndarray
    """Array (N, FINGERPRINT_BYTES) uint8."""
    scenes: np.ndarray
    """Array (N, SCENE_BYTES) uint8."""

    @classmethod
    def of_unknown(cls, count: int) -> "Contents":
        """Return columns of zeros for `count` clips."""
        return cls(*(np.zeros((count, size), dtype=np.uint8) for size in _CONTENT_BYTES))

    def put(self, position: int, inspection: Inspection) -> None:
        """Store one clip's inspection in the row at `position`."""
        for column, row in zip(self, inspection[1:], strict=True):
            column[position] = np.frombuffer(row, dtype=np.uint8)

    def select(self, positions: Sequence[int] | slice) -> "Contents":
        """Return the rows at `positions`, in the given order."""
        return Contents(*(column[positions] for column in self))


def unreadable(reason: str) -> Inspection:
    """Return the `Inspection` of an unreadable clip; `reason` says why it cannot be read."""
    return Inspection(ClipFacts(0, 0.0, 0.0, 0, 0, "", reason), *map(bytes, _CONTENT_BYTES))


def examine_clip(path: str | Path) -> Inspection:
    """Open one clip, count its frames and decode some; unreadable clips never raise an error.

    A clip that cannot be read is tried once more (a few more times after a disk error), since the
    error may be temporary.
    """
    inspection = _examine_once(path)
    for wait_sec in (0.0, *RETRY_AFTER_SEC):
        if inspection.facts.error is None or not Path(path).exists():
            break
        if wait_sec and not _fails_to_be_read(path):
            break
        time.sleep(wait_sec)
        inspection = _examine_once(path)
    return inspection


def _examine_once(path: str | Path) -> Inspection:
    try:
        # PyAV is used because other decoders take seconds to import.
        with open_video(path, "pyav") as video:
            video.examine()
            frames = sampled_frames(video)
            facts = ClipFacts(
                frames=video.num_frames,
                fps=video.fps,
                seconds=video.seconds,
                width=video.width,
                height=video.height,
                codec=video.codec,
                error=None,
                start=video.start_sec,
                odd="; ".join(video.odd),
                is_even=video.timeline().is_even,
            )
        return Inspection(facts, _digest(path), fingerprint(frames), scene(frames))
    except VideoError as error:
        return unreadable(str(error).removeprefix(f"{path}: "))
    except OSError as error:
        return unreadable(f"it cannot be read ({error.strerror or error}).")


def _fails_to_be_read(path: str | Path) -> bool:
    """Whether reading a clip's bytes fails with a temporary error."""
    try:
        _digest(path)
    except OSError as error:
        return error.errno in PASSING
    return False


def _digest(path: str | Path) -> bytes:
    """Return the hash of a file, or of all files in a frame folder, sorted by name."""
    digest, path = hashlib.blake2b(digest_size=DIGEST_BYTES), Path(path)
    for file_path in sorted(path.iterdir()) if path.is_dir() else [path]:
        if not file_path.is_file():
            continue
        with open(file_path, "rb") as file:
            size = file.seek(0, 2)
            digest.update(size.to_bytes(8, "little"))
            pieces = -(-min(size, DIGEST_UP_TO_BYTES) // _PIECE_BYTES)
            for piece in range(pieces):
                file.seek(piece * max(_PIECE_BYTES, size // pieces))
                digest.update(file.read(_PIECE_BYTES))
    return digest.digest()
