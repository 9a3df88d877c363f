"""Clips as lists and folders name them: columns of text, each clip with the place it is from."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH100, PTH118

import math
import os
from array import array
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from autox_video.video.files.remote import is_remote
from autox_video.video.files.suffixes import VIDEO_SUFFIXES as VIDEO_SUFFIXES

SHOWN_AT_MOST = 10
LABELS_JOINED_BY = ";"

Segment = tuple[float, float]
"""Where a clip starts and ends in its video, in seconds; the end may be infinity."""

WHOLE_VIDEO: Segment = (0.0, math.inf)

Names = tuple[tuple[str, ...], str]
"""Class names in the order of their indices, and what they are from."""


@dataclass(frozen=True, slots=True)
class Entries:
    """What a list file or a folder says, in columns of equal length, its labels still text."""

    source: str
    """The list file or folder."""
    paths: list[str]
    keys: list[str]
    """The paths again, in the one spelling that shows whether two are the same video."""
    labels: list[str] | None
    """As written; the classes of a clip of several are joined by `;`."""
    lines: array | None
    """Line number of each clip, from 1; None where a folder was read."""
    segments: list[Segment] | None = None
    """None: all clips are whole videos."""
    checked: bool = False
    """Whether every clip is known to be there."""

    def __len__(self) -> int:
        return len(self.paths)

    def place(self, index: int) -> str:
        """Where a clip was found: FILE:LINE, or the clip itself in its folder."""
        if self.lines is None:
            return os.path.join(self.source, self.paths[index])
        return f"{self.source}:{self.lines[index]}"

    def identities(self) -> Sequence[Hashable]:
        """What tells each clip from all others: its key, and its segment where there are any."""
        if self.segments is None:
            return self.keys
        return list(zip(self.keys, self.segments, strict=True))

    def select(self, indices: Sequence[int]) -> "Entries":
        """Keep the clips at `indices`, in that order."""
        return self.change(
            paths=[self.paths[i] for i in indices],
            keys=[self.keys[i] for i in indices],
            labels=None if self.labels is None else [self.labels[i] for i in indices],
            lines=None if self.lines is None else array("L", [self.lines[i] for i in indices]),
            segments=None if self.segments is None else [self.segments[i] for i in indices],
        )

    def change(self, **columns: Any) -> "Entries":
        """Give the same clips with other columns."""
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return Entries(**{**kept, **columns})


def at_most(
    items: Iterable[Any], sentence: Callable[[Any], str] = str, *, shown: int = SHOWN_AT_MOST
) -> list[str]:
    """Make sentences of one kind, of the first items only, and say how many more there are."""
    remaining = iter(items)
    kept = [sentence(item) for item in islice(remaining, shown)]
    more = sum(1 for _ in remaining)
    return [*kept, f"... and {more} more like these."] if more else kept


def counted(count: int, one: str, many: str = "") -> str:
    """Say how many: "1 clip", "2 clips"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def clip_keys(paths: Iterable[str], data_root: str | Path) -> list[str]:
    """Spell each path so that ./a.mp4, x/../a.mp4 and DATA_ROOT/a.mp4 are the same as a.mp4."""
    inside = data_root.rstrip("/") if is_remote(data_root) else os.path.abspath(data_root)
    inside = os.path.join(inside, "")
    # Ordinary spellings are their own keys: a million strings less to make and to hold.
    return [
        path if path[:1] != "/" and "./" not in path and "//" not in path else _key(path, inside)
        for path in paths
    ]


def _key(path: str, inside: str) -> str:
    return (path if is_remote(path) else os.path.normpath(path)).removeprefix(inside)


def parts_of(label: str) -> tuple[str, ...]:
    """Give the classes that a label of several names, each once."""
    parts = (part.strip() for part in label.split(LABELS_JOINED_BY))
    return tuple(dict.fromkeys(part for part in parts if part))


def whole_or(segments: list[Segment]) -> list[Segment] | None:
    """Give the segments, None where all of them are whole videos."""
    return segments if any(segment != WHOLE_VIDEO for segment in segments) else None
