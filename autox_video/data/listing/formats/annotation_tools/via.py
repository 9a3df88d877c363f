"""Projects and CSV exports of the VGG Image Annotator (VIA) 3: temporal segments of videos."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.formats.annotation_tools.entries import (
    Entry,
    Problems,
    choose_field,
    clip_finder,
    table_of,
    well_formed,
)
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.list_text import numbered_lines, read_json
from autox_video.data.listing.reading.records import parse
from autox_video.data.listing.reading.rows import csv_rows
from autox_video.data.listing.reading.table import Table

_COLUMNS = re.compile(r"#\s*CSV_HEADER\s*=\s*(.*?)[,\s]*")
_ATTRIBUTES = re.compile(r"#\s*ATTRIBUTES?\s*=\s*(\{.*\})[,\s]*")
_FIRST_COLUMNS = ("metadata_id", "file_list")
_LOCAL_FILE, _INLINE = 1, 4
_CHECKBOX = 2
_DEFAULT = "_DEFAULT"


@dataclass(frozen=True, slots=True)
class _Mark:
    """A metadata entry of VIA: values of attributes for a video or a part of it."""

    name: str
    video: str
    times: list[object]
    """Two times of a segment, one of a still frame, or none for the whole video."""
    has_region: bool
    """Whether it marks a region in the frame, not a part of the video."""
    labels: Mapping[str, str]
    """Label by attribute name; attributes without a value are left out."""
    line: int = 0


class Via(ListFormat):
    """A project (JSON) with the keys file, metadata and attribute, or one of the CSV exports."""

    repeats_are_labels = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        if source.is_folder:
            return False
        content = source.json_value
        if content is not None:
            return isinstance(content, dict) and _is_project(content)
        return not source.is_json and _columns(source.text)[0][:2] == _FIRST_COLUMNS

    def read(self, source: ListSource, reading: Reading) -> Table:
        problems = Problems(source.path)
        with well_formed(source.path, "a VIA project or CSV export"):
            marks = list((_project_marks if source.is_json else _csv_marks)(source, problems))
        used = [mark for mark in marks if not mark.has_region and len(mark.times) in (0, 2)]
        counts = Counter(name for mark in used for name in mark.labels)
        field = choose_field(counts, reading.label_field, "attributes", source.path)
        entries = [
            Entry(
                f"metadata {mark.name}",
                mark.video,
                mark.labels.get(field, ""),
                tuple(mark.times) or None,
                line=mark.line,
                anchor=mark.name,
            )
            for mark in used
            if field in mark.labels or not mark.labels
        ]
        table = table_of(entries, problems.messages, source, find=clip_finder(reading.tree))
        if skipped := len(marks) - len(used):
            table.notes.append(
                f"{source.path}: {counted(skipped, 'region or still frame', 'regions or frames')} "
                "skipped, since only segments and whole videos are read."
            )
        return table.labelled()


LIST_FORMATS.register("via")(Via())


def _is_project(content: Mapping[str, Any]) -> bool:
    return all(isinstance(content.get(key), dict) for key in ("file", "metadata", "attribute"))


# ---- projects ----


def _project_marks(source: ListSource, problems: Problems) -> Iterator[_Mark]:
    """Yield the entries of a project that can be read."""
    project, _ = parse(source.text, source.path)
    if not isinstance(project, dict) or not _is_project(project):
        raise ListingError(
            f"{source.path}:1: this is not a VIA 3 project; save it in VIA as a project, or export "
            "it as CSV."
        )
    files, views = project["file"], project.get("view") or {}
    for name, mark in project["metadata"].items():
        try:
            video = _video_of(str(mark["vid"]), files, views)
            labels = dict(_labels(mark.get("av") or {}, project["attribute"]))
            yield _Mark(name, video, list(mark.get("z") or ()), bool(mark.get("xy")), labels)
        except ValueError as error:
            problems.add(f"metadata {name}", error)


def _video_of(view: str, files: Mapping[str, Any], views: Mapping[str, Any]) -> str:
    """Return the path or address of the video that a view shows; raises ValueError."""
    shown = (views.get(view) or {}).get("fid_list") or ([view] if view in files else [])
    if len(shown) != 1:
        raise ValueError(f"view {view} shows {len(shown)} files, not one video")
    file = files.get(str(shown[0]))
    if file is None:
        raise ValueError(f"there is no file {shown[0]}")
    is_named = file.get("loc") in (_LOCAL_FILE, _INLINE) or not file.get("src")
    return str(file["fname"] if is_named else file["src"])


def _labels(values: Mapping[str, Any], attributes: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name and label of each attribute that has a value; raises ValueError."""
    for number, value in values.items():
        attribute = attributes.get(number)
        if attribute is None:
            raise ValueError(f"there is no attribute {number}")
        if value == _DEFAULT:
            value = attribute.get("default_option_id", "")
        options = attribute.get("options") or {}
        is_several = attribute.get("type") == _CHECKBOX
        parts = str(value).split(",") if is_several else [str(value)]
        # A value that is not the number of an option was typed in.
        labels = [str(options.get(part, part)).strip() for part in parts if part.strip()]
        if labels:
            yield attribute["aname"], LABELS_JOINED_BY.join(labels)


