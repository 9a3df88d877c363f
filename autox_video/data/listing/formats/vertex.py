"""Vertex AI's import files: CSV without a header, and JSON Lines."""

# ruff: noqa: PTH113, PTH118

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autox_video.config.choices import LIST_FORMATS
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.records import parse_lines
from autox_video.data.listing.reading.rows import csv_rows
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.remote import is_remote
from autox_video.video.files.suffixes import is_video

ML_USES = {"training": "train", "validation": "val", "test": "test", "unassigned": ""}
"""Vertex AI's split names; unassigned clips are split automatically, as in Vertex AI."""

_ML_USE_LABEL = "aiplatform.googleapis.com/ml_use"
_ANNOTATIONS = (
    *("timeSegmentAnnotations", "timeSegmentAnnotation"),
    *("classificationAnnotations", "classificationAnnotation"),
)
_ABOUT_LABELS = "add them to the list"
_TIME = re.compile(r"(\d+\.?\d*|\.\d+|inf)?", re.IGNORECASE)


class VertexCsv(ListFormat):
    """Rows of `[ML_USE,]URI,label,start,end` without a header; times are seconds or `inf`."""

    repeats_are_labels = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        return bool(source.head) and all(_is_row(line.split(",")) for line in source.head)

    def read(self, source: ListSource, reading: Reading) -> Table:
        table, is_vertex = Table(source.path, about_labels=_ABOUT_LABELS), False
        for line, row in csv_rows(source.text, source.path):
            if row[0].startswith("#") and len(row) < 2:
                continue
            use, uri, label, start, end, *more = _cells(row)
            first = row[0].strip()
            if not use and (first == "" or (len(row) > 4 and first.isalpha())):
                table.refuse(line, f"ML_USE `{first}` is not one of {', '.join(ML_USES)}")
            elif not uri or any(more):
                table.refuse(line, "this is not `[ML_USE,]URI,label,start,end`")
            else:
                is_vertex = is_vertex or is_remote(uri) or use != ""
                path = _local_path(uri, reading.data_root)
                table.add(line, path, label, start, end, split=ML_USES.get(use, ""))
        if not is_vertex and table.segments:
            table.notes.append(
                f"{source.path}: lines are read as path,label,start,end in seconds, since there is "
                "no header."
            )
        return table.labelled()


class VertexJsonl(ListFormat):
    """One JSON object per line with a videoGcsUri and annotations, each with a time segment."""

    repeats_are_labels = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        record = source.first_json
        return isinstance(record, dict) and "videogcsuri" in {str(key).lower() for key in record}

    def read(self, source: ListSource, reading: Reading) -> Table:
        table = Table(source.path, about_labels=_ABOUT_LABELS)
        records, lines = parse_lines(source.text, source.path)
        for line, record in zip(lines, records, strict=True):
            uri, labels = record.get("videoGcsUri"), record.get("dataItemResourceLabels")
            use = (labels.get(_ML_USE_LABEL) if isinstance(labels, dict) else None) or "unassigned"
            split = ML_USES.get(str(use).lower())
            if not isinstance(uri, str) or not uri.strip():
                table.refuse(line, "there is no videoGcsUri")
            elif split is None:
                table.refuse(line, f"{_ML_USE_LABEL} `{use}` is not one of {', '.join(ML_USES)}")
            else:
                path = _local_path(uri.strip(), reading.data_root)
                for label, *times in _annotations(record):
                    table.add(line, path, label, *times, split=split)
        return table.labelled()


LIST_FORMATS.register("vertex_csv")(VertexCsv())
LIST_FORMATS.register("vertex_jsonl")(VertexJsonl())


def _cells(row: Sequence[str]) -> tuple[str, ...]:
    """Return ML_USE in lower case ("" if missing), the other cells, and four empty cells."""
    cells = [cell.strip() for cell in row]
    use = cells[0].lower()
    return (use, *cells[1:], *[""] * 4) if use in ML_USES else ("", *cells, *[""] * 4)


def _is_row(row: Sequence[str]) -> bool:
    use, uri, *rest = _cells(row)
    rest = rest[:-4]
    if not rest or len(rest) > 3 or not (is_video(uri) or is_remote(uri)):
        return False
    if not all(map(_TIME.fullmatch, rest[1:])):
        return False
    if use or is_remote(uri):
        return True
    return len(rest) == 3 and float(rest[1] or 0) < float(rest[2] or "inf")


def _annotations(record: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each annotation's label, start and end, or three empty strings if there is none."""
    annotations = []
    for name in _ANNOTATIONS:
        value = record.get(name) or []
        annotations += value if isinstance(value, list) else [value]
    for annotation in annotations or [{}]:
        values = annotation if isinstance(annotation, dict) else {}
        times = values.get("timeSegment")
        times = times if isinstance(times, dict) else values
        start = times.get("startTime", times.get("startTimeOffset"))
        end = times.get("endTime", times.get("endTimeOffset"))
        yield _text(values.get("displayName")), _text(start), _text(end)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _local_path(uri: str, data_root: str) -> str:
    """Return a bucket clip's path in data_root, or its URI if the clip is outside data_root."""
    if not is_remote(uri) or is_remote(data_root):
        return uri
    bucket_and_path = uri.partition("://")[2]
    path = bucket_and_path.partition("/")[2]
    for inside in (path, bucket_and_path, path.rpartition("/")[2]):
        if inside and os.path.isfile(os.path.join(data_root, inside)):
            return inside
    return uri
