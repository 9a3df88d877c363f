"""CSV lists: a header that names the columns, then a clip in each row."""

import csv
import io
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from autox_video.core.errors import ListingError
from autox_video.core.wording import at_most
from autox_video.data.clip_table import LABELS_JOINED_BY, Segment, whole_or
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.formats.columns import Columns, describe_columns, is_count
from autox_video.data.listing.formats.list_text import read_json
from autox_video.data.listing.formats.segments import read_segment, read_time

NO_LABEL = ("", "nan", "<na>", "n/a", "#n/a", "#na", "#ref!", "#value!", "#name?", "null")
"""What stands for nothing in a column of labels, in lower case."""

_TIMES_NAMED_AT_MOST = 3
# Charades: `c092 11.90 21.20;c147 0.00 12.60`.
_NAMED_AT_MOST = 5
_BIT = re.compile(r"[01](\.0*)?")
_ONE_HOT = re.compile(r"[01](;[01])+")
# Columns that say who is for training by yes and no, or by the number of a fold.
_YES_NO = re.compile(r"[01](\.0*)?|true|false|yes|no|[tfynx]", re.IGNORECASE)
_ASKS = re.compile(r"(?<![a-z])(is|for|in|used?)(?![a-z])[ _-]*")  # is_train, used_for_test
_OTHER_VALUES = 5
"""Of a column that holds more of these beside splits, it is not said that it holds splits."""
_RANGE = re.compile(r"[0-9]+\s*[-–:]\s*[0-9]+")
_FOLDS = ("fold", "kfold", "k_fold", "fold_id", "cv_fold", "usage")
_TIMED_LABELS = re.compile(r"[^\s;]+ [0-9.]+ [0-9.]+(;[^\s;]+ [0-9.]+ [0-9.]+)*")


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
    bad_times: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the user should know of how the list was read."""
    hashed: set[int] = field(default_factory=set)
    """Clips whose line begins with #: comments, unless there are such files."""
    in_frames: bool = False
    """Whether the segments are numbers of frames, not seconds."""
    about_labels: str = "a line is `path,label`"
    """Where labels should have been, a part of a sentence."""
    all_there: bool = False
    """Whether there is a file for each path."""
    known: dict[str, str] = field(default_factory=dict)
    """A label is kept once, not once for each clip."""

    def add(self, line: int, path: str, label: str) -> None:
        """Add a clip, a whole video of no split."""
        self.paths.append(path)
        self.labels.append(self.known.setdefault(label, label))
        self.lines.append(line)

    def add_segment(self, line: int, start: str, end: str, unit: str = "s") -> None:
        """Say where the clip that was added last starts and ends; `unit` as for `read_segment`."""
        try:
            segment = read_segment(start, end, unit)
        except ValueError as error:
            self.bad_times.append(f"{self.source}:{line}: {error}.")
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
        if not self.paths and not (self.bad or self.bad_times):
            raise ListingError(f"{self.source}: the list is empty but for its header.")
        if not may_lack_labels and "" in self.known and any(self.labels):
            rows = enumerate(zip(self.lines, self.paths, self.labels, strict=True))
            sentence = "{}:{}: `{}` has no label."
            self.bad += [
                sentence.format(self.source, line, path)
                for index, (line, path, label) in rows
                if not label and index not in self.hashed
            ]
        self.bad += self._one_hot()
        if self.bad or self.bad_times:
            times = at_most(self.bad_times, shown=_TIMES_NAMED_AT_MOST)
            raise ListingError(*at_most(self.bad), *times)
        self.segments = self.segments and whole_or(self.segments)

    def _one_hot(self) -> list[str]:
        labels = set(self.labels) - {""}
        if not labels or not all(map(_ONE_HOT.fullmatch, labels)) or len(set(map(len, labels))) > 1:
            return []
        index = next(index for index, label in enumerate(self.labels) if label)
        shown = self.labels[index].replace(LABELS_JOINED_BY, ", ")
        return [
            f"{self.place(index)}: the labels look one-hot, as [{shown}]; write the names of the "
            f"classes, or their indices, joined by `{LABELS_JOINED_BY}` where a clip has several."
        ]

    def select(self, indices: Sequence[int]) -> "Table":
        """Keep the clips at `indices`, in that order."""
        return Table(
            self.source,
            [self.paths[i] for i in indices],
            [self.labels[i] for i in indices],
            array("L", [self.lines[i] for i in indices]),
            self.segments and whole_or([self.segments[i] for i in indices]),
            self.splits and [self.splits[i] for i in indices],
            notes=self.notes,
            in_frames=self.in_frames,
            about_labels=self.about_labels,
            all_there=self.all_there,
        )


