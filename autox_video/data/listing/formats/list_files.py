"""One list file of clips: text lines or CSV in, columns out; and the lists that we write."""

# A list may hold a million paths: as `Path` objects they cost ten times as much.

import csv
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.files import atomic_write
from autox_video.data.clip_table import (
    LABELS_JOINED_BY,
    WHOLE_VIDEO,
    ClipTable,
)
from autox_video.data.listing.reading.segments import read_segment

_LABEL, _LABELS = "label", "labels"


def write_list(path: str | Path, clips: ClipTable) -> None:
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
        writer.writerow(("path", _LABELS if clips.has_label_sets else _LABEL, *times))
        columns = [clips.paths, _written_labels(clips)]
        if clips.segments is not None:
            columns.append(repr(start) for start, _ in clips.segments)
            columns.append("" if end == WHOLE_VIDEO[1] else repr(end) for _, end in clips.segments)
        writer.writerows(zip(*columns, strict=True))


def _written_labels(clips: ClipTable) -> Iterable[object]:
    if clips.labels is None:
        return [""] * len(clips)
    if not clips.has_label_sets:
        return clips.labels
    return (LABELS_JOINED_BY.join(map(str, indices)) for indices in clips.labels)


def read_list(path: str | Path) -> ClipTable:
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
    return ClipTable(tuple(row[0] for row in rows), labels, segments)


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
