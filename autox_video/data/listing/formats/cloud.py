"""Lists as cloud services and hubs keep them: metadata.csv and .jsonl, and Vertex AI's imports."""

# ruff: noqa: PTH113, PTH118

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autox_video.core.errors import ListingError
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.folders.split_names import SPLIT_NAMES, split_of
from autox_video.data.listing.formats.columns import columns_of, find_columns
from autox_video.data.listing.formats.csv_lists import Table, csv_rows, read_csv
from autox_video.data.listing.formats.json_rows import flatten, parse_lines, table_of
from autox_video.data.listing.formats.list_text import data_lines, read_json, read_text
from autox_video.video.files.remote import beside, is_file, is_remote, join

METADATA_FILES = ("metadata.csv", "metadata.jsonl")
ML_USES = {"training": "train", "validation": "val", "test": "test", "unassigned": ""}
"""What Vertex AI calls the splits; clips of the last are divided by us, as it would itself."""

_ML_USE_LABEL = "aiplatform.googleapis.com/ml_use"
_ANNOTATIONS = (
    "timeSegmentAnnotations",
    "timeSegmentAnnotation",
    "classificationAnnotations",
    "classificationAnnotation",
)


def find_metadata(data_root: str) -> dict[str, str]:
    """Give the metadata files of a folder: that of each split's sub-folder, or "" for its own."""
    for name in METADATA_FILES:
        if is_file(join(data_root, name)):
            return {"": join(data_root, name)}
    if is_remote(data_root):
        folders = [name for name in SPLIT_NAMES if name == SPLIT_NAMES[name]]
        folders.append("validation")
    else:
        folders = sorted(p.name for p in Path(data_root).iterdir() if p.is_dir())
    found: dict[str, str] = {}
    for folder in folders:
        split = split_of(folder)
        files = (join(data_root, f"{folder}/{name}") for name in METADATA_FILES)
        file = next((file for file in files if is_file(file)), None) if split else None
        if file and found.setdefault(split, file) != file:
            raise ListingError(f"{file}: {found[split]} is for {split} too; keep one of the two.")
    return found


def has_labels(place: str) -> bool:
    """Whether a metadata file names clips with labels; others hold captions, say, or sizes."""
    _, first = next(data_lines(read_text(place)), (0, ""))
    if not first.startswith("{"):
        return find_columns(first, only_paths_will_do=False) is not None
    try:
        names = [str(name) for name in read_json(first)]
    except ValueError:
        return True  # what is wrong with it is said when it is read
    columns = columns_of(names, only_paths_will_do=False)
    return columns is not None and columns.label is not None


def read_metadata(place: str, data_root: str, *, may_lack_labels: bool) -> Table:
    """Read metadata.csv or metadata.jsonl: file_name, beside the file itself, and a label.

    A label that is a JSON array is several classes.

    Args:
        place: the file.
        data_root: what the paths that are given back are relative to.
        may_lack_labels: whether a clip may be of no class though others are of some.
    """
    text = read_text(place)
    inside = beside(place, "")
    if place.lower().endswith(".jsonl") or text.lstrip().startswith("{"):
        records, lines = parse_lines(text, place)
        numbered = zip(lines, records, strict=True)
        rows = [(line, row) for line, record in numbered for row in flatten(record)]
        table = table_of(rows, place, ClipTree(inside))
        table.check(may_lack_labels=may_lack_labels)
    else:
        header_line, header = next(data_lines(text), (0, ""))
        columns = find_columns(header, only_paths_will_do=True)
        if columns is None:
            raise ListingError(f"{place}:1: a metadata list has the columns file_name and label.")
        table = read_csv(
            text,
            place,
            header_line=header_line,
            columns=columns,
            is_there=lambda path: not is_remote(inside) and os.path.exists(inside + path),  # noqa: PTH110
            may_lack_labels=may_lack_labels,
        )
    table.paths = [_from_root(path, inside, data_root) for path in table.paths]
    return table


