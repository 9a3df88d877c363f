"""Read rows of CSV or JSON with named columns as clips, and report ignored columns."""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from autox_video.core.errors import ListingError
from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.reading.columns import Columns, describe_columns, is_count
from autox_video.data.listing.reading.list_text import read_json
from autox_video.data.listing.reading.segments import read_time
from autox_video.data.listing.reading.table import Table

NO_LABEL = ("", "nan", "<na>", "n/a", "#n/a", "#na", "#ref!", "#value!", "#name?", "null")
"""Lower-case values that mean that a clip has no label."""

_NAMED_AT_MOST = 5
_REMEMBERED = 100
"""Number of distinct values kept per unused column; a split column has fewer."""
_OTHER_VALUES = 5
"""A split column has at most this many distinct values that are not split names."""

_BIT = re.compile(r"[01](\.0*)?")
_RANGE = re.compile(r"[0-9]+\s*[-–:]\s*[0-9]+")
# Some columns define splits with yes/no values or fold numbers.
_YES_NO = re.compile(r"([01](\.0*)?|true|false|yes|no|[tfynx])?", re.IGNORECASE)
_ASKS = re.compile(r"(?<![a-z])(is|for|in|used?)(?![a-z])[ _-]*")  # is_train, used_for_test
_FOLDS = ("fold", "kfold", "k_fold", "fold_id", "cv_fold", "usage")
# Labels with times as in Charades: `c092 11.90 21.20;c147 0.00 12.60`.
_TIMED_LABELS = re.compile(r"[^\s;]+ [0-9.]+ [0-9.]+(;[^\s;]+ [0-9.]+ [0-9.]+)*")


def csv_rows(
    text: str, source: str, header_line: int = 0, delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line number and cells of each row after the header; comments are included.

    Raises ListingError if the text is not valid CSV.
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


def read_rows(
    rows: Iterable[tuple[int, Sequence[str]]],
    source: str,
    columns: Columns,
    is_there: Callable[[str], bool],
) -> Table:
    """Return a table of `rows`, which are pairs (line number, cells); the table is not yet checked.

    If there are several path columns, the first in which `is_there` finds a clip is used.
    """
    table = Table(source, unit=columns.unit)
    seen: dict[int, set[str]] = {column: set() for column in columns.unread}
    path_column = None
    for line, row in rows:
        cells, is_remark = [cell.strip() for cell in row], row[0].startswith("#")
        if path_column is None:
            path_column = _path_column(columns, cells, is_there)
        path = _cell(cells, path_column)
        if (is_remark and not path) or tuple(cells) == columns.names:
            continue  # a comment, or another header in concatenated files
        if not path:
            name = columns.names[path_column]
            key, column = f"text under the key `{name}`", f"path in column {path_column + 1}"
            table.refuse(line, f"there is no {column if columns.delimiter else key}")
        if not is_remark and any(cells[len(columns.names) :]):
            table.refuse(
                line,
                f"there are {len(cells)} cells, but the header has {len(columns.names)}; quote "
                f"cells that contain `{columns.delimiter}`",
            )
        for column, values in seen.items():
            if len(values) < _REMEMBERED:
                values.add(_cell(cells, column))
        split = None if columns.split is None else _cell(cells, columns.split)
        for label, *times in _parts(cells, columns, table, line):
            table.add(line, path, label, *times, split=split, hashed=is_remark)
    table.about_labels = _about_labels(columns, seen)
    table.notes += _say_unread(source, columns, seen)
    return table


def _cell(cells: Sequence[str], column: int | None) -> str:
    return "" if column is None or column >= len(cells) else cells[column]


def _path_column(columns: Columns, first: Sequence[str], is_there: Callable[[str], bool]) -> int:
    if len(columns.paths) == 1:
        return columns.paths[0]
    there = (column for column in columns.paths if is_there(_cell(first, column)))
    return next(there, columns.paths[0])


def _parts(
    cells: Sequence[str], columns: Columns, table: Table, line: int
) -> Iterator[tuple[str, str, str]]:
    """Yield the label, start and end of each clip in a row, as text."""
    label = _cell(cells, columns.label)
    if _TIMED_LABELS.fullmatch(label):
        yield from (tuple(part.split()) for part in label.split(";"))
        return
    try:
        start, end = _times(cells, columns)
    except ValueError as error:
        table.bad_times.append(f"{table.source}:{line}: {error}.")
        start = end = ""
    yield label_of(label), start, end


def _times(cells: Sequence[str], columns: Columns) -> tuple[str, str]:
    start, length = _cell(cells, columns.start), _cell(cells, columns.length)
    if not length:
        return start, _cell(cells, columns.end)
    start = start or "0"
    seconds = read_time(start, "start", columns.unit)
    seconds += read_time(length, columns.names[columns.length], columns.unit)
    return start, repr(seconds * (1000.0 if columns.unit == "ms" else 1.0))


def label_of(text: str) -> str:
    """Return the label in a cell, or "" if it has none; the names in a JSON array are joined."""
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
            labels = read_json(spelling)
        except ValueError:
            continue
        if isinstance(labels, dict):
            labels = labels.get("choices")
        if isinstance(labels, list) and all(isinstance(label, str | int) for label in labels):
            return [str(label).strip() for label in labels]
    return [text]


def _about_labels(columns: Columns, seen: Mapping[int, Collection[str]]) -> str:
    about = describe_columns(
        columns.names, "the columns are" if columns.delimiter else "its keys are"
    )
    bits = [i for i, values in seen.items() if values and all(map(_BIT.fullmatch, values))]
    if columns.label is not None or len(bits) < 2:
        return about
    names = _quoted(columns.names[column] for column in bits[:_NAMED_AT_MOST])
    more = ", ..." if len(bits) > _NAMED_AT_MOST else ""
    return (
        f"{about}. {names}{more} look one-hot: write the names of a clip's classes in one column, "
        f"joined by `{LABELS_JOINED_BY}`"
    )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _say_unread(
    source: str, columns: Columns, seen: Mapping[int, Collection[str]]
) -> Iterator[str]:
    """Report unused columns that seem to contain labels, times or splits."""
    names = columns.names
    unread = [*columns.other_labels, *columns.other_times]
    unread += [
        names[column]
        for column, values in seen.items()
        if (is_count(names[column]) and any(map(_RANGE.fullmatch, values)))
        or (columns.split is None and _may_say_split(names[column], values))
    ]
    if unread:
        label = "none" if columns.label is None else f"`{names[columns.label]}`"
        yield (
            f"{source}: columns not used: {_quoted(unread)}. The label column is {label}; segments "
            "are read from columns named start and end, or start_frame and end_frame, and splits "
            "from a column named split with train, val and test."
        )
    if columns.length is None and (columns.start is None) != (columns.end is None):
        column = columns.end if columns.start is None else columns.start
        where = "from the start of the video to there"
        where = where if columns.start is None else "from there to the end of the video"
        yield (
            f"{source}: `{names[column]}` is the only column of segment times, so each clip runs "
            f"{where}. A second column must be named start, end or duration, in the same unit."
        )


def _may_say_split(name: str, values: Collection[str]) -> bool:
    """Whether a column seems to contain splits, fold numbers, or yes/no values for one split."""
    splits = set(filter(split_of, values))
    are_few = len(set(values) - splits - {""}) <= _OTHER_VALUES
    if are_few and len(set(map(split_of, splits))) > 1:
        return True
    name = name.strip().lower()
    is_switch = len(values) > 1 and all(map(_YES_NO.fullmatch, values))
    return name in _FOLDS or (is_switch and split_of(_ASKS.sub("", name)) is not None)
