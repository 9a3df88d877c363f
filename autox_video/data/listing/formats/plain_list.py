"""Plain lists: `path label` lines or CSV with a header, in many variants."""

# A list may contain a million paths, which would take ten times the memory as `Path` objects.
# ruff: noqa: PTH122

import os
import re
from collections.abc import Iterable

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.formats.list_format import (
    ListFormat,
    ListSource,
    Reading,
    exists,
)
from autox_video.data.listing.reading.columns import (
    DELIMITERS,
    Columns,
    columns_of,
    describe_columns,
    find_columns,
    looks_like_header,
    split_row,
)
from autox_video.data.listing.reading.list_text import data_lines, numbered_lines, refuse_markup
from autox_video.data.listing.reading.rows import csv_rows, label_of, read_rows
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.suffixes import VIDEO_SUFFIXES

# Excel may write a line `sep=;` before the header.
_SEP = re.compile(r'\A"?sep=.?"?[ \r]*(?=\n)', re.IGNORECASE)

_SUFFIXES = "|".join(map(re.escape, sorted(VIDEO_SUFFIXES)))
_IS_VIDEO = re.compile(rf".*(?:{_SUFFIXES})", re.IGNORECASE | re.DOTALL)
_HAS_VIDEO = re.compile(rf"(?:{_SUFFIXES})(?=[\s\"',;|]|$)", re.IGNORECASE)
_LABEL_BEHIND_SUFFIX = re.compile(rf"(.*(?:{_SUFFIXES}))\s+(\S.*)", re.IGNORECASE)
_QUOTED = re.compile(r"(?:\"([^\"]+)\"|'([^']+)')[\s,;]+(\S.*)")
# mmaction2's multi-label lists: `a.mp4 1 3 5`.
_SEVERAL_NUMBERS = re.compile(r"[0-9]+(\s+[0-9]+)+")
_THREE_NUMBERS = re.compile(rf"[0-9]+({LABELS_JOINED_BY}[0-9]+){{2,}}")
_NUMBER_AND_WORDS = re.compile(r"-?[0-9.]+\s+\S*[^\W\d]\S*.*|.*[^\W\d]\S*\s+-?[0-9.]+")
_COMMENT_BEHIND = re.compile(r"(\S.*?)\s+#(?:\s.*)?")
_NUMBER_FIRST = re.compile(r"([0-9]+)\s+([^\W\d].*)")
_TIME = r"-?[0-9]+(?:[.:,][0-9]+)*"
# Two times followed by more text, or two times, the second of which is not an integer. Integers
# alone may be labels.
_TWO_NUMBERS = re.compile(rf"{_TIME}\s+{_TIME}\s+\S.*|{_TIME}\s+[0-9]+[.:,][0-9]\S*")
_LABEL_AND_TWO = re.compile(rf"\S.*\s+{_TIME}\s+{_TIME}")
_MORE_COLUMNS = (
    "a list with more than path and label needs a header, such as `path,label,start,end`"
)
_FEWEST_LINES = 3
# Other kinds of lists in popular data sets.
_OTHER_LISTS = (
    (
        re.compile(rf"\S+(?:{_SUFFIXES})\s+[A-Za-z]\w*(\s+-?[0-9]+){{4}}", re.IGNORECASE),
        "a list of temporal anomalies, as in UCF-Crime",
    ),
    (
        re.compile(r"[\w-]{11},[0-9]{3,4}(\.[0-9]+)?(,[01]\.[0-9]+){4},[0-9]+(,[0-9]+)?"),
        "a list of person boxes, as in AVA",
    ),
)


class PlainList(ListFormat):
    """Text or CSV lists in any style; a JSON list is still read as JSON."""

    def read(self, source: ListSource, reading: Reading) -> Table:
        if source.is_json:
            return LIST_FORMATS["json"].read(source, reading)
        return read_table(source.text, source.path, reading)


LIST_FORMATS.register("list")(PlainList())
LIST_FORMATS.register("folders")(PlainList())  # `folders` only applies to data_root


