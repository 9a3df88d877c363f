"""Lists in text, `path label` a line or CSV, read into a table as whoever wrote them meant it."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH110, PTH118, PTH122

import os
import re
from collections.abc import Iterable
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import at_most, counted
from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.formats.columns import (
    Columns,
    columns_of,
    describe_columns,
    find_columns,
    looks_like_header,
    split_row,
)
from autox_video.data.listing.formats.csv_lists import Table, label_of, read_csv
from autox_video.data.listing.formats.list_text import data_lines, kept_lines, refuse_markup
from autox_video.video.files.remote import is_remote
from autox_video.video.files.suffixes import VIDEO_SUFFIXES

DELIMITERS = ",;\t|"
# Excel's own first line says `sep=;`: the header is the next one.
_SEP = re.compile(r'\A"?sep=.?"?[ \r]*(?=\n)', re.IGNORECASE)

_SUFFIXES = "|".join(map(re.escape, sorted(VIDEO_SUFFIXES)))
_IS_VIDEO = re.compile(rf".*(?:{_SUFFIXES})", re.IGNORECASE | re.DOTALL)
_HAS_VIDEO = re.compile(rf"(?:{_SUFFIXES})(?=[\s\"',;|]|$)", re.IGNORECASE)
_LABEL_BEHIND_SUFFIX = re.compile(rf"(.*(?:{_SUFFIXES}))\s+(\S.*)", re.IGNORECASE)
_QUOTED = re.compile(r"(?:\"([^\"]+)\"|'([^']+)')[\s,;]+(\S.*)")
# mmaction2's lists of several classes a clip: `a.mp4 1 3 5`.
_SEVERAL_NUMBERS = re.compile(r"[0-9]+(\s+[0-9]+)+")
_NUMBER_AND_WORDS = re.compile(r"-?[0-9.]+\s+\S*[^\W\d]\S*.*|.*[^\W\d]\S*\s+-?[0-9.]+")
_COMMENT_BEHIND = re.compile(r"(\S.*?)\s+#(?:\s.*)?")
_NUMBER_FIRST = re.compile(r"([0-9]+)\s+([^\W\d].*)")
_TIME = r"-?[0-9]+(?:[.:,][0-9]+)*"
# Two numbers and more, but for whole ones alone, which may be labels.
_TWO_NUMBERS = re.compile(rf"{_TIME}\s+{_TIME}\s+\S.*|{_TIME}\s+[0-9]+[.:,][0-9]\S*")
_LABEL_AND_TWO = re.compile(rf"\S.*\s+{_TIME}\s+{_TIME}")
_COLUMNS_NAMED_AT_MOST = 3
# What else is told about clips in lines of text, by data sets that many use.
_OTHERS = (
    (
        re.compile(rf"\S+(?:{_SUFFIXES})\s+[A-Za-z]\w*(\s+-?[0-9]+){{4}}", re.IGNORECASE),
        "a list of anomalies in time, as UCF-Crime has it",
    ),
    (
        re.compile(r"[\w-]{11},[0-9]{3,4}(\.[0-9]+)?(,[01]\.[0-9]+){4},[0-9]+(,[0-9]+)?"),
        "a list of people in boxes, as AVA has it",
    ),
)


def read_table(
    text: str,
    source: str,
    data_root: str | Path,
    *,
    need_labels: bool,
    may_lack_labels: bool = False,
) -> Table:
    """Read the text of a list, without looking for its clips; labels are "" where it has none.

    A line is `path label`: the label is what follows the last TAB, or else the suffix of a video,
    or else the last space. Blank lines say nothing; of lines that begin with # it is kept that
    they do. A file whose first line names the columns (`path` and `label`, among others) is CSV,
    as is one of two columns of which one names videos.

    Args:
        text: the file.
        source: its name, for sentences.
        data_root: folder that the listed paths are relative to.
        need_labels: whether a list without labels is an error; else a line that is the path of a
            video as a whole has none.
        may_lack_labels: whether a clip in CSV may be of no class though others are of some.

    Raises:
        ListingError: the list is empty, or a line has no path or no label where it should have.
    """
    refuse_markup(text, source)
    text = _SEP.sub("", text)
    number, first = first_line(text, data_root)
    if not first:
        raise ListingError(f"{source}: the list is empty; a line is `path label`.")
    is_csv = source.lower().endswith(".csv")
    header_line, columns = _find_header(text, number, first, only_paths_will_do=is_csv)
    if columns is not None:
        table = read_csv(
            text,
            source,
            header_line=header_line,
            columns=columns,
            is_there=lambda path: exists(data_root, path),
            may_lack_labels=may_lack_labels,
        )
        if columns.label is None and need_labels:
            raise ListingError(
                f"{source}:{header_line}: the clips have no labels; {table.about_labels}."
            )
        return table
    _refuse_others(first, f"{source}:{number}", is_csv=is_csv)
    skipped = number if _is_spaced_header(first) else 0
    lines = [line for line in kept_lines(text) if line[0] != skipped]
    if not need_labels and _is_video_path(first, data_root):
        return _read_unlabelled(lines, source, data_root)
    return _read_lines(lines, source)


def exists(data_root: str | Path, path: str) -> bool:
    """Whether there is a file or a folder of this path in data_root; False for an address."""
    try:
        return not is_remote(data_root) and os.path.exists(os.path.join(data_root, path))
    except ValueError:  # a byte 0
        return False


def first_line(text: str, data_root: str | Path) -> tuple[int, str]:
    """Give the first line that is no comment, with its number; (0, "") where there is none."""
    remark = (0, "")
    for number, line in kept_lines(text):
        if line[0] != "#" or find_columns(line.lstrip("# "), only_paths_will_do=False):
            return number, line
        if exists(data_root, _path_and_label(line)[0]):
            return number, line
        if not remark[0] and _HAS_VIDEO.search(line):
            remark = number, line
    # Nothing but lines that begin with #: clips, where they have a suffix.
    return remark


def _find_header(
    text: str, number: int, line: str, *, only_paths_will_do: bool
) -> tuple[int, Columns | None]:
    """Give the line of the header and what it says; (0, columns) for CSV without a header."""
    columns = find_columns(line.lstrip("# "), only_paths_will_do=only_paths_will_do)
    return (0, _without_header(text)) if columns is None else (number, columns)


def _without_header(text: str) -> Columns | None:
    """Find the two columns of CSV without a header: in one, each cell is the name of a video."""
    lines = [line for _, line in data_lines(text)]
    for delimiter in DELIMITERS if lines else "":
        if any(delimiter not in line for line in lines):
            continue
        rows = [split_row(line, delimiter) for line in lines]
        if any(len(row) != 2 for row in rows):
            continue
        for path, label in ((0, 1), (1, 0)):
            if all(_IS_VIDEO.fullmatch(row[path]) and row[label] for row in rows):
                return Columns(delimiter, ("path", "label"), (path,), label, None, None)
    return None


def _is_spaced_header(line: str) -> bool:
    words = line.split()
    return len(words) == 2 and columns_of(words, only_paths_will_do=False) is not None


def _refuse_others(line: str, place: str, *, is_csv: bool) -> None:
    """Raise ListingError for a header of no known columns, and for lists of other things."""
    for pattern, what in _OTHERS:
        if pattern.fullmatch(line):
            raise ListingError(
                f"{place}: this is {what}, which is not read; write CSV with the columns "
                "path, label, start and end."
            )
    for delimiter in DELIMITERS:
        names = split_row(line, delimiter)
        if len(names) < 2 or _HAS_VIDEO.search(line):
            continue
        if looks_like_header(names):
            raise ListingError(f"{place}: {describe_columns(names)}.")
    delimiter = _delimiter_in(line)
    if is_csv and delimiter:
        raise ListingError(
            f"{place}: a CSV list begins with a header, `path,label`; in this line "
            f"{describe_columns(split_row(line, delimiter))}."
        )


def _delimiter_in(line: str) -> str | None:
    """Give what is between the cells of a line that should be CSV."""
    if "," in line or _HAS_VIDEO.search(line):  # `a.mp4 0;1` is a clip of two classes
        return "," if "," in line else None
    return next((delimiter for delimiter in ";|" if delimiter in line), None)


def _is_video_path(line: str, data_root: str | Path) -> bool:
    last = line.replace("\t", " ").rsplit(" ", 1)[-1]
    if os.path.splitext(last)[1].lower() in VIDEO_SUFFIXES:
        return True
    return last == line or exists(data_root, line)


def _path_and_label(line: str) -> tuple[str, str]:
    """Split a line into path and label, "" where it has none."""
    if found := _QUOTED.fullmatch(line):
        return found[1] or found[2], label_of(found[3])
    if "\t" in line:
        path, label = line.rsplit("\t", 1)
    elif found := _LABEL_BEHIND_SUFFIX.fullmatch(line):
        path, label = found.groups()
    else:
        path, label = ([*line.rsplit(None, 1), ""])[:2]
    label = label.strip()
    if _SEVERAL_NUMBERS.fullmatch(label):
        return path.rstrip(), LABELS_JOINED_BY.join(label.split())
    return path.rstrip(), label_of(label)


def _read_lines(lines: Iterable[tuple[int, str]], source: str) -> Table:
    table = Table(source)
    bad, commented = [], []
    for number, line in lines:
        path, label = _path_and_label(line)
        if found := _COMMENT_BEHIND.fullmatch(label):
            label = found[1]
            commented.append(number)
        if "\t" in path and line[0] != "#":
            columns = line.count("\t") + 1
            table.bad.append(
                f"{source}:{number}: the line has {columns} columns; a list of more than path and "
                "label needs a header that names them, as `path,label,start,end`."
            )
        if label:
            if line[0] == "#":
                table.hashed.add(len(table.paths))
            table.add(number, path, label)
        elif line[0] != "#":
            bad.append((number, line))
    if bad:
        sentence = "{}:{}: `{}` has no label; a line is `path label`."
        raise ListingError(*at_most(bad, lambda line: sentence.format(source, *line)))
    if table.bad:
        raise ListingError(*at_most(table.bad, shown=_COLUMNS_NAMED_AT_MOST))
    if commented:
        table.notes.append(
            f"{source}: what follows a # behind the label is taken for a comment in "
            f"{counted(len(commented), 'line')}, as in line {commented[0]}."
        )
    _turn_around(table)
    if table.labels and any(
        all(map(pattern.fullmatch, table.labels)) for pattern in (_TWO_NUMBERS, _LABEL_AND_TWO)
    ):
        raise ListingError(
            f"{table.place(0)}: behind the path is `{table.labels[0]}`, of which only a part can "
            "be the label; write CSV with a header, as path,label,start,end."
        )
    _drop_frame_counts(table)
    _say_odd_labels(table)
    return table


def _turn_around(table: Table) -> None:
    """Exchange the columns of a list of `label path` lines."""
    is_turned = all(map(_IS_VIDEO.fullmatch, table.labels))
    if is_turned and not any(map(_IS_VIDEO.fullmatch, table.paths)):
        table.paths, table.labels = table.labels, table.paths
        table.known = {label: label for label in table.labels}


def _drop_frame_counts(table: Table) -> None:
    """Read `path num_frames class name`: where names come with several numbers, they are counts."""
    found = [_NUMBER_FIRST.fullmatch(label) for label in table.labels]
    if not found or not all(found):
        return
    names = [match[2] for match in found]
    if not 1 < len(set(names)) < len(set(table.labels)):
        return
    table.labels = names
    table.known = {name: name for name in names}
    table.notes.append(
        f"{table.source}: its lines are read as `path num_frames label`; if the number is a part "
        "of the class, write CSV with the header path,label."
    )


def _say_odd_labels(table: Table) -> None:
    """Say how lines are read that have a number behind the label, or before it."""
    odd = (i for i, label in enumerate(table.labels) if _NUMBER_AND_WORDS.fullmatch(label))
    if (first := next(odd, None)) is not None:
        table.notes.append(
            f"{table.place(first)}: the class is `{table.labels[first]}`, all that follows the "
            "video's name; if the number is no part of it, leave it out, or write CSV."
        )


def _read_unlabelled(lines: Iterable[tuple[int, str]], source: str, data_root: str | Path) -> Table:
    table = Table(source)
    labelled = []
    for number, line in lines:
        if line[0] == "#":
            table.hashed.add(len(table.paths))
        elif not _is_video_path(line, data_root):
            labelled.append((number, line))
        table.add(number, line, "")
    if labelled:
        sentence = "{}:{}: `{}` has a label, but line {} has none; give all clips labels, or none."
        first = table.lines[0]
        raise ListingError(*at_most(labelled, lambda line: sentence.format(source, *line, first)))
    return table