def read_csv(
    text: str,
    source: str,
    *,
    header_line: int,
    columns: Columns,
    is_there: Callable[[str], bool],
    may_lack_labels: bool = False,
) -> Table:
    """Read the rows under a header.

    Args:
        text: the whole file.
        source: the file's name, for errors.
        header_line: where the header is, from 1; 0 for none.
        columns: what the header says.
        is_there: whether there is a clip of this path.
        may_lack_labels: whether a clip may be of no class though others are of some.

    Raises:
        ListingError: there is no row, or one lacks a path or a label, or its times make no sense.
    """
    rows = csv_rows(text, source, header_line, columns.delimiter)
    table = read_rows(rows, source, columns, is_there)
    table.check(may_lack_labels=may_lack_labels)
    return table


def read_rows(
    rows: Iterable[tuple[int, Sequence[str]]],
    source: str,
    columns: Columns,
    is_there: Callable[[str], bool],
) -> Table:
    """Read rows of cells, each with its line, by what their columns are; arguments as above."""
    table, times, path_column = Table(source), columns.times, columns.paths[0]
    names = list(columns.names)
    table.in_frames = times is not None and times.unit == "frame"
    table.notes += _say_unread(source, columns)
    like_splits: dict[int, set[str]] = {i: set() for i in columns.unread}
    others: dict[int, set[str]] = {i: set() for i in like_splits}
    switches = {i: set() for i in like_splits}
    counts = {i for i in like_splits if is_count(columns.names[i])}
    ranges: set[int] = set()
    one_hot = {i: set() for i in like_splits} if columns.label is None else {}
    for number, (line, row) in enumerate(rows):
        if number == 0 and len(columns.paths) > 1:
            there = (i for i in columns.paths if is_there(_cell(row, i)))
            path_column = next(there, path_column)
        path, is_remark = _cell(row, path_column), row[0].startswith("#")
        if (not path and is_remark) or list(map(str.strip, row)) == names:
            continue  # a comment, or the header again where files were put together
        if not path:
            what = f"path in column {path_column + 1}"
            if not columns.delimiter:  # keys of objects, not columns
                what = f"text under the key `{columns.names[path_column]}`"
            table.bad.append(f"{source}:{line}: there is no {what}.")
        if not is_remark and any(map(str.strip, row[len(columns.names) :])):
            table.bad.append(
                f"{source}:{line}: there are {len(row)} cells, but the header has "
                f"{len(columns.names)}; put what holds `{columns.delimiter}` into quotation marks."
            )
        _keep_splits(like_splits, others, row)
        ranges |= {i for i in counts - ranges if _RANGE.fullmatch(_cell(row, i))}
        _keep(one_hot, row, _BIT.fullmatch)
        _keep(switches, row, lambda value: not value or _YES_NO.fullmatch(value))
        for label, start, end in _parts(row, columns, table, line):
            if is_remark:
                table.hashed.add(len(table.paths))
            table.add(line, path, label)
            if times is not None or start or end:
                unit = "s" if times is None else times.unit
                _fill(table)
                table.add_segment(line, start, end, unit)
            elif table.segments is not None:
                table.add_segment(line, "", "")
            if columns.split is not None:
                table.add_split(_cell(row, columns.split))
    table.about_labels = _about_labels(columns, one_hot)
    if ranges:
        table.notes.append(_say_unread_parts(source, [columns.names[i] for i in sorted(ranges)]))
    if columns.split is None:
        table.notes += _say_unread_splits(source, columns, like_splits, switches)
    return table


def _keep(seen: dict[int, set[str]], row: Sequence[str], is_one: Callable[[str], object]) -> None:
    """Note the cells of a row in the columns that were seen to hold one kind of values alone."""
    for column, values in list(seen.items()):
        value = _cell(row, column)
        if value not in values:
            if is_one(value):
                values.add(value)
            else:
                del seen[column]


def _keep_splits(
    seen: dict[int, set[str]], others: dict[int, set[str]], row: Sequence[str]
) -> None:
    """Note the splits in the cells of a row, in columns that do not hold much else."""
    for column, values in list(seen.items()):
        value = _cell(row, column)
        if not value or value in values or value in others[column]:
            continue
        if split_of(value):
            values.add(value)
        elif len(others[column]) < _OTHER_VALUES:
            others[column].add(value)
        else:
            del seen[column]


