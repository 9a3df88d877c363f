"""The table into which a list format reads its clips."""

import re
import sys
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
    """The clips of a list, which a format adds one by one and which are checked afterwards.

    `labels` and `splits` are as written, or "" if a clip has none; several labels are joined by
    `;`. `segments` is None if the list has no segments, and `splits` is None if the list names no
    splits. `classes` are the classes that the data set itself defines, in the data set's order.
    """

    source: str
    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    lines: array = field(default_factory=lambda: array("L"))
    segments: list[Segment] | None = None
    splits: list[str] | None = None
    classes: Names | None = None
    unit: str = "s"
    """Unit of times that are plain numbers: s, ms or frame."""
    in_seconds: set[int] = field(default_factory=set)
    """Indices of clips whose segments are in seconds although the unit is frame."""
    about_labels: str = "write `path,label` in each line"
    """A clause that says where labels are expected."""
    bad: list[str] = field(default_factory=list)
    bad_times: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Messages about how the list was read."""
    hashed: set[int] = field(default_factory=set)
    """Indices of clips whose lines begin with #; a line whose clip does not exist is a comment."""
    all_there: bool = False
    """Whether every path is known to exist."""

    def add(
        self,
        line: int,
        path: str,
        label: str,
        *times: str,
        split: str | None = None,
        hashed: bool = False,
    ) -> None:
        """Add the clip on a line (counted from 1); `times` are the start and end of a segment."""
        segment = self._segment(line, *times) if any(times) else None
        self.add_segment(line, path, label, segment, split=split, hashed=hashed)

    def add_segment(
        self,
        line: int,
        path: str,
        label: str,
        segment: Segment | None = None,
        *,
        split: str | None = None,
        hashed: bool = False,
    ) -> None:
        """Add a clip whose segment has been parsed; None stands for the whole video."""
        count = len(self.paths)
        if segment is not None and self.segments is None:
            self.segments = [WHOLE_VIDEO] * count
        if self.segments is not None:
            self.segments.append(WHOLE_VIDEO if segment is None else segment)
        if split is not None and self.splits is None:
            self.splits = [""] * count
        if self.splits is not None:
            self.splits.append(sys.intern(split or ""))
        if hashed:
            self.hashed.add(count)
        self.paths.append(path)
        self.labels.append(sys.intern(label))  # one object, not a million equal ones
        self.lines.append(line)

    def _segment(self, line: int, start: str = "", end: str = "") -> Segment:
        try:
            return read_segment(start, end, self.unit)
        except ValueError as error:
            self.bad_times.append(f"{self.source}:{line}: {error}.")
            return WHOLE_VIDEO

    def refuse(self, line: int, what: str, file: str = "") -> None:
        """Record a clause about what is wrong with a line; `check` raises them as one error."""
        self.bad.append(f"{file or self.source}:{line}: {what}.")

    def location(self, index: int) -> str:
        """Return the FILE:LINE at which a clip is listed; if the line is 0, it is unknown."""
        return f"{self.source}:{self.lines[index] or f' `{self.paths[index]}`'}"

    def check(self, *, may_lack_labels: bool) -> None:
        """Raise ListingError if there are no clips or if any line is invalid."""
        if not (self.paths or self.bad or self.bad_times):
            raise ListingError(f"{self.source}: the list has no clips, only a header.")
        labels = set(self.labels)
        if not may_lack_labels and "" in labels and len(labels) > 1:
            for index, label in enumerate(self.labels):
                if not label and index not in self.hashed:
                    self.refuse(self.lines[index], f"`{self.paths[index]}` has no label")
        labels.discard("")
        if labels and all(map(_ONE_HOT.fullmatch, labels)) and len(set(map(len, labels))) == 1:
            index = next(index for index, label in enumerate(self.labels) if label)
            shown = self.labels[index].replace(LABELS_JOINED_BY, ", ")
            self.refuse(
                self.lines[index],
                f"the labels look one-hot, such as [{shown}]; write class names or class indices "
                f"instead, joined by `{LABELS_JOINED_BY}` if a clip has several",
            )
        if self.bad or self.bad_times:
            times = at_most(self.bad_times, shown=_TIMES_NAMED_AT_MOST)
            raise ListingError(*at_most(self.bad), *times)
        self.segments = self.segments and whole_or(self.segments)

    def select(self, indices: Sequence[int]) -> "Table":
        """Return a table of the clips at `indices`, in the order of `indices`."""
        return replace(
            self,
            paths=[self.paths[i] for i in indices],
            labels=[self.labels[i] for i in indices],
            lines=array("L", [self.lines[i] for i in indices]),
            segments=self.segments and whole_or([self.segments[i] for i in indices]),
            splits=self.splits and [self.splits[i] for i in indices],
            in_seconds={new for new, old in enumerate(indices) if old in self.in_seconds},
            hashed=set(),
        )

    def labelled(self) -> "Table":
        """Return the labelled clips, or all clips if none is; note how many are skipped."""
        indices = [index for index, label in enumerate(self.labels) if label]
        if not indices or len(indices) == len(self.labels):
            return self
        first, skipped = self.labels.index(""), len(self.labels) - len(indices)
        self.notes.append(
            f"{self.source}: {counted(skipped, 'clip')} without a label skipped, the first at "
            f"{self.location(first)}."
        )
        return self.select(indices)

    def clips(self) -> ClipTable:
        """Return the clips as a ClipTable; `labels` is None if no clip has one."""
        return ClipTable(
            self.paths,
            self.labels if any(self.labels) else None,
            self.segments,
            lines=self.lines,
            source=self.source,
            all_exist=self.all_there,
        )
