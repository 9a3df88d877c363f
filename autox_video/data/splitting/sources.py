"""Find clips that are cut from the same video, judging by their names."""

import re
from collections.abc import Sequence

# Sources found only by a counter are accepted only if there are at least this many per class, since
# the clips of a class or camera are often numbered too.
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
    """Return the name of the video that each clip is cut from; None if no name is recognised.

    The recognised names are UCF101's groups (`v_Run_g01_c02`), Kinetics' YouTube ids
    (`ID_000010_000020`), names followed by a part or a counter (`talk part 2`, `talk_002`), and
    folders of numbered clips (`talk/002`). Counters and folders are used only if they give several
    sources per class.
    """
    names = [_source(path) for path in paths]
    hints = {name for name, is_sure in names if not is_sure}
    believe_hints = len(hints - {None}) >= _SOURCES_PER_CLASS * num_classes
    return [name if is_sure or believe_hints else None for name, is_sure in names]


def _source(path: str) -> tuple[str | None, bool]:
    """Return the source named in a path, and whether the source is certain."""
    folder, _, name = path.replace("\\", "/").rpartition("/")
    stem = name.rpartition(".")[0] or name
    if match := _UCF101.fullmatch(stem) or _YOUTUBE.fullmatch(stem):
        return match[1], True
    for pattern, is_sure in ((_PART, True), (_COUNTER, False)):
        if match := pattern.fullmatch(stem):
            if _SAYS_NOTHING.fullmatch(match[1]):
                return folder or None, False
            return match[1], is_sure
    return None, False
