"""What one opening of a clip finds out: its facts, its content's digest, what it looks like."""

import errno
import hashlib
import sys
import time
from collections.abc import Iterable, Sequence
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
"""Of a larger file the digest is of its size and as many bytes, in pieces spread evenly."""

RETRY_AFTER_SEC = (1.0, 4.0, 15.0)
"""How long to wait before each further attempt at a clip that the disk does not give."""

# Errors of reading that may pass: of a disk, a network, a machine that is short of something.
_OF_DISKS = errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENOLCK
_OF_CONNECTIONS = errno.ENOTCONN, errno.ECONNRESET, errno.ECONNABORTED
_OF_NETWORKS = errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH
_OF_MACHINES = errno.EMFILE, errno.ENFILE, errno.ENOMEM
PASSING = frozenset((*_OF_DISKS, *_OF_CONNECTIONS, *_OF_NETWORKS, *_OF_MACHINES))

_PIECE_BYTES = 1 << 20
_CONTENT_BYTES = DIGEST_BYTES, FINGERPRINT_BYTES, SCENE_BYTES


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """The facts of one clip; numbers are 0 where `error` says why."""

    frames: int
    """Number of frames, counted."""
    fps: float
    """Average frames per second."""
    seconds: float
    """Length from the first frame's start to the last one's end."""
    width: int
    """Pixels, as players show it."""
    height: int
    codec: str
    """FFmpeg's name of the coding."""
    error: str | None
    """Why the clip cannot be read, a sentence without the path; None for a readable one."""
    start: float = 0.0
    """When the first frame comes on the player's clock, in seconds."""
    odd: str = ""
    """What is odd about it or was repaired, parts of a sentence; nothing of most clips."""
    is_even: bool = True
    """Whether frame N starts at N / fps, exactly."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "codec", sys.intern(self.codec))  # a few names for a million clips


class Inspection(NamedTuple):
    """All that is known of one clip; zeros of an unreadable one."""

    facts: ClipFacts
    digest: bytes
    """DIGEST_BYTES, equal for equal files."""
    fingerprint: bytes
    """As `fingerprint.fingerprint` gives it."""
    scene: bytes
    """As `scene.scene` gives it."""


class Contents(NamedTuple):
    """What is in clips, in columns; rows of zeros of unreadable ones."""

    digests: np.ndarray
    """(N, DIGEST_BYTES) uint8."""
    fingerprints: np.ndarray
    """(N, FINGERPRINT_BYTES) uint8."""
    scenes: np.ndarray
    """(N, SCENE_BYTES) uint8."""

    @classmethod
    def of_unknown(cls, count: int) -> "Contents":
        """Columns of zeros for `count` clips, to be filled."""
        return cls(*(np.zeros((count, size), dtype=np.uint8) for size in _CONTENT_BYTES))

    def put(self, position: int, inspection: Inspection) -> None:
        """Set the rows of one clip."""
        for column, row in zip(self, inspection[1:], strict=True):
            column[position] = np.frombuffer(row, dtype=np.uint8)

    @classmethod
    def of_all(cls, parts: Iterable["Contents"]) -> "Contents":
        """The rows of several, one after the other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def select(self, positions: Sequence[int] | slice) -> "Contents":
        """Return the rows at `positions`, in that order."""
        return Contents(*(column[positions] for column in self))


def unreadable(reason: str) -> Inspection:
    """What is known of a clip that cannot be read, by the reason in a sentence."""
    return Inspection(ClipFacts(0, 0.0, 0.0, 0, 0, "", reason), *map(bytes, _CONTENT_BYTES))


def examine_clip(path: str | Path) -> Inspection:
    """Open one clip, count its frames, decode some; never raises for one that cannot be read.

    What cannot be read is tried once more, and where the disk itself fails a few times more: a
    fault that passes is no fault of the clip.
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
        # What another decoder would bring along takes seconds to import.
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
    """Whether the bytes of a clip cannot be had just now, whatever they are."""
    try:
        _digest(path)
    except OSError as error:
        return error.errno in PASSING
    return False


def _digest(path: str | Path) -> bytes:
    """Hash a file, or all files of a folder of frames in the order of their names."""
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
