"""One list file of clips: text lines or CSV in, columns out; and the lists that we write."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH100, PTH113, PTH118, PTH122

import csv
import io
import os
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from autox_video.errors import ListingError
from autox_video.fileio import atomic_write

SHOWN_AT_MOST = 10
# fmt: off
VIDEO_SUFFIXES = frozenset(
    (
        ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4",
        ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".rm", ".ts", ".vob", ".webm", ".wmv", ".y4m",
    )
)
# fmt: on
PATH_COLUMNS = ("path", "video", "filename", "file", "clip", "video_path", "file_path")
LABEL_COLUMNS = ("label", "class", "class_name", "category")


@dataclass(frozen=True, slots=True)
class ClipList:
    """The clips of one split, in columns, so that a million of them fit in memory."""

    paths: tuple[str, ...]
    """As listed: relative to the data root, or absolute."""
    labels: tuple[int, ...] | None
    """Class index of each clip; None where the list has no labels."""

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True, slots=True)
class Entries:
    """What a list file or a folder says, in columns of equal length, its labels still text."""

    source: str
    """The list file or folder."""
    paths: list[str]
    keys: list[str]
    """The paths again, in the one spelling that shows whether two are the same clip."""
    labels: list[str] | None
    lines: array | None
    """Line number of each clip, from 1; None where a folder was read."""

    def __len__(self) -> int:
        return len(self.paths)

    def place(self, index: int) -> str:
        """Where a clip was found: FILE:LINE, or the clip itself in its folder."""
        if self.lines is None:
            return os.path.join(self.source, self.paths[index])
        return f"{self.source}:{self.lines[index]}"

    def select(self, indices: Sequence[int]) -> "Entries":
        """Keep the clips at `indices`, in that order."""
        return Entries(
            self.source,
            [self.paths[i] for i in indices],
            [self.keys[i] for i in indices],
            None if self.labels is None else [self.labels[i] for i in indices],
            None if self.lines is None else array("L", [self.lines[i] for i in indices]),
        )


def at_most(
    items: Iterable[Any], sentence: Callable[[Any], str] = str, *, shown: int = SHOWN_AT_MOST
) -> list[str]:
    """Make sentences of one kind, of the first items only, and say how many more there are."""
    remaining = iter(items)
    kept = [sentence(item) for item in islice(remaining, shown)]
    more = sum(1 for _ in remaining)
    return [*kept, f"... and {more} more like these."] if more else kept


def counted(count: int, one: str, many: str = "") -> str:
    """Say how many: "1 clip", "2 clips"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def clip_keys(paths: Iterable[str], data_root: str | Path) -> list[str]:
    """Spell each path so that ./a.mp4, x/../a.mp4 and DATA_ROOT/a.mp4 are the same as a.mp4."""
    inside = os.path.join(os.path.abspath(data_root), "")
    # Ordinary spellings are their own keys: a million strings less to make and to hold.
    return [
        path if path[:1] != "/" and "./" not in path and "//" not in path else _key(path, inside)
        for path in paths
    ]


def _key(path: str, inside: str) -> str:
    return os.path.normpath(path).removeprefix(inside)


def read_entries(path: str | Path, data_root: str | Path, *, need_labels: bool) -> Entries:
    """Read a list of clips, without looking whether they are there.

    A line is `path label`: the label is what follows the last TAB, or else the last space. Blank
    lines and lines that begin with # say nothing. A file whose first line names the columns (`path`
    and `label`, among others), or whose name ends in .csv, is CSV.

    Args:
        path: the list file.
        data_root: folder that the listed paths are relative to.
        need_labels: whether a list without labels is an error; else its `labels` are None. A line
            that is the path of a video as a whole has none.

    Raises:
        ListingError: the file is missing, not UTF-8 or empty, or a line has no path or no label
            where it should have.
    """
    source = str(path)
    text = _read_text(path)
    first = next(_data_lines(text), None)
    if first is None:
        raise ListingError(f"{source}: the list is empty; a line is `path label`.")
    columns = _find_columns(first[1], only_paths_will_do=source.lower().endswith(".csv"))
    if columns is not None:
        paths, labels, lines = _read_csv(text, source, first[0], columns)
    elif source.lower().endswith(".csv") and "," in first[1]:
        message = f"{source}:{first[0]}: a CSV list begins with a header, `path,label`."
        raise ListingError(message)
    elif not need_labels and _is_video_path(first[1], data_root):
        paths, labels, lines = _read_unlabelled(text, source, data_root)
    else:
        paths, labels, lines = _read_lines(text, source)
    if need_labels and labels is None:
        raise ListingError(f"{source}: the clips have no labels; a line is `path,label`.")
    return Entries(source, paths, clip_keys(paths, data_root), labels, lines)


_Columns = tuple[list[str], list[str] | None, array]


def _read_text(path: str | Path) -> str:
    try:
        data = Path(path).read_bytes()
        return data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ListingError(f"{path}: there is no such list file.") from error
    except IsADirectoryError as error:
        raise ListingError(f"{path} is a folder; give the list file itself.") from error
    except OSError as error:
        raise ListingError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ListingError(f"{path}:{line}: this is not UTF-8 text; save it as UTF-8.") from error


