"""Write and read lists as CSV with the columns path, label and, for segments, start and end."""

import csv
import re
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.files import atomic_write
from autox_video.data.clip_table import LABELS_JOINED_BY, WHOLE_VIDEO, ClipTable, Label
from autox_video.data.listing.reading.segments import read_segment

_LABEL, _LABELS = "label", "labels"
# File names on Linux are bytes; these options preserve names that are not valid UTF-8.
_AS_TEXT = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}


def write_list(path: str | Path, clips: ClipTable) -> None:
    """Write clips as CSV with the columns path, label and, if there are segments, start and end.

    A label is a class index or empty. In multi-label data the column is called `labels` and the
    indices are joined by `;`. An empty end means the end of the video.

    Raises:
        ResourceError: the file cannot be written; an existing file is then left unchanged.
    """
    header = ["path", _LABELS if clips.has_label_sets else _LABEL]
    columns = [clips.paths, map(_written, clips.labels or [""] * len(clips))]
    if clips.segments is not None:
        header += ["start", "end"]
        columns.append(repr(start) for start, _ in clips.segments)
        columns.append("" if end == WHOLE_VIDEO[1] else repr(end) for _, end in clips.segments)
    # Before Python 3.13, csv does not quote names that contain a carriage return.
    odd = any("\r" in clip for clip in clips.paths)
    quoting = csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL
    with atomic_write(path) as temporary, open(temporary, "w", **_AS_TEXT) as file:
        writer = csv.writer(file, lineterminator="\n", quoting=quoting)
        writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))


def _written(label: Label) -> Label:
    return LABELS_JOINED_BY.join(map(str, label)) if isinstance(label, tuple) else label


def read_list(path: str | Path) -> ClipTable:
    """Return the clips in a list that was written by `write_list`.

    Raises:
        ListingError: the file is missing or was not written by `write_list`.
    """
    try:
        with open(path, **_AS_TEXT) as file:
            header, *rows = [*csv.reader(file, strict=True)] or [[]]
        if header[:1] != ["path"] or header[1:2] not in ([_LABEL], [_LABELS]):
            raise ListingError(f"{path}: the list does not begin with the header `path,label`.")
        if any(len(row) != len(header) for row in rows):
            raise ValueError(f"a line does not have {len(header)} columns")
        paths, texts, *times = zip(*rows, strict=True) if rows else [()] * len(header)
        has_labels = header[1] == _LABELS or set(texts) != {""}
        labels = {text: _label_of(text, header[1]) for text in set(texts) if has_labels}
        segments = [*map(read_segment, *times)] if times else None
    except OSError as error:
        raise ListingError(f"{path}: the list cannot be read ({error.strerror}).") from error
    except (csv.Error, ValueError, TypeError) as error:
        raise ListingError(f"{path}: the list is damaged ({error}).") from error
    return ClipTable(paths, [labels[text] for text in texts] if has_labels else None, segments)


def _label_of(text: str, column: str) -> Label:
    if column == _LABELS:
        return tuple(_label_of(part, _LABEL) for part in text.split(LABELS_JOINED_BY) if text)
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError("a label is not a class index")
    return int(text)