# ---- CSV ----


def _columns(text: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the columns that a CSV export names, and its attributes by number."""
    columns, attributes = (), {}
    for _, line in numbered_lines(text):
        if line[0] != "#":
            if not columns and line.startswith(",".join(_FIRST_COLUMNS)):
                columns = tuple(line.split(","))
            break
        if match := _COLUMNS.fullmatch(line):
            columns = tuple(name.strip() for name in match[1].split(","))
        elif match := _ATTRIBUTES.fullmatch(line):
            try:
                attributes = read_json(match[1])
            except ValueError:
                attributes = {}
    return columns, attributes


def _csv_marks(source: ListSource, problems: Problems) -> Iterator[_Mark]:
    """Yield the entries of a CSV export that can be read."""
    columns, attributes = _columns(source.text)
    if columns[:2] != _FIRST_COLUMNS:
        raise ListingError(
            f"{source.path}:1: this is not a CSV export of VIA 3, which begins with a comment "
            "`# CSV_HEADER = metadata_id,file_list,...`."
        )
    # Comments contain JSON, which is not valid CSV.
    text = "\n".join("" if line[:1] == "#" else line for line in source.text.split("\n"))
    for line, row in csv_rows(text, source.path):
        if tuple(row[:2]) == _FIRST_COLUMNS:
            continue
        try:
            yield _csv_mark(dict(zip(columns, row, strict=False)), attributes, line)
        except (ValueError, TypeError, KeyError) as error:
            why = error if type(error) is ValueError else f"this is not `{','.join(columns)}`"
            problems.add(f"metadata {row[0]}", why, line)


def _csv_mark(cells: Mapping[str, str], attributes: Mapping[str, Any], line: int) -> _Mark:
    """Return the entry in a row; raises ValueError, TypeError or KeyError if it is invalid."""
    videos, values = read_json(cells["file_list"]), read_json(cells["metadata"])
    if len(videos) != 1:
        raise ValueError(f"it has {len(videos)} files, not one video")
    if "temporal_coordinates" in cells:
        times = read_json(cells["temporal_coordinates"] or "[]")
    else:
        times = [cells["temporal_segment_start"], cells["temporal_segment_end"]]
        times = [time for time in times if time.strip()]
    region = read_json(cells.get("spatial_coordinates") or "[]")
    # The export of segments alone names attributes, not their numbers, and has no options.
    known = attributes if all(key in attributes for key in values) else _named(values)
    labels = dict(_labels(values, known))
    return _Mark(cells["metadata_id"], str(videos[0]), times, bool(region), labels, line)


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"aname": name} for name in values}