def _about_labels(columns: Columns, one_hot: Iterable[int]) -> str:
    names = [f"`{columns.names[column]}`" for column in one_hot]
    said = describe_columns(columns.names)
    if len(names) < 2:
        return said
    more = ", ..." if len(names) > _NAMED_AT_MOST else ""
    return (
        f"{said}. {', '.join(names[:_NAMED_AT_MOST])}{more} look one-hot: write the names of a "
        f"clip's classes into one column, joined by `{LABELS_JOINED_BY}`"
    )


def _say_unread_splits(
    source: str,
    columns: Columns,
    like_splits: Mapping[int, set[str]],
    switches: Mapping[int, set[str]],
) -> Iterator[str]:
    for column in columns.unread:
        name = columns.names[column]
        plain = name.strip().lower()
        values = sorted(like_splits.get(column, ()))
        if len(set(map(split_of, values))) > 1:
            yield (
                f"{source}: its column `{name}` is not read, though it holds "
                f"{', '.join(values)}: call it `split` if the clips are to be split by it."
            )
        elif plain in _FOLDS or (
            len(switches.get(column, ())) > 1 and split_of(_ASKS.sub("", plain))
        ):
            yield (
                f"{source}: its column `{name}` is not read: which clips are for training, "
                "a column `split` of train, val and test says."
            )


def _fill(table: Table) -> None:
    # The clips before the first one with times are whole videos.
    while len(table.segments or ()) < len(table.paths) - 1:
        table.add_segment(0, "", "")


def _parts(
    row: Sequence[str], columns: Columns, table: Table, line: int
) -> Iterator[tuple[str, str, str]]:
    """Give label, start and end as text of each clip that a row names."""
    label, times = _cell(row, columns.label), columns.times
    if _TIMED_LABELS.fullmatch(label):
        yield from (tuple(part.split()) for part in label.split(";"))
        return
    start = end = ""
    if times is not None:
        start, end = _cell(row, times.start), _cell(row, times.end)
        if times.length is not None and (length := _cell(row, times.length)):
            try:
                seconds = read_time(start or "0", "start", times.unit)
                seconds += read_time(length, columns.names[times.length], times.unit)
                start, end = start or "0", repr(seconds * (1000.0 if times.unit == "ms" else 1.0))
            except ValueError as error:
                table.bad_times.append(f"{table.source}:{line}: {error}.")
    yield label_of(label), start, end


def _say_unread(source: str, columns: Columns) -> Iterator[str]:
    if columns.other_labels:
        names = ", ".join(f"`{name}`" for name in columns.other_labels)
        label = columns.names[columns.label]
        yield f"{source}: labels are those of column `{label}`; not read: {names}."
    times = columns.times
    if times is not None and times.length is None and None in (times.start, times.end):
        column = times.end if times.start is None else times.start
        where = "up to it" if times.start is None else "from there to the end of its video"
        yield (
            f"{source}: of where a clip is in its video, only column `{columns.names[column]}` is "
            f"read: a clip runs {where}. A second column would be called start, end or duration, "
            "in the same unit."
        )
    if columns.other_times:
        yield _say_unread_parts(source, columns.other_times)


def _say_unread_parts(source: str, names: Iterable[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names)
    return (
        f"{source}: not read: {shown}. Which part of a video a clip is, columns called start "
        "and end say in seconds, start_frame and end_frame in frames."
    )


def label_of(text: str) -> str:
    """Give a label as it is used: "" for what stands for nothing, the names of a JSON array."""
    text = text.strip()
    if text.lower() in NO_LABEL:
        return ""
    if text[:1] in "[{" and text[-1:] in "]}":
        return LABELS_JOINED_BY.join(_labels_in(text))
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text


def _labels_in(text: str) -> list[str]:
    for spelling in (text, text.replace("'", '"')):
        try:
            found = read_json(spelling)
        except ValueError:
            continue
        if isinstance(found, dict):
            found = found.get("choices")
        if isinstance(found, list) and all(isinstance(part, str | int) for part in found):
            return [str(part).strip() for part in found]
    return [text]


def _cell(row: Sequence[str], column: int | None) -> str:
    return "" if column is None or column >= len(row) else row[column].strip()


def csv_rows(
    text: str, source: str, header_line: int, delimiter: str
) -> Iterator[tuple[int, list[str]]]:
    """Give each row under the header with the line that it starts in, comments too.

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
            if any(row):
                yield start, row
            start = header_line + reader.line_num + 1
    except csv.Error as error:
        raise ListingError(f"{source}:{start}: this is not valid CSV ({error}).") from error
