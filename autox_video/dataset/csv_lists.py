"""CSV lists: a header that names the columns, then a clip in each row."""

import csv
import io
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from autox_video.dataset.entries import Segment, at_most, whole_or
from autox_video.dataset.segments import read_segment
from autox_video.errors import ListingError

PATH_COLUMNS = (
    "path",
    "video",
    "filename",
    "file",
    "clip",
    "video_path",
    "file_path",
    "file_name",
    "video_file_name",
)
LABEL_COLUMNS = ("label", "class", "class_name", "category", "labels", "classes")
START_COLUMNS = ("start", "start_sec", "start_time", "time_start")
END_COLUMNS = ("end", "end_sec", "end_time", "time_end")
SPLIT_COLUMNS = ("split", "ml_use")


@dataclass(slots=True)
class Table:
    """Rows as columns, while they are read."""

    source: str
    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    lines: array = field(default_factory=lambda: array("L"))
    segments: list[Segment] | None = None
    """None where the list has no columns for them."""
    splits: list[str] | None = None
    """As written; None where the list has no column for them."""
    bad: list[str] = field(default_factory=list)
    """What is wrong, one sentence each."""
    known: dict[str, str] = field(default_factory=dict)
    """A label is kept once, not once for each clip."""

    def add(self, line: int, path: str, label: str) -> None:
        """Add a clip, a whole video of no split."""
        self.paths.append(path)
        self.labels.append(self.known.setdefault(label, label))
        self.lines.append(line)

    def add_segment(self, line: int, start: str, end: str) -> None:
        """Say where the clip that was added last starts and ends, in seconds."""
        try:
            segment = read_segment(start, end)
        except ValueError as error:
            self.bad.append(f"{self.source}:{line}: {error}.")
            segment = (0.0, 0.0)
        if self.segments is None:
            self.segments = []
        self.segments.append(segment)

    def add_split(self, split: str) -> None:
        """Say which split the clip that was added last is of."""
        if self.splits is None:
            self.splits = []
        self.splits.append(self.known.setdefault(split, split))

    def place(self, index: int) -> str:
        """Where a clip was found: FILE:LINE."""
        return f"{self.source}:{self.lines[index]}"

    def check(self, *, may_lack_labels: bool) -> None:
        """Raise ListingError if there is no clip, or if something was wrong with one."""
        if not self.paths and not self.bad:
            raise ListingError(f"{self.source}: the list is empty but for its header.")
        if not may_lack_labels and "" in self.known and any(self.labels):
            rows = zip(self.lines, self.paths, self.labels, strict=True)
            sentence = "{}:{}: `{}` has no label."
            self.bad += [sentence.format(self.source, n, p) for n, p, label in rows if not label]
        if self.bad:
            raise ListingError(*at_most(self.bad))
        self.segments = self.segments and whole_or(self.segments)

    def select(self, indices: Sequence[int]) -> "Table":
        """Keep the clips at `indices`, in that order, without their splits."""
        return Table(
            self.source,
            [self.paths[i] for i in indices],
            [self.labels[i] for i in indices],
            array("L", [self.lines[i] for i in indices]),
            self.segments and whole_or([self.segments[i] for i in indices]),
        )


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row of a CSV list things are; None for what it has not."""

    delimiter: str
    path: int
    label: int | None
    start: int | None
    end: int | None
    split: int | None


def find_columns(header: str, *, only_paths_will_do: bool) -> Columns | None:
    """Read the header of a CSV list; None if this is none."""
    for delimiter in ",;\t":
        names = [name.strip().strip('"').lower() for name in header.split(delimiter)]
        path, label = _first(names, PATH_COLUMNS), _first(names, LABEL_COLUMNS)
        if path is not None and (label is not None or only_paths_will_do):
            others = (_first(names, kind) for kind in (START_COLUMNS, END_COLUMNS, SPLIT_COLUMNS))
            return Columns(delimiter, path, label, *others)
    return None


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def read_csv(
    text: str, source: str, *, header_line: int, columns: Columns, may_lack_labels: bool = False
) -> Table:
    """Read the rows under a header.

    Args:
        text: the whole file.
        source: the file's name, for errors.
        header_line: where the header is, from 1; 0 for none.
        columns: what the header says.
        may_lack_labels: whether a clip may be of no class though others are of some.

    Raises:
        ListingError: there is no row, or one lacks a path or a label, or its times make no sense.
    """
    table = Table(source)
    for number, row in csv_rows(text, source, header_line, columns.delimiter):
        path = _cell(row, columns.path)
        if not path:
            table.bad.append(f"{source}:{number}: there is no path in column {columns.path + 1}.")
        table.add(number, path, _cell(row, columns.label))
        if columns.start is not None or columns.end is not None:
            table.add_segment(number, _cell(row, columns.start), _cell(row, columns.end))
        if columns.split is not None:
            table.add_split(_cell(row, columns.split))
    table.check(may_lack_labels=may_lack_labels)
    return table


def _cell(row: Sequence[str], column: int | None) -> str:
    return "" if column is None or column >= len(row) else row[column].strip()


def csv_rows(
    text: str, source: str, header_line: int, delimiter: str
) -> Iterator[tuple[int, list[str]]]:
    """Give each row under the header with the line that it starts in.

    Raises:
        ListingError: this is not CSV.
    """
    file = io.StringIO(text, newline="")
    for _ in range(header_line):
        file.readline()
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    start = header_line + 1
    try:
        for row in reader:
            if any(row) and not row[0].startswith("#"):
                yield start, row
            start = header_line + reader.line_num + 1
    except csv.Error as error:
        raise ListingError(f"{source}:{start}: this is not valid CSV ({error}).") from error
