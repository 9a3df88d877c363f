"""JSON, whole or in lines, and records in it as the rows of a table of clips."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autox_video.core.errors import ListingError
from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.formats.columns import columns_of, describe_columns
from autox_video.data.listing.formats.csv_lists import Table, read_rows
from autox_video.data.listing.formats.list_text import data_lines, kept_lines, read_json

Record = Mapping[str, Any]

_BEGINS_JSON = re.compile(r"\s*(\[\s*([\[{\"'\]]|-?\d[\d.]*\s*[,\]]|$)|\{\s*([\"']|\}|$))")
# Pairs of numbers, and what they are called as two columns.
_PARTS = {
    **dict.fromkeys(
        (
            *("segment", "interval", "timestamps", "timestamp", "time_segment", "span", "time"),
            *("times", "time_range", "range", "clip_range", "window"),
        ),
        ("start", "end"),
    ),
    **dict.fromkeys(
        ("frames", "frame_range", "frame_interval", "frame_segment"), ("start_frame", "end_frame")
    ),
}


def looks_like_json(text: str) -> bool:
    """Whether a file is JSON, or is meant to be."""
    return _BEGINS_JSON.match(text.lstrip("\ufeff")) is not None


def parse(text: str, place: str) -> tuple[Any, list[int]]:
    """Parse JSON, or lines of JSON as one array; gives the line of each record where it is known.

    Raises:
        ListingError: this is neither.
    """
    try:
        return read_json(text.lstrip("\ufeff")), []
    except ValueError as error:
        lines = list(kept_lines(text))
        line = getattr(error, "lineno", 1)
        if len(lines) < 2 or not lines[0][1].endswith(("}", "]")):
            raise ListingError(f"{place}:{line}: this is not valid JSON ({error}).") from error
    return parse_lines(text, place)


def parse_lines(text: str, place: str) -> tuple[list[Record], list[int]]:
    """Parse a JSON object in each line; gives them with their lines.

    Raises:
        ListingError: a line is none.
    """
    content, lines = [], []
    for number, line in data_lines(text.lstrip("\ufeff")):
        try:
            content.append(read_json(line))
        except ValueError as error:
            raise ListingError(f"{place}:{number}: this is not valid JSON ({error}).") from error
        if not isinstance(content[-1], dict):
            raise ListingError(f"{place}:{number}: a line is a JSON object, {{...}}.")
        lines.append(number)
    return content, lines


def find_lines(table: Table, text: str) -> None:
    """Set the line of each clip to that in which its name is next found."""
    line, place = 1, 0
    for index, path in enumerate(table.paths):
        found = text.find(
            json.dumps(path, ensure_ascii=not path.isascii() and "\\u" in text), place
        )
        if found >= 0:
            line += text.count("\n", place, found)
            place = found
        table.lines[index] = line


def table_of(
    rows: Sequence[tuple[int, Record]], place: str, tree: ClipTree, kind: str = "JSON"
) -> Table:
    """Read flat records, each with its line, as rows of one table; nothing is checked yet.

    Raises:
        ListingError: no key is that of a path.
    """
    names = list(dict.fromkeys(str(key) for _, row in rows for key in row))
    columns = columns_of(names, "", only_paths_will_do=True)
    if columns is None:
        keys = describe_columns(names).replace("the columns are", "its keys are")
        raise ListingError(f"{place}: this JSON names no clips; {keys}.")
    cells = ((line, [text_of(row.get(name)) for name in names]) for line, row in rows)
    table = read_rows(cells, place, columns, lambda path: tree.resolve(path) is not None)
    table.about_labels = describe_columns(names).replace("the columns are", "its keys are")
    table.hashed.clear()  # JSON knows no comments
    return table


def text_of(value: Any) -> str:
    """Give a value as a cell of a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return LABELS_JOINED_BY.join(part for part in map(text_of, value) if part)
    if isinstance(value, dict):
        inner = (value.get(key) for key in ("label", "name", "displayName", "value", "choices"))
        return text_of(next((part for part in inner if part is not None), None))
    return str(value).strip()


def flatten(record: Record) -> Iterator[Record]:
    """Give a row for each annotation in a record, with what the record says of all of them."""
    inner = next(
        (key for key, value in record.items() if is_records(value) and key != "labels"), None
    )
    if inner is None and isinstance(record.get("annotations"), dict):
        yield from flatten({**record, **record["annotations"], "annotations": None})
        return
    if inner is not None and _says_label(record, inner) and not _say_times(record[inner]):
        inner = None  # what is in the pictures, not what the clip is
    outer = {key: value for key, value in record.items() if key != inner and value is not None}
    for part in record[inner] if inner is not None else ({},):
        row = {**outer, **part}
        for key, names in _PARTS.items():
            times = row.get(key)
            if isinstance(times, list) and len(times) == 2 and not isinstance(times[0], list):
                del row[key]
                row.update(zip(names, times, strict=True))
        yield row


def _says_label(record: Record, inner: str) -> bool:
    """Whether a record has a label of its own, beside those of the parts in it."""
    names = [key for key, value in record.items() if key != inner and value not in (None, "", [])]
    found = columns_of([*names, "path"], "", only_paths_will_do=True)
    return found is not None and found.label is not None


def _say_times(parts: Sequence[Record]) -> bool:
    """Whether parts of a record are parts of its video: with times, or pairs of them."""
    names = list(dict.fromkeys(key for part in parts for key in part))
    found = columns_of([*names, "path"], "", only_paths_will_do=True)
    is_timed = found is not None and (found.times is not None or bool(found.other_times))
    return is_timed or not _PARTS.keys().isdisjoint(names)


def is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