def read_table(text: str, source: str, reading: Reading) -> Table:
    """Return the clips in the text of a list; labels are "" if the list has none.

    In a `path label` line, the label follows the last tab if there is one, otherwise a video
    suffix, and otherwise the last space. Blank lines are skipped; lines that begin with # are
    marked as possible comments. A file is CSV if its first line names columns (`path`, `label` and
    others), or if it has two columns, one of which contains video names. The function does not
    check whether the clips exist.

    Raises:
        ListingError: the list is empty, or a line has no path or lacks a required label.
    """
    refuse_markup(text, source)
    text = _SEP.sub("", text)
    number, first = _first_line(text, reading.data_root)
    if not first:
        raise ListingError(f"{source}: the list is empty; write one `path label` per line.")
    is_csv = source.lower().endswith(".csv")
    columns = find_columns(first.lstrip("# "), need_labels=not is_csv)
    header_line = number if columns else 0
    columns = columns or _columns_without_header(text)
    if columns is not None:
        rows = csv_rows(text, source, header_line, columns.delimiter)
        table = read_rows(rows, source, columns, lambda path: exists(reading.data_root, path))
        if columns.label is None and reading.split != "test":
            raise ListingError(
                f"{source}:{number}: the clips have no labels; {table.about_labels}."
            )
        return table
    _refuse_other_lists(first, f"{source}:{number}", is_csv=is_csv)
    words = first.split()
    skipped = number if len(words) == 2 and columns_of(words) else 0  # a header of two words
    lines = (line for line in numbered_lines(text) if line[0] != skipped)
    if reading.split == "test" and _is_video_path(first, reading.data_root):
        return _read_unlabelled(lines, source, reading.data_root)
    return _read_lines(lines, source, reading)


def _first_line(text: str, data_root: str) -> tuple[int, str]:
    """Return the number and text of the first line that is not a comment, or (0, "")."""
    remark = (0, "")
    for number, line in numbered_lines(text):
        if line[0] != "#" or find_columns(line.lstrip("# ")):
            return number, line
        if exists(data_root, _path_and_label(line)[0]):
            return number, line
        if not remark[0] and _HAS_VIDEO.search(line):
            remark = number, line
    # If all lines begin with #, those with a video suffix are clips.
    return remark


def _columns_without_header(text: str) -> Columns | None:
    """Return the columns of a headerless CSV if it has two, one of which lists only videos."""
    lines = [line for _, line in data_lines(text)]
    for delimiter in DELIMITERS if lines else "":
        if any(delimiter not in line for line in lines):
            continue
        rows = [split_row(line, delimiter) for line in lines]
        if any(len(row) != 2 for row in rows):
            continue
        for path, label in ((0, 1), (1, 0)):
            if all(_IS_VIDEO.fullmatch(row[path]) and row[label] for row in rows):
                return Columns(delimiter, ("path", "label"), (path,), label)
    return None


def _refuse_other_lists(line: str, location: str, *, is_csv: bool) -> None:
    """Raise ListingError for a header without known columns, and for unsupported kinds of lists."""
    for pattern, what in _OTHER_LISTS:
        if pattern.fullmatch(line):
            raise ListingError(
                f"{location}: this is {what}, which is not supported; write CSV with the columns "
                "path, label, start and end."
            )
    has_video = _HAS_VIDEO.search(line)
    for delimiter in "" if has_video else DELIMITERS:
        names = split_row(line, delimiter)
        if len(names) > 1 and looks_like_header(names):
            raise ListingError(f"{location}: {describe_columns(names)}.")
    # `a.mp4 0;1` is a clip with two classes.
    delimiter = next((sign for sign in ("," if has_video else ",;|") if sign in line), None)
    if is_csv and delimiter:
        raise ListingError(
            f"{location}: a CSV list must begin with a header, such as `path,label`; in this line "
            f"{describe_columns(split_row(line, delimiter))}."
        )


def _is_video_path(line: str, data_root: str) -> bool:
    last = line.replace("\t", " ").rsplit(" ", 1)[-1]
    if os.path.splitext(last)[1].lower() in VIDEO_SUFFIXES:
        return True
    return last == line or exists(data_root, line)


