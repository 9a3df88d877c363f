"""The lists metadata.csv and metadata.jsonl, with file_name and label columns, as on model hubs."""

# ruff: noqa: PTH100, PTH118

import os
from pathlib import Path

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading, exists
from autox_video.data.listing.reading.columns import columns_of, find_columns
from autox_video.data.listing.reading.list_text import data_lines, read_json, read_text
from autox_video.data.listing.reading.records import parse_lines, read_records
from autox_video.data.listing.reading.rows import csv_rows, read_rows
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.remote import is_file, is_remote, join

METADATA_FILES = ("metadata.csv", "metadata.jsonl")


class Metadata(ListFormat):
    """Paths are relative to the list's folder; labels may be JSON arrays of several classes."""

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        if source.head:
            names = {name.strip().strip('"').lower() for name in source.head[0].split(",")}
            return not names.isdisjoint(("file_name", "video_file_name"))
        record = source.first_json
        if not isinstance(record, dict):
            return False
        columns = columns_of(list(map(str, record)), need_labels=False)
        return columns is not None and isinstance(list(record.values())[columns.paths[0]], str)

    def read(self, source: ListSource, reading: Reading) -> Table:
        folder, root = source.sibling(""), reading.data_root
        if source.path.lower().endswith(".jsonl") or source.text.lstrip().startswith("{"):
            records, lines = parse_lines(source.text, source.path)
            table = read_records(records, lines, source.path, ClipTree(folder))
        else:
            header_line, header = next(data_lines(source.text), (1, ""))
            if (columns := find_columns(header, need_labels=False)) is None:
                expected = "a metadata list must have the columns file_name and label"
                raise ListingError(f"{source.path}:{header_line}: {expected}.")
            rows = csv_rows(source.text, source.path, header_line, columns.delimiter)
            table = read_rows(rows, source.path, columns, lambda path: exists(folder, path))
        table.paths = [_from_root(path, folder, root) for path in table.paths]
        return table


LIST_FORMATS.register("metadata")(Metadata())


def _from_root(path: str, folder: str, data_root: str) -> str:
    """Convert a path relative to `folder` to a path relative to data_root."""
    if is_remote(path) or path.startswith("/"):
        return path
    if is_remote(folder) or is_remote(data_root):
        return join(folder, path).removeprefix(data_root.rstrip("/") + "/")
    if not exists(folder, path) and exists(data_root, path):
        return path
    full = os.path.join(folder, path)
    relative = os.path.relpath(full, data_root)
    return os.path.abspath(full) if relative.startswith("..") else relative


def find_metadata(data_root: str) -> dict[str, str]:
    """Return the metadata files by split; the split of a file in data_root itself is ""."""
    if file := _metadata_in(data_root):
        return {"": file}
    if is_remote(data_root):
        folders = ["train", "val", "test", "validation"]
    else:
        folders = sorted(path.name for path in Path(data_root).iterdir() if path.is_dir())
    files: dict[str, str] = {}
    for folder in folders:
        split = split_of(folder)
        file = _metadata_in(join(data_root, folder)) if split else None
        if file and files.setdefault(split, file) != file:
            raise ListingError(
                f"{file}: {files[split]} is also for {split}; keep one of the two files."
            )
    return files


def _metadata_in(folder: str) -> str | None:
    return next(filter(is_file, (join(folder, name) for name in METADATA_FILES)), None)


def has_labels(path: str) -> bool:
    """Whether a metadata file has labels; some files have only captions or sizes, for example."""
    _, first = next(data_lines(read_text(path)), (0, ""))
    if not first.startswith("{"):
        return find_columns(first) is not None
    try:
        return columns_of([str(name) for name in read_json(first)]) is not None
    except ValueError:
        return True  # errors are reported when the file is read
