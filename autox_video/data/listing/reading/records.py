"""Parse JSON and JSON Lines, and read records as rows of a table of clips."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autox_video.core.errors import ListingError
from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.reading.columns import columns_of, describe_columns
from autox_video.data.listing.reading.list_text import data_lines, numbered_lines, read_json
from autox_video.data.listing.reading.rows import read_rows
from autox_video.data.listing.reading.table import Table

Record = Mapping[str, Any]

_BEGINS_JSON = re.compile(r"\s*(\[\s*([\[{\"'\]]|-?\d[\d.]*\s*[,\]]|$)|\{\s*([\"']|\}|$))")
_TIMES = (
    *("segment", "interval", "timestamps", "timestamp", "time_segment", "span", "time"),
    *("times", "time_range", "range", "clip_range", "window"),
)
_FRAMES = ("frames", "frame_range", "frame_interval", "frame_segment")
# For each key of a pair of numbers, the names of the two columns that the pair stands for.
_PAIRS = {
    **dict.fromkeys(_TIMES, ("start", "end")),
    **dict.fromkeys(_FRAMES, ("start_frame", "end_frame")),
}


def looks_like_json(text: str) -> bool:
    """Whether a text looks like JSON, even if it is not valid."""
    return _BEGINS_JSON.match(text) is not None


def parse(text: str, source: str) -> tuple[Any, list[int]]:
    """For JSON, return the value and an empty list; for JSON Lines, the records and line numbers.

    Raises ListingError if the text is neither JSON nor JSON Lines.
    """
    try:
        return read_json(text), []
    except ValueError as error:
        lines = list(numbered_lines(text))
        line = getattr(error, "lineno", 1)
        if len(lines) < 2 or not lines[0][1].endswith(("}", "]")):
            raise ListingError(f"{source}:{line}: this is not valid JSON ({error}).") from error
    return parse_lines(text, source)


def parse_lines(text: str, source: str) -> tuple[list[Record], list[int]]:
    """Return the JSON object on each line, and the line numbers; raises ListingError if invalid."""
    records, lines = [], []
    for number, line in data_lines(text):
        try:
            records.append(read_json(line))
        except ValueError as error:
            raise ListingError(f"{source}:{number}: this is not valid JSON ({error}).") from error
        if not isinstance(records[-1], dict):
            raise ListingError(f"{source}:{number}: each line must be a JSON object, {{...}}.")
        lines.append(number)
    return records, lines


def read_records(
    records: Sequence[Record], lines: Sequence[int], source: str, tree: ClipTree
) -> Table:
    """Return a table of the records found on `lines`; raises ListingError if none has a path."""
    rows = [
        (line, row) for line, record in zip(lines, records, strict=True) for row in flatten(record)
    ]
    names = list(dict.fromkeys(str(key) for _, row in rows for key in row))
    columns = columns_of(names, need_labels=False)
    if columns is None:
        keys = describe_columns(names, "its keys are")
        raise ListingError(f"{source}: this JSON does not name any clips; {keys}.")
    cells = ((line, [_text_of(row.get(name)) for name in names]) for line, row in rows)
    table = read_rows(cells, source, columns, lambda path: tree.resolve(path) is not None)
    table.hashed.clear()  # JSON has no comments
    return table


def find_lines(table: Table, text: str, paths: Sequence[str] | None = None) -> None:
    """Set the line number of each clip to the next line on which the clip's path occurs.

    `paths` are the paths as the text spells them; None if they are those of the table.
    """
    line, position = 1, 0
    for index, path in enumerate(table.paths if paths is None else paths):
        written = json.dumps(path, ensure_ascii=not path.isascii() and "\\u" in text)
        at = text.find(written, position)
        if at >= 0:
            line += text.count("\n", position, at)
            position = at
        table.lines[index] = line


def _text_of(value: Any) -> str:
    """Return a JSON value as the text of a table cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return LABELS_JOINED_BY.join(part for part in map(_text_of, value) if part)
    if isinstance(value, dict):
        inner = (value.get(key) for key in ("label", "name", "displayName", "value", "choices"))
        return _text_of(next((part for part in inner if part is not None), None))
    return str(value).strip()


def flatten(record: Record) -> Iterator[Record]:
    """Yield one row per annotation of a record; each row also has the record's own fields."""
    inner = next(
        (key for key, value in record.items() if is_records(value) and key != "labels"), None
    )
    if inner is None and isinstance(record.get("annotations"), dict):
        yield from flatten({**record, **record["annotations"], "annotations": None})
        return
    if inner is not None and _says_label(record, inner) and not _say_times(record[inner]):
        inner = None  # these annotate objects in the frames, not the clip
    outer = {key: value for key, value in record.items() if key != inner and value is not None}
    for part in record[inner] if inner is not None else ({},):
        row = {**outer, **part}
        for key, names in _PAIRS.items():
            times = row.get(key)
            if isinstance(times, list) and len(times) == 2 and not isinstance(times[0], list):
                del row[key]
                row.update(zip(names, times, strict=True))
        yield row


def _says_label(record: Record, inner: str) -> bool:
    """Whether a record has a label in addition to the labels of its parts."""
    names = [key for key, value in record.items() if key != inner and value not in (None, "", [])]
    return columns_of([*names, "path"]) is not None


def _say_times(parts: Sequence[Record]) -> bool:
    """Whether the parts of a record have times and are therefore segments of the video."""
    names = list(dict.fromkeys(key for part in parts for key in part))
    columns = columns_of([*names, "path"], need_labels=False)
    times = (columns.start, columns.end, *columns.other_times)
    return any(column is not None for column in times) or not _PAIRS.keys().isdisjoint(names)


def is_records(value: Any) -> bool:
    """Whether a value is a non-empty array of objects."""
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)
