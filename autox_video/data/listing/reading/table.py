"""The clips of one list as columns, while it is read."""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from autox_video.core.errors import ListingError
from autox_video.core.wording import at_most, counted
from autox_video.data.clip_table import (
    LABELS_JOINED_BY,
    WHOLE_VIDEO,
    ClipTable,
    Names,
    Segment,
    whole_or,
)
from autox_video.data.listing.reading.segments import read_segment

_TIMES_NAMED_AT_MOST = 3
_ONE_HOT = re.compile(r"[01](;[01])+")


@dataclass(slots=True)
class Table:
    """What a list says of its clips: a format adds them one by one, then calls `check`."""

    source: str
    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    """As written, "" for none; several are joined by `;`."""
    lines: array = field(default_factory=lambda: array("L"))
    segments: list[Segment] | None = None
    """None: all clips are whole videos."""
    splits: list[str] | None = None
    """As written; None where the list names no splits."""
    classes: Names | None = None
    """The data set's own classes in its order, and what says so."""
    unit: str = "s"
    """What plain numbers for times count: s, ms or frame."""
    about_labels: str = "a line is `path,label`"
    """Where labels should have been, a part of a sentence."""
    bad: list[str] = field(default_factory=list)
    """What is wrong, a sentence each."""
    bad_times: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the user should know of how the list was read."""
    hashed: set[int] = field(default_factory=set)
    """Clips whose line begins with #: comments, unless there are such files."""
    all_there: bool = False
    """Whether there is a file for each path."""
    known: dict[str, str] = field(default_factory=dict)
    """A label is held once, not once for each clip."""

    def add(
        self,
        line: int,
        path: str,
        label: str,
        *times: str,
        split: str | None = None,
        hashed: bool = False,
    ) -> None:
        """Add a clip, by default a whole video of no split.

        Args:
            line: where it is listed, from 1.
            path: as listed.
            label: as written.
            times: start and end as written, "" for the video's own.
            split: as written; None where the list names none.
            hashed: whether the line begins with #.
        """
        count = len(self.paths)
        if any(times) and self.segments is None:
            self.segments = [WHOLE_VIDEO] * count
        if self.segments is not None:
            self.segments.append(self._segment(line, *times))
        if split is not None and self.splits is None:
            self.splits = [""] * count
        if self.splits is not None:
            self.splits.append(self.known.setdefault(split or "", split or ""))
        if hashed:
            self.hashed.add(count)
        self.paths.append(path)
        self.labels.append(self.known.setdefault(label, label))
        self.lines.append(line)

    def _segment(self, line: int, start: str = "", end: str = "") -> Segment:
        try:
            return read_segment(start, end, self.unit)
        except ValueError as error:
            self.bad_times.append(f"{self.source}:{line}: {error}.")
            return WHOLE_VIDEO

    def location(self, index: int) -> str:
        """Where a clip is listed: FILE:LINE."""
        return f"{self.source}:{self.lines[index]}"

    def check(self, *, may_lack_labels: bool) -> None:
        """Raise ListingError if there is no clip, or if something was wrong with one."""
        if not self.paths and not (self.bad or self.bad_times):
            raise ListingError(f"{self.source}: the list is empty but for its header.")
        if not may_lack_labels and "" in self.known and any(self.labels):
            self.bad += [
                f"{self.location(index)}: `{self.paths[index]}` has no label."
                for index, label in enumerate(self.labels)
                if not label and index not in self.hashed
            ]
        self.bad += self._say_one_hot()
        if self.bad or self.bad_times:
            times = at_most(self.bad_times, shown=_TIMES_NAMED_AT_MOST)
            raise ListingError(*at_most(self.bad), *times)
        self.segments = self.segments and whole_or(self.segments)

    def _say_one_hot(self) -> list[str]:
        labels = set(self.labels) - {""}
        if not labels or not all(map(_ONE_HOT.fullmatch, labels)) or len(set(map(len, labels))) > 1:
            return []
        index = next(index for index, label in enumerate(self.labels) if label)
        shown = self.labels[index].replace(LABELS_JOINED_BY, ", ")
        return [
            f"{self.location(index)}: the labels look one-hot, as [{shown}]; write the names of "
            f"the classes, or their indices, joined by `{LABELS_JOINED_BY}` where a clip has "
            "several."
        ]

    def select(self, indices: Sequence[int]) -> "Table":
        """The clips at `indices`, in that order."""
        return replace(
            self,
            paths=[self.paths[i] for i in indices],
            labels=[self.labels[i] for i in indices],
            lines=array("L", [self.lines[i] for i in indices]),
            segments=self.segments and whole_or([self.segments[i] for i in indices]),
            splits=self.splits and [self.splits[i] for i in indices],
            hashed=set(),
        )

    def labelled(self) -> "Table":
        """The clips that have labels, with a note on the rest; all where none has a label."""
        indices = [index for index, label in enumerate(self.labels) if label]
        if not indices or len(indices) == len(self.labels):
            return self
        first = next(index for index, label in enumerate(self.labels) if not label)
        self.notes.append(
            f"{self.source} lists {counted(len(self.paths) - len(indices), 'clip')} without a "
            f"label, left out: {self.location(first)}."
        )
        return self.select(indices)

    def clips(self) -> ClipTable:
        """The clips for the checks across lists; `labels` is None where no clip has one."""
        return ClipTable(
            self.paths,
            self.labels if any(self.labels) else None,
            self.segments,
            lines=self.lines,
            source=self.source,
            all_exist=self.all_there,
        )