def _from_root(path: str, inside: str, data_root: str) -> str:
    """Spell the path of a file in the folder `inside` as one that starts from data_root."""
    if is_remote(path) or path.startswith("/"):
        return path
    if is_remote(inside) or is_remote(data_root):
        return join(inside, path).removeprefix(data_root.rstrip("/") + "/")
    here = os.path.join(inside, path)
    if not os.path.exists(here) and os.path.exists(os.path.join(data_root, path)):  # noqa: PTH110
        return path
    relative = os.path.relpath(here, data_root)
    return os.path.abspath(here) if relative.startswith("..") else relative  # noqa: PTH100


def _time(value: Any) -> str:
    return "" if value is None else str(value).strip()


def read_vertex_csv(place: str, data_root: str) -> Table:
    """Read `[ML_USE,]URI,label,start,end` without a header; start and end are seconds or `inf`.

    A clip that Vertex AI knows at gs:// is taken from data_root where it is there.
    """
    table, has_uris = Table(place), False
    for line, row in csv_rows(read_text(place), place, 0, ","):
        if row[0].startswith("#") and len(row) < 2:
            continue
        cells = [cell.strip() for cell in row]
        use = cells[0].lower()
        if use in ML_USES:
            cells = cells[1:]
        elif cells[0] == "" or (len(cells) > 4 and use.isalpha()):
            allowed = ", ".join(ML_USES)
            table.bad.append(f"{place}:{line}: ML_USE `{cells[0]}` is none of {allowed}.")
            continue
        uri, label, start, end, *more = (*cells, "", "", "", "")
        if not uri or any(more):
            table.bad.append(f"{place}:{line}: this is not `[ML_USE,]URI,label,start,end`.")
            continue
        has_uris = has_uris or is_remote(uri) or use in ML_USES
        table.add(line, _local(uri, data_root), label)
        table.add_segment(line, start, end)
        table.add_split(ML_USES.get(use, ""))
    if not has_uris and table.segments:
        table.notes.append(
            f"{place}: its lines, without a header, are read as path,label,start,end in seconds."
        )
    table.check(may_lack_labels=True)
    return table


def read_vertex_jsonl(place: str, data_root: str) -> Table:
    """Read a JSON object in each line: videoGcsUri with its annotations, each on a time segment."""
    table = Table(place)
    rows, lines = parse_lines(read_text(place), place)
    for line, row in zip(lines, rows, strict=True):
        uri = row.get("videoGcsUri")
        if not isinstance(uri, str) or not uri.strip():
            table.bad.append(f"{place}:{line}: there is no videoGcsUri.")
            continue
        resources = row.get("dataItemResourceLabels")
        given = resources.get(_ML_USE_LABEL) if isinstance(resources, dict) else None
        use = str(given or "unassigned")
        if use.lower() not in ML_USES:
            allowed = ", ".join(ML_USES)
            table.bad.append(f"{place}:{line}: {_ML_USE_LABEL} `{use}` is none of {allowed}.")
            continue
        path = _local(uri.strip(), data_root)
        for label, start, end in _annotations(row):
            table.add(line, path, label)
            table.add_segment(line, start, end)
            table.add_split(ML_USES[use.lower()])
    table.check(may_lack_labels=True)
    return table


def _annotations(row: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Give label, start and end of each annotation; of a video without one, nothing for each."""
    found = []
    for name in _ANNOTATIONS:
        given = row.get(name) or []
        found += given if isinstance(given, list) else [given]
    for annotation in found or [{}]:
        values = annotation if isinstance(annotation, dict) else {}
        times = values.get("timeSegment")
        times = times if isinstance(times, dict) else values
        start = _time(times.get("startTime", times.get("startTimeOffset")))
        end = _time(times.get("endTime", times.get("endTimeOffset")))
        yield _time(values.get("displayName")), start, end


def _local(uri: str, data_root: str) -> str:
    if not is_remote(uri) or is_remote(data_root):
        return uri
    bucket_and_path = uri.partition("://")[2]
    path = bucket_and_path.partition("/")[2]
    for inside in (path, bucket_and_path, path.rpartition("/")[2]):
        if inside and os.path.isfile(os.path.join(data_root, inside)):
            return inside
    return uri
