"""One list file of clips: text lines or CSV in, columns out; and the lists that we write."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.

import csv
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.files import atomic_write
from autox_video.data.listing.entries import (
    LABELS_JOINED_BY,
    SHOWN_AT_MOST,
    VIDEO_SUFFIXES,
    WHOLE_VIDEO,
    Entries,
    Segment,
    at_most,
    clip_keys,
    counted,
)
from autox_video.data.listing.formats.csv_lists import Table
from autox_video.data.listing.formats.segments import read_segment

__all__ = [
    "SHOWN_AT_MOST",
    "VIDEO_SUFFIXES",
    "ClipList",
    "Entries",
    "at_most",
    "clip_keys",
    "counted",
    "read_list",
    "to_entries",
    "write_list",
]


@dataclass(frozen=True, slots=True)
class ClipList:
    """The clips of one split, in columns, so that a million of them fit in memory."""

    paths: tuple[str, ...]
    """As listed: relative to the data root, absolute, or an address; one may come several times,
    with other segments."""
    labels: tuple[int, ...] | tuple[tuple[int, ...], ...] | None
    """Class index of each clip, or all of its class indices; None where the list has no labels."""
    segments: tuple[Segment, ...] | None = None
    """(start_sec, end_sec) of each clip in its video, the end may be infinity; None: all whole."""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def multi_label(self) -> bool:
        """Whether a clip is of any number of classes."""
        return bool(self.labels) and isinstance(self.labels[0], tuple)

    def segment(self, index: int) -> Segment:
        """Start and end of a clip in its video, in seconds."""
        return WHOLE_VIDEO if self.segments is None else self.segments[index]

    def classes(self) -> set[int]:
        """The class indices that occur."""
        if not self.multi_label:
            return set(self.labels or ())
        return {index for indices in set(self.labels) for index in indices}

    def identities(self, data_root: str | Path) -> Sequence[Hashable]:
        """What tells each clip from all others, as `Entries.identities` gives it."""
        keys = clip_keys(self.paths, data_root)
        return keys if self.segments is None else list(zip(keys, self.segments, strict=True))

    def select(self, indices: Sequence[int]) -> "ClipList":
        """Keep the clips at `indices`, in that order."""
        return ClipList(
            tuple(self.paths[i] for i in indices),
            None if self.labels is None else tuple(self.labels[i] for i in indices),
            None if self.segments is None else tuple(self.segments[i] for i in indices),
        )

    def with_those_of(self, other: "ClipList") -> "ClipList":
        """These clips and then those of another list; both have labels, or neither."""
        segments = None
        if self.segments is not None or other.segments is not None:
            segments = tuple(each.segment(i) for each in (self, other) for i in range(len(each)))
        labels = None if self.labels is None else self.labels + other.labels
        return ClipList(self.paths + other.paths, labels, segments)


def to_entries(table: Table, data_root: str | Path, *, need_labels: bool) -> Entries:
    """Give what was read as Entries; raises ListingError if labels are needed and there is none."""
    labels = table.labels if any(table.labels) else None
    if need_labels and labels is None:
        raise ListingError(f"{table.source}: the clips have no labels; a line is `path,label`.")
    keys = clip_keys(table.paths, data_root)
    return Entries(
        table.source,
        table.paths,
        keys,
        labels,
        table.lines,
        table.segments,
        checked=table.all_there,
    )


_LABEL, _LABELS = "label", "labels"


def write_list(path: str | Path, clips: ClipList) -> None:
    """Write clips as CSV with the columns path, label and, where there are segments, start, end.

    A label is a class index, or nothing. In a list of several classes a clip the column is called
    `labels` and the indices are joined by `;`. An end that is the video's is nothing.

    Raises:
        ResourceError: the file cannot be written; what was there stays.
    """
    with (
        atomic_write(path) as temporary,
        # A file name on Linux is bytes: what is not UTF-8 in it survives this way.
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        # Before Python 3.13, csv itself does not quote a name with a carriage return in it.
        odd = any("\r" in clip for clip in clips.paths)
        quoting = csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL
        writer = csv.writer(file, lineterminator="\n", quoting=quoting)
        times = () if clips.segments is None else ("start", "end")
        writer.writerow(("path", _LABELS if clips.multi_label else _LABEL, *times))
        columns = [clips.paths, _written_labels(clips)]
        if clips.segments is not None:
            columns.append(repr(start) for start, _ in clips.segments)
            columns.append("" if end == WHOLE_VIDEO[1] else repr(end) for _, end in clips.segments)
        writer.writerows(zip(*columns, strict=True))


def _written_labels(clips: ClipList) -> Iterable[object]:
    if clips.labels is None:
        return [""] * len(clips)
    if not clips.multi_label:
        return clips.labels
    return (LABELS_JOINED_BY.join(map(str, indices)) for indices in clips.labels)


def read_list(path: str | Path) -> ClipList:
    """Read what `write_list` wrote.

    Raises:
        ListingError: the file is missing, or is not such a list.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if header[:1] != ["path"] or header[1:2] not in ([_LABEL], [_LABELS]):
                raise ListingError(f"{path}: the list does not begin with the line `path,label`.")
            rows = list(reader)
    except OSError as error:
        raise ListingError(f"{path}: the list cannot be read ({error.strerror}).") from error
    except (csv.Error, ValueError) as error:
        raise ListingError(f"{path}: the list is damaged ({error}).") from error
    if any(len(row) != len(header) for row in rows):
        raise ListingError(f"{path}: the list is damaged: a line has not {len(header)} columns.")
    label_of = _label_of_many if header[1] == _LABELS else _label_of_one
    try:
        labels = _read_labels([row[1] for row in rows], label_of)
        segments = None
        if len(header) > 2:
            segments = tuple(read_segment(row[2], row[3]) for row in rows)
    except (ValueError, IndexError) as error:
        raise ListingError(f"{path}: the list is damaged: {error}.") from error
    return ClipList(tuple(row[0] for row in rows), labels, segments)


_Label = int | tuple[int, ...]


def _read_labels(texts: list[str], label_of: Callable[[str], _Label]) -> tuple[_Label, ...] | None:
    different = set(texts)
    if different == {""} and label_of is _label_of_one:
        return None
    index = {text: label_of(text) for text in different}
    return tuple(map(index.__getitem__, texts))


def _label_of_one(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError("a label is not a class index")
    return int(text)


def _label_of_many(text: str) -> tuple[int, ...]:
    return tuple(map(_label_of_one, text.split(LABELS_JOINED_BY))) if text else ()
