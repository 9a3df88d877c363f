"""One list file of clips: text lines or CSV in, columns out; and the lists that we write."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.
# ruff: noqa: PTH118, PTH122

import csv
import json
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autox_video.dataset.csv_lists import Table, find_columns, read_csv
from autox_video.dataset.entries import (
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
from autox_video.dataset.remote import RemoteFault, is_remote, read_bytes
from autox_video.dataset.segments import read_segment
from autox_video.errors import ListingError
from autox_video.fileio import atomic_write

__all__ = [
    "SHOWN_AT_MOST",
    "VIDEO_SUFFIXES",
    "ClipList",
    "Entries",
    "at_most",
    "clip_keys",
    "counted",
    "data_lines",
    "read_entries",
    "read_json",
    "read_list",
    "read_table",
    "read_text",
    "to_entries",
    "write_list",
]

# mmaction2's lists of several classes a clip: `a.mp4 1 3 5`.
_SEVERAL_NUMBERS = re.compile(
    rf"(.*(?:{'|'.join(map(re.escape, sorted(VIDEO_SUFFIXES)))}))((?:\s+[0-9]+)+)", re.IGNORECASE
)


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


def read_entries(
    path: str | Path, data_root: str | Path, *, need_labels: bool, may_lack_labels: bool = False
) -> Entries:
    """Read a list of clips, without looking whether they are there.

    A line is `path label`: the label is what follows the last TAB, or else the last space. Blank
    lines and lines that begin with # say nothing. A file whose first line names the columns (`path`
    and `label`, among others), or whose name ends in .csv, is CSV; it may have `start` and `end`.

    Args:
        path: the list file, or its address.
        data_root: folder that the listed paths are relative to.
        need_labels: whether a list without labels is an error; else its `labels` are None. A line
            that is the path of a video as a whole has none.
        may_lack_labels: whether a clip in CSV may be of no class though others are of some.

    Raises:
        ListingError: the file is missing, not UTF-8 or empty, or a line has no path or no label
            where it should have.
    """
    text = read_text(path)
    table = read_table(
        text, str(path), data_root, need_labels=need_labels, may_lack_labels=may_lack_labels
    )
    return to_entries(table, data_root, need_labels=need_labels)


def read_table(
    text: str,
    source: str,
    data_root: str | Path,
    *,
    need_labels: bool,
    may_lack_labels: bool = False,
) -> Table:
    """Read the text of a list as `read_entries` does, its labels "" where it has none."""
    first = next(data_lines(text), None)
    if first is None:
        raise ListingError(f"{source}: the list is empty; a line is `path label`.")
    columns = find_columns(first[1], only_paths_will_do=source.lower().endswith(".csv"))
    if columns is not None:
        return read_csv(
            text, source, header_line=first[0], columns=columns, may_lack_labels=may_lack_labels
        )
    if source.lower().endswith(".csv") and "," in first[1]:
        message = f"{source}:{first[0]}: a CSV list begins with a header, `path,label`."
        raise ListingError(message)
    if not need_labels and _is_video_path(first[1], data_root):
        return _read_unlabelled(text, source, data_root)
    return _read_lines(text, source)


def to_entries(table: Table, data_root: str | Path, *, need_labels: bool) -> Entries:
    """Give what was read as Entries; raises ListingError if labels are needed and there is none."""
    labels = table.labels if any(table.labels) else None
    if need_labels and labels is None:
        raise ListingError(f"{table.source}: the clips have no labels; a line is `path,label`.")
    keys = clip_keys(table.paths, data_root)
    return Entries(table.source, table.paths, keys, labels, table.lines, table.segments)


def read_text(path: str | Path, kind: str = "list file") -> str:
    """Read a list file, here or at an address.

    Args:
        path: the file.
        kind: what it should be, for sentences.

    Raises:
        ListingError: it cannot be read, or is not UTF-8.
    """
    try:
        data = read_bytes(path) if is_remote(path) else Path(path).read_bytes()
        if b"\0" in data:
            line = data.count(b"\n", 0, data.index(b"\0")) + 1
            raise ListingError(f"{path}:{line}: this is not text (it has a byte 0).")
        return data.decode("utf-8-sig")
    except RemoteFault as fault:
        raise ListingError(f"{path}: {fault}.") from fault
    except FileNotFoundError as error:
        raise ListingError(f"{path}: there is no such {kind}.") from error
    except IsADirectoryError as error:
        raise ListingError(f"{path} is a folder; give the {kind} itself.") from error
    except OSError as error:
        raise ListingError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ListingError(f"{path}:{line}: this is not UTF-8 text; save it as UTF-8.") from error


def read_json(text: str) -> Any:
    """Read JSON.

    Raises:
        ValueError: this is not JSON, or has half a character in it, as `"\\ud800"` is.
    """
    try:
        value = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def data_lines(text: str) -> Iterator[tuple[int, str]]:
    """Give each line that says something, with its number."""
    # Not str.splitlines: it would split inside a name that holds, say, U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and line[0] != "#":
            yield number, line


def _is_video_path(line: str, data_root: str | Path) -> bool:
    last = line.replace("\t", " ").rsplit(" ", 1)[-1]
    if os.path.splitext(last)[1].lower() in VIDEO_SUFFIXES:
        return True
    return last == line or os.path.exists(os.path.join(data_root, line))  # noqa: PTH110


def _read_lines(text: str, source: str) -> Table:
    table = Table(source)
    bad = []
    for number, line in data_lines(text):
        parts = line.rsplit("\t", 1) if "\t" in line else line.rsplit(None, 1)
        if len(parts) != 2:
            bad.append((number, line))
            continue
        path, label = parts[0].rstrip(), parts[1].lstrip()
        if path[-1:].isdigit() and (found := _SEVERAL_NUMBERS.fullmatch(line)):
            path, label = found[1], LABELS_JOINED_BY.join(found[2].split())
        table.add(number, path, label)
    if bad:
        sentence = "{}:{}: `{}` has no label; a line is `path label`."
        raise ListingError(*at_most(bad, lambda line: sentence.format(source, *line)))
    return table


def _read_unlabelled(text: str, source: str, data_root: str | Path) -> Table:
    table = Table(source)
    labelled = []
    for number, line in data_lines(text):
        table.add(number, line, "")
        if not _is_video_path(line, data_root):
            labelled.append((number, line))
    if labelled:
        sentence = "{}:{}: `{}` has a label, but line {} has none; give all clips labels, or none."
        first = table.lines[0]
        raise ListingError(*at_most(labelled, lambda line: sentence.format(source, *line, first)))
    return table


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
