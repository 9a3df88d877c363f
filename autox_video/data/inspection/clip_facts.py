"""What one opening of a clip finds out: its facts, its content's digest, what it looks like."""

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
from autox_video.video.decode import Video

DIGEST_BYTES = 16
DIGEST_UP_TO_BYTES = 64 << 20
"""Of a larger file the digest is of its size and as many bytes, in pieces spread evenly."""

RETRY_AFTER_SEC = (1.0, 4.0, 15.0)
"""How long to wait before each further attempt at a clip that the disk does not give."""

PASSING = frozenset(
    (
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ENOLCK),
        *(
            errno.ENOTCONN,
            errno.ECONNRESET,
            errno.ECONNABORTED,
            errno.EHOSTDOWN,
            errno.EHOSTUNREACH,
        ),
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    )
)
"""Errors of reading that may pass: of a disk, a network, a machine that is short of something."""

_PIECE_BYTES = 1 << 20
_NO_TIME = 0.0


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What the probe found out about one clip; numbers are 0 where `error` says why.

    Attributes:
        frames: number of frames, counted.
        fps: average frames per second.
        seconds: length from the first frame's start to the last one's end.
        width, height: pixels, as players show it.
        codec: FFmpeg's name of the coding.
        error: why the clip cannot be read, a sentence without the path; None for a readable one.
        start: when the first frame comes on the player's clock, in seconds.
        odd: what is odd about it or was repaired, parts of a sentence; nothing of most clips.
        is_even: whether frame N starts at N / fps, exactly.
    """

    frames: int
    fps: float
    seconds: float
    width: int
    height: int
    codec: str
    error: str | None
    start: float = 0.0
    odd: str = ""
    is_even: bool = True

    def __post_init__(self) -> None:
        # A few names for a million clips, and one number for nearly all.
        if isinstance(self.codec, str):
            object.__setattr__(self, "codec", sys.intern(self.codec))
        if self.start == 0.0:
            object.__setattr__(self, "start", _NO_TIME)


class Found(NamedTuple):
    """All that is found out about one clip."""

    facts: ClipFacts
    digest: bytes
    """DIGEST_BYTES, equal for equal files; zeros of an unreadable clip, as what follows."""
    fingerprint: bytes
    """As `fingerprint.fingerprint` gives it."""
    scene: bytes
    """As `scene.scene` gives it."""


@dataclass(frozen=True, slots=True)
class Contents:
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
        sizes = DIGEST_BYTES, FINGERPRINT_BYTES, SCENE_BYTES
        return cls(*(np.zeros((count, size), dtype=np.uint8) for size in sizes))

    def put(self, position: int, found: Found) -> None:
        """Set the rows of one clip."""
        self.digests[position] = np.frombuffer(found.digest, dtype=np.uint8)
        self.fingerprints[position] = np.frombuffer(found.fingerprint, dtype=np.uint8)
        self.scenes[position] = np.frombuffer(found.scene, dtype=np.uint8)

    def select(self, positions: Sequence[int] | slice) -> "Contents":
        """Give the rows at `positions`, in that order."""
        columns = self.digests, self.fingerprints, self.scenes
        return Contents(*(column[positions] for column in columns))


def unreadable(reason: str) -> Found:
    """What is known of a clip that cannot be read, by the reason in a sentence."""
    facts = ClipFacts(0, 0.0, 0.0, 0, 0, "", reason)
    return Found(facts, bytes(DIGEST_BYTES), bytes(FINGERPRINT_BYTES), bytes(SCENE_BYTES))


def examine_clip(path: str | Path) -> Found:
    """Open one clip, count its frames, decode some; never raises for one that cannot be read.

    What cannot be read is tried once more, and where the disk itself fails a few times more: a
    fault that passes is no fault of the clip.
    """
    found = _examine_once(path)
    for wait_sec in (0.0, *RETRY_AFTER_SEC):
        if found.facts.error is None or not Path(path).exists():
            return found
        if wait_sec and not _fails_to_be_read(path):
            return found
        time.sleep(wait_sec)
        found = _examine_once(path)
    return found


def _examine_once(path: str | Path) -> Found:
    try:
        # What another decoder would bring along takes seconds to import.
        with Video(path, "pyav") as video:
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
        return Found(facts, _digest(path), fingerprint(frames), scene(frames))
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
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    place = Path(path)
    for file in sorted(place.iterdir()) if place.is_dir() else [place]:
        if file.is_file():
            _add_file(digest, file)
    return digest.digest()


def _add_file(digest: "hashlib._Hash", path: Path) -> None:
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        digest.update(size.to_bytes(8, "little"))
        pieces = -(-min(size, DIGEST_UP_TO_BYTES) // _PIECE_BYTES)
        for piece in range(pieces):
            file.seek(piece * max(_PIECE_BYTES, size // pieces))
            digest.update(file.read(_PIECE_BYTES))