def _data_lines(text: str) -> Iterator[tuple[int, str]]:
    # Not str.splitlines: it would split inside a name that holds, say, U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and line[0] != "#":
            yield number, line


def _is_video_path(line: str, data_root: str | Path) -> bool:
    last = line.replace("\t", " ").rsplit(" ", 1)[-1]
    if os.path.splitext(last)[1].lower() in VIDEO_SUFFIXES:
        return True
    return last == line or os.path.isfile(os.path.join(data_root, line))


def _read_lines(text: str, source: str) -> _Columns:
    paths, labels, lines = [], [], array("L")
    known: dict[str, str] = {}  # a label is kept once, not once for each clip
    bad = []
    for number, line in _data_lines(text):
        parts = line.rsplit("\t", 1) if "\t" in line else line.rsplit(None, 1)
        if len(parts) != 2:
            bad.append((number, line))
            continue
        label = parts[1].lstrip()
        paths.append(parts[0].rstrip())
        labels.append(known.setdefault(label, label))
        lines.append(number)
    if bad:
        sentence = "{}:{}: `{}` has no label; a line is `path label`."
        raise ListingError(*at_most(bad, lambda line: sentence.format(source, *line)))
    return paths, labels, lines


def _read_unlabelled(text: str, source: str, data_root: str | Path) -> _Columns:
    paths, lines = [], array("L")
    labelled = []
    for number, line in _data_lines(text):
        paths.append(line)
        lines.append(number)
        if not _is_video_path(line, data_root):
            labelled.append((number, line))
    if labelled:
        sentence = "{}:{}: `{}` has a label, but line {} has none; give all clips labels, or none."
        found = at_most(labelled, lambda line: sentence.format(source, *line, lines[0]))
        raise ListingError(*found)
    return paths, None, lines


def _find_columns(header: str, *, only_paths_will_do: bool) -> tuple[str, int, int | None] | None:
    """Give the delimiter and the columns of path and label; None if this is no CSV header."""
    for delimiter in ",;\t":
        names = [name.strip().strip('"').lower() for name in header.split(delimiter)]
        path = next((names.index(name) for name in PATH_COLUMNS if name in names), None)
        label = next((names.index(name) for name in LABEL_COLUMNS if name in names), None)
        if path is not None and (label is not None or only_paths_will_do):
            return delimiter, path, label
    return None


def _read_csv(
    text: str, source: str, header_line: int, columns: tuple[str, int, int | None]
) -> _Columns:
    delimiter, path_column, label_column = columns
    paths, labels, lines = [], [], array("L")
    known: dict[str, str] = {}
    bad = []
    for number, row in _csv_rows(text, source, header_line, delimiter):
        path = row[path_column].strip() if path_column < len(row) else ""
        label = ""
        if label_column is not None and label_column < len(row):
            label = row[label_column].strip()
        if not path:
            bad.append(f"{source}:{number}: there is no path in column {path_column + 1}.")
        paths.append(path)
        labels.append(known.setdefault(label, label))
        lines.append(number)
    if not paths:
        raise ListingError(f"{source}: the list is empty but for its header.")
    if len(known) > 1 and "" in known:
        rows = zip(lines, paths, labels, strict=True)
        bad += [f"{source}:{n}: `{path}` has no label." for n, path, label in rows if not label]
    if bad:
        raise ListingError(*at_most(bad))
    return paths, labels if known.keys() != {""} else None, lines


def _csv_rows(
    text: str, source: str, header_line: int, delimiter: str
) -> Iterator[tuple[int, list[str]]]:
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


def write_list(path: str | Path, clips: ClipList) -> None:
    """Write clips as CSV with the columns path and label (a class index, or nothing).

    Raises:
        ResourceError: the file cannot be written; what was there stays.
    """
    labels: Iterable[object] = clips.labels if clips.labels is not None else [""] * len(clips)
    with (
        atomic_write(path) as temporary,
        # A file name on Linux is bytes: what is not UTF-8 in it survives this way.
        open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        # Before Python 3.13, csv itself does not quote a name with a carriage return in it.
        odd = any("\r" in clip for clip in clips.paths)
        quoting = csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL
        writer = csv.writer(file, lineterminator="\n", quoting=quoting)
        writer.writerow(("path", "label"))
        writer.writerows(zip(clips.paths, labels, strict=True))


def read_list(path: str | Path) -> ClipList:
    """Read what `write_list` wrote.

    Raises:
        ListingError: the file is missing, or is not such a list.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            if next(reader, None) != ["path", "label"]:
                raise ListingError(f"{path}: the list does not begin with the line `path,label`.")
            rows = [(clip, label) for clip, label in reader]
    except OSError as error:
        raise ListingError(f"{path}: the list cannot be read ({error.strerror}).") from error
    except (csv.Error, ValueError) as error:
        raise ListingError(f"{path}: the list is damaged ({error}).") from error
    texts = {label for _, label in rows}
    paths = tuple(clip for clip, _ in rows)
    if texts == {""}:
        return ClipList(paths, None)
    if not all(re.fullmatch(r"\d{1,9}", text) for text in texts):
        raise ListingError(f"{path}: the list is damaged: a label is not a class index.")
    index = {text: int(text) for text in texts}
    return ClipList(paths, tuple(index[label] for _, label in rows))
