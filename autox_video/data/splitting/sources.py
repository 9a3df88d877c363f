"""Which clips are cut from the same video, by their names, and which are equal."""

import re
from collections.abc import Sequence

import numpy as np

from autox_video.data.splitting.groups import alone

# A source that is found by a counter alone is believed if there are this many for each class: the
# clips of a class, or of a camera, are often counted through as well.
_SOURCES_PER_CLASS = 5

_UCF101 = re.compile(r"(.+_g\d+)_c\d+")
_YOUTUBE = re.compile(r"([\w-]{11})_\d+(?:\.\d+)?_\d+(?:\.\d+)?")
_PART = re.compile(
    r"(.*?)[\W_]*(?:part|pt|clip|scene|shot|segment|seg|chunk|cut)[\W_]*\d+", re.IGNORECASE
)
_COUNTER = re.compile(r"(.*?)[\W_]*\d+\)?")
_SAYS_NOTHING = re.compile(
    r"(?:video|vid|clip|img|image|movie|mov|dsc|file|frame|record|recording|sample|scene|shot|"
    r"segment|part|[\W\d_])*",
    re.IGNORECASE,
)


def sources(paths: Sequence[str], num_classes: int) -> list[str | None]:
    """Give the name of the video that each clip is cut from, None where the names say none.

    Known are UCF101's groups (`v_Run_g01_c02`), Kinetics' YouTube ids (`ID_000010_000020`), names
    before a part or a counter (`talk part 2`, `talk_002`), and folders of counted clips
    (`talk/002`); counters and folders only where they make several sources a class.

    Args:
        paths: of the clips, with their suffixes.
        num_classes: how many classes they are of.
    """
    found = []
    hints: dict[int, str] = {}
    for number, path in enumerate(paths):
        sure, hint = _source(path)
        found.append(sure)
        if hint is not None:
            hints[number] = hint
    if len(set(hints.values())) >= _SOURCES_PER_CLASS * num_classes:
        for number, hint in hints.items():
            found[number] = hint
    return found


def _source(path: str) -> tuple[str | None, str | None]:
    """Give the source that the name says, and one that its counter may hint at."""
    folder, _, name = path.replace("\\", "/").rpartition("/")
    stem = name.rpartition(".")[0] or name
    for pattern in (_UCF101, _YOUTUBE):
        if found := pattern.fullmatch(stem):
            return found[1], None
    for pattern, is_sure in ((_PART, True), (_COUNTER, False)):
        if found := pattern.fullmatch(stem):
            if _SAYS_NOTHING.fullmatch(found[1]):
                return None, folder or None
            return (found[1], None) if is_sure else (None, found[1])
    return None, None


def same_digest(digests: np.ndarray) -> np.ndarray:
    """Label clips of equal content (N, DIGEST_BYTES) as in `groups`; zeros are equal to nothing."""
    low, high = np.ascontiguousarray(digests).view(np.uint64).T
    order = np.lexsort((high, low))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
    labels = alone(len(digests))
    labels[order] = order[first][np.cumsum(first) - 1]
    return np.where(digests.any(axis=1), labels, alone(len(digests)))
