"""The clips of a run, stored in WORK_DIR/clips.json for comparison with later listings."""

import hashlib
import json
from collections.abc import Collection, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

from autox_video.core.errors import ListingError
from autox_video.core.files import write_json
from autox_video.data.clip_table import ClipTable, Segment, Splits
from autox_video.data.listing.written_list import read_list
from autox_video.run.work_dir import CLIPS, SPLIT

UNREADABLE, UNKNOWN = None, b""
"""Placeholder digests for a clip that cannot be read, and for a clip that was not opened."""


@dataclass(frozen=True, slots=True)
class KnownClips:
    """The clips of a run, stored as columns of equal length."""

    classes: tuple[str, ...]
    """Class names in index order; empty if they are not known."""
    keys: tuple[Hashable, ...]
    """A unique key for each clip, as returned by `ClipTable.identities`."""
    splits: tuple[str, ...]
    """Split of each clip: train, val or test, or "" if the clip is not split yet."""
    labels: tuple[tuple[str, ...] | None, ...]
    """Sorted class names of each clip; None if it has no label."""
    digests: tuple[bytes | None, ...]
    """Digest of each video's content, or UNREADABLE or UNKNOWN."""

    def __len__(self) -> int:
        return len(self.keys)

    def content(self, row: int) -> Hashable | None:
        """Return a key that is the same for clips with equal content; None without a digest."""
        digest = self.digests[row]
        return (digest, _parts(self.keys[row])[1]) if digest else None

    def in_splits(self, names: Collection[str]) -> "KnownClips":
        """Return only the clips in the named splits."""
        keep = [name in names for name in self.splits]
        columns = (self.keys, self.splits, self.labels, self.digests)
        return KnownClips(self.classes, *(tuple(compress(column, keep)) for column in columns))

    def with_split(self, name: str, other: str) -> "KnownClips":
        """Return the same clips, with the clips of one split moved to another split."""
        return replace(self, splits=tuple(other if s == name else s for s in self.splits))


def known_clips(tables: Splits, classes: tuple[str, ...], data_root: str | Path) -> KnownClips:
    """Return the clips of all tables, with digests for the tables that were inspected.

    Args:
        tables: clips by split; labels are class indices.
        classes: the class names.
        data_root: folder or URL that the paths are relative to.
    """
    columns: tuple[list, ...] = ([], [], [], [])
    for name, clips in tables.items():
        rows = (
            clips.identities(data_root),
            [name] * len(clips),
            _class_names(clips, classes),
            _digests(clips),
        )
        for column, values in zip(columns, rows, strict=True):
            column += values
    return KnownClips(tuple(classes), *map(tuple, columns))


def _class_names(clips: ClipTable, classes: tuple[str, ...]) -> list[tuple[str, ...] | None]:
    if clips.labels is None:
        return [None] * len(clips)
    return [tuple(sorted(classes[index] for index in label)) for label in clips.class_sets()]


def _digests(clips: ClipTable) -> list[bytes | None]:
    if clips.digests is None:
        return [UNKNOWN] * len(clips)
    unreadable = set(clips.unreadable())
    return [
        UNREADABLE if row in unreadable else digest.tobytes()
        for row, digest in enumerate(clips.digests)
    ]


def write_known(folder: Path, known: KnownClips) -> None:
    """Write clips.json in a work dir; raises ResourceError if it cannot be written."""
    number = {name: index for index, name in enumerate(known.classes)}
    content = {
        "classes": list(known.classes),
        "clips": [_written(key) for key in known.keys],
        "splits": list(known.splits),
        "labels": [
            label if label is None else " ".join(str(number[name]) for name in label)
            for label in known.labels
        ],
        "digests": [digest if digest is None else digest.hex() for digest in known.digests],
    }
    write_json(folder / CLIPS, {**content, "digest": _checksum(content)})


def read_known(folder: Path, data_root: str | Path) -> KnownClips | None:
    """Return the clips of the run in a folder; None if the folder has no usable files.

    If clips.json is damaged, or missing as in runs of earlier versions, the clips are read from the
    run's lists, without class names or digests.
    """
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        content = json.loads((folder / CLIPS).read_bytes())
        if content.pop("digest") == _checksum(content):
            return _read(content)
    tables = {}
    for name in ("train", "val", "test"):
        files = [folder / SPLIT / f"{name}.csv", folder / f"{name}.csv"]
        with suppress(ListingError):
            if file := next((file for file in files if file.is_file()), None):
                tables[name] = replace(read_list(file), labels=None)
    return known_clips(tables, (), data_root) if tables else None


def _read(content: Mapping[str, Any]) -> KnownClips:
    classes = tuple(content["classes"])
    return KnownClips(
        classes,
        tuple(_key(written) for written in content["clips"]),
        tuple(content["splits"]),
        tuple(
            label if label is None else tuple(classes[int(index)] for index in label.split())
            for label in content["labels"]
        ),
        tuple(digest if digest is None else bytes.fromhex(digest) for digest in content["digests"]),
    )


def _written(key: Hashable) -> Any:
    path, segment = _parts(key)
    if segment is None:
        return path
    start_sec, end_sec = segment
    return [path, start_sec, None if end_sec == float("inf") else end_sec]


def _key(written: Any) -> Hashable:
    if isinstance(written, str):
        return written
    path, start_sec, end_sec = written
    return path, (start_sec, float("inf") if end_sec is None else end_sec)


def _parts(key: Hashable) -> tuple[str, Segment | None]:
    """Return the path and the segment (or None) that a key contains."""
    return key if isinstance(key, tuple) else (key, None)


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