def _path_and_label(line: str) -> tuple[str, str]:
    """Return the path and label in a line; the label is "" if there is none."""
    if match := _QUOTED.fullmatch(line):
        return match[1] or match[2], label_of(match[3])
    if "\t" in line:
        path, label = line.rsplit("\t", 1)
    elif match := _LABEL_BEHIND_SUFFIX.fullmatch(line):
        path, label = match.groups()
    else:
        path, label = ([*line.rsplit(None, 1), ""])[:2]
    label = label.strip()
    if _SEVERAL_NUMBERS.fullmatch(label):
        return path.rstrip(), LABELS_JOINED_BY.join(label.split())
    return path.rstrip(), label_of(label)


def _read_lines(lines: Iterable[tuple[int, str]], source: str, reading: Reading) -> Table:
    table, commented = Table(source), []
    for number, line in lines:
        path, label = _path_and_label(line)
        is_remark = line[0] == "#"
        if match := _COMMENT_BEHIND.fullmatch(label):
            label = match[1]
            commented.append(number)
        if label:
            table.add(number, path, label, hashed=is_remark)
        elif not is_remark:
            table.refuse(number, f"`{line}` has no label; write `path label`")
        if "\t" in path and not is_remark:
            count = line.count("\t") + 1
            table.refuse(number, f"the line has {count} columns; {_MORE_COLUMNS}")
    if commented:
        table.notes.append(
            f"{source}: text from # after the label is ignored as a comment in "
            f"{counted(len(commented), 'line')}, such as line {commented[0]}."
        )
    if table.labels and not table.bad:
        _settle_labels(table, several_numbers=reading.several_numbers is True)
    return table


def _settle_labels(table: Table, *, several_numbers: bool) -> None:
    """Based on all lines, decide how to read the text after each path as labels."""
    if all(map(_IS_VIDEO.fullmatch, table.labels)) and not any(
        map(_IS_VIDEO.fullmatch, table.paths)
    ):
        table.paths, table.labels = table.labels, table.paths  # lines of `label path`
    of_numbers = all(map(_THREE_NUMBERS.fullmatch, table.labels)) and not several_numbers
    counts = {label.count(LABELS_JOINED_BY) for label in table.labels}
    if of_numbers and len(counts) == 1 and len(table.paths) >= _FEWEST_LINES:
        raise ListingError(
            f"{table.location(0)}: each line has {counts.pop() + 1} numbers after the path, but "
            "only one can be the label; write CSV with the header "
            "path,label,start_frame,end_frame, or set multi_label: true if all of them are "
            "classes of the clip."
        )
    for pattern in (_TWO_NUMBERS, _LABEL_AND_TWO):
        if all(map(pattern.fullmatch, table.labels)):
            raise ListingError(
                f"{table.location(0)}: the path is followed by `{table.labels[0]}`, only part of "
                "which can be the label; write CSV with a header, such as path,label,start,end."
            )
    _drop_frame_counts(table)
    odd = (i for i, label in enumerate(table.labels) if _NUMBER_AND_WORDS.fullmatch(label))
    if (first := next(odd, None)) is not None:
        table.notes.append(
            f"{table.location(first)}: the class is `{table.labels[first]}`, all text after the "
            "path; if the number is not part of it, remove the number or write CSV."
        )


def _drop_frame_counts(table: Table) -> None:
    """Drop the number from each `path num_frames class name` line if it varies within a class."""
    matches = [_NUMBER_FIRST.fullmatch(label) for label in table.labels]
    names = [match[2] for match in matches] if all(matches) else []
    if not 1 < len(set(names)) < len(set(table.labels)):
        return
    table.labels = names
    table.notes.append(
        f"{table.source}: lines are read as `path num_frames label`; if the number is part of the "
        "class, write CSV with the header path,label."
    )


def _read_unlabelled(lines: Iterable[tuple[int, str]], source: str, data_root: str) -> Table:
    table = Table(source)
    for number, line in lines:
        is_remark = line[0] == "#"
        if not is_remark and not _is_video_path(line, data_root):
            why = f"line {table.lines[0]} has none; label all clips or none of them"
            table.refuse(number, f"`{line}` has a label, but {why}")
        table.add(number, line, "", hashed=is_remark)
    return table
