"""The table of clips that every step uses, from listing to loading."""

# A table may contain a million paths, which would take ten times the memory as `Path` objects.
# ruff: noqa: PTH100, PTH118

import math
import os
from array import array
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autox_video.video.files.remote import is_remote

if TYPE_CHECKING:
    from autox_video.data.inspection.clip_facts import ClipFacts
    from autox_video.data.splitting.recordings import Recordings

LABELS_JOINED_BY = ";"

Segment = tuple[float, float]
"""Start and end of a clip within its video, in seconds; the end may be infinite."""

WHOLE_VIDEO: Segment = (0.0, math.inf)

Label = str | int | tuple[int, ...]
"""A clip's label: initially the listed text, later the class index (or a tuple of indices)."""

Names = tuple[tuple[str, ...], str]
"""Class names in index order, and where the names come from."""


@dataclass(frozen=True, slots=True)
class ClipTable:
    """A table of clips, stored as columns of equal length so that a million clips fit in memory.

    A clip's path has three forms: the path as listed; its key (`video_keys`), which is the same for
    all paths to one video; and the path or URL to open, `remote.join(data_root, path)`.
    """

    paths: tuple[str, ...]
    """Paths as listed: relative to the data root, absolute, or URLs. The same path may occur
    several times with different segments."""
    labels: tuple[Label, ...] | None = None
    """Label of each clip; None if the clips have no labels."""
    segments: tuple[Segment, ...] | None = None
    """(start_sec, end_sec) of each clip in its video; None if all clips are whole videos."""
    facts: tuple["ClipFacts", ...] | None = field(default=None, compare=False)
    """Facts about each clip, or about its segment if it has one; None before inspection."""
    digests: np.ndarray | None = field(default=None, compare=False)
    """Digests of the whole videos, (N, DIGEST_BYTES) uint8; None before inspection."""
    recordings: "Recordings | None" = field(default=None, compare=False)
    """Groups of clips that seem to be cut from the same recording; None until they are known."""
    lines: array | None = field(default=None, compare=False)
    """Line number of each clip in its list, counted from 1; None if read from a folder."""
    source: str = field(default="", compare=False)
    """The list file or folder from which the clips were read."""
    all_exist: bool = field(default=False, compare=False)
    """Whether every clip is known to exist."""

    def __post_init__(self) -> None:
        for name in ("paths", "labels", "segments", "facts"):
            if (column := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(column))

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def has_label_sets(self) -> bool:
        """Whether the labels are tuples of class indices, as in multi-label data."""
        return bool(self.labels) and isinstance(self.labels[0], tuple)

    def class_sets(self) -> list[tuple[int, ...]]:
        """Return each clip's class indices as a tuple, which is empty if there are no labels."""
        if self.labels is None:
            return [()] * len(self)
        return list(map(indices_of, self.labels))

    def classes(self) -> set[int]:
        """Return the class indices that occur in the labels."""
        return {index for label in set(self.labels or ()) for index in indices_of(label)}

    def class_counts(self) -> Counter[int]:
        """Return the number of clips with each class index that occurs in the labels."""
        counts: Counter[int] = Counter()
        for label, clips in Counter(self.labels or ()).items():
            counts.update(dict.fromkeys(indices_of(label), clips))
        return counts

    def rarest_classes(self) -> list[int | None]:
        """Return each clip's rarest class; -1 if it has no classes, None if there are no labels."""
        if not self.has_label_sets:
            return list(self.labels or [None] * len(self))
        counts = self.class_counts()
        return [min(label, key=lambda i: (counts[i], i), default=-1) for label in self.labels]

    def segment(self, row: int) -> Segment:
        """Return the start and end of a clip in its video, in seconds."""
        return WHOLE_VIDEO if self.segments is None else self.segments[row]

    def location(self, row: int) -> str:
        """Return a clip's location: FILE:LINE in its list, or its path if read from a folder."""
        if self.lines is None:
            return os.path.join(self.source, self.paths[row])
        return f"{self.source}:{self.lines[row]}"

    def identities(self, data_root: str | Path) -> Sequence[Hashable]:
        """Return a unique key for each clip: its video's key, plus any segment."""
        keys = video_keys(self.paths, data_root)
        return keys if self.segments is None else list(zip(keys, self.segments, strict=True))

    def readable(self) -> "ClipTable":
        """Return a table of the readable clips."""
        return self.select([row for row, fact in enumerate(self.facts) if fact.error is None])

    def unreadable(self) -> list[int]:
        """Return the rows of the unreadable clips."""
        return [row for row, fact in enumerate(self.facts or ()) if fact.error is not None]

    def select(self, rows: Sequence[int]) -> "ClipTable":
        """Return a table of the clips at `rows`, in the order of `rows`."""
        return replace(
            self,
            paths=_at(self.paths, rows),
            labels=_at(self.labels, rows),
            segments=_at(self.segments, rows),
            facts=_at(self.facts, rows),
            digests=None if self.digests is None else self.digests[rows],
            recordings=self.recordings and self.recordings.select(rows),
            lines=self.lines and array("L", _at(self.lines, rows)),
        )

    def with_those_of(self, others: "ClipTable") -> "ClipTable":
        """Return this table with `others` appended; both tables must have labels, or neither."""
        segments = None
        if self.segments is not None or others.segments is not None:
            segments = [table.segment(row) for table in (self, others) for row in range(len(table))]
        labels = None if self.labels is None else self.labels + others.labels
        known = self.recordings, others.recordings
        recordings = None if None in known else known[0].with_those_of(known[1])
        paths = self.paths + others.paths
        return ClipTable(paths, labels, segments, recordings=recordings)


def indices_of(label: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the class indices of a label as a tuple."""
    return label if isinstance(label, tuple) else (label,)


def _at(column: Sequence | None, rows: Sequence[int]) -> tuple | None:
    return None if column is None else tuple(map(column.__getitem__, rows))


Splits = Mapping[str, ClipTable]
"""A listing's tables by split name (train, val, test); some splits may be missing."""


def video_keys(paths: Iterable[str], data_root: str | Path) -> list[str]:
    """Normalise paths so that ./a.mp4, x/../a.mp4 and DATA_ROOT/a.mp4 all become a.mp4."""
    inside = data_root.rstrip("/") if is_remote(data_root) else os.path.abspath(data_root)
    inside = os.path.join(inside, "")
    # Ordinary paths are their own keys, which avoids creating a million strings.
    return [
        path if path[:1] != "/" and "./" not in path and "//" not in path else _key(path, inside)
        for path in paths
    ]


def _key(path: str, inside: str) -> str:
    return (path if is_remote(path) else os.path.normpath(path)).removeprefix(inside)


def parts_of(label: str) -> tuple[str, ...]:
    """Return the class names in a label, without duplicates."""
    parts = (part.strip() for part in label.split(LABELS_JOINED_BY))
    return tuple(dict.fromkeys(part for part in parts if part))


def whole_or(segments: Sequence[Segment]) -> list[Segment] | None:
    """Return the segments, or None if every clip is a whole video."""
    return list(segments) if any(segment != WHOLE_VIDEO for segment in segments) else None
