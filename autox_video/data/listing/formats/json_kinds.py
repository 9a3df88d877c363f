"""Read the JSON formats of tools and data sets.

To add a format, write a reader and add a row to the tables below. A reader returns the clips as
records with keys such as path and label, or None for JSON in another format. A reader raises
NotImplementedError, with a reason, for known formats that are not supported.
"""

from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Any

from autox_video.core.errors import ListingError
from autox_video.data.listing.clip_tree import ClipTree, stem_of
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.formats.kinetics import kinetics_clip
from autox_video.data.listing.reading.columns import columns_of
from autox_video.data.listing.reading.records import Record, flatten, is_records

Reader = Callable[[Any, ClipTree], list[Record] | None]

_INSTEAD = "write CSV with the columns path and label, or JSON objects with the keys path and label"
_SHOWN_KEYS = 8
_TRIED = 20


def read_kind(content: Any, source: str, tree: ClipTree) -> tuple[str, list[Record]]:
    """Return the name of a list's JSON format, and the list's clips.

    Raises:
        ListingError: the format is not supported, or parts of it are invalid.
    """
    for name, reader in ARRAYS if isinstance(content, list) else OBJECTS:
        try:
            records = reader(content, tree)
        except NotImplementedError as error:
            why = f" ({error})" if str(error) else ""
            raise ListingError(
                f"{source}: this JSON is {name}, a format that is not supported{why}; {_INSTEAD}."
            ) from None
        except (LookupError, TypeError, AttributeError, ValueError, StopIteration) as error:
            raise ListingError(
                f"{source}: this JSON is {name}, but parts of it are missing or invalid "
                f"({type(error).__name__}: {error}); {_INSTEAD}."
            ) from error
        if records is not None:
            return name, records
    raise ListingError(
        f"{source}: this JSON format is not supported ({_describe(content)}); {_INSTEAD}."
    )


def _describe(content: list | dict) -> str:
    what = "an object with the keys"
    if isinstance(content, list):
        if not isinstance(content[0], dict):
            return f"an array of {len(content)} values"
        content, what = content[0], "objects with the keys"
    keys = ", ".join(str(key)[:30] for key in list(content)[:_SHOWN_KEYS])
    return f"{what} {keys}{', ...' if len(content) > _SHOWN_KEYS else ''}"


def _has_keys(content: Any, *keys: str) -> bool:
    return isinstance(content, dict) and content.keys() >= set(keys)


def _names_video(value: Any) -> bool:
    return isinstance(value, str) and stem_of(value) != value.rpartition("/")[2]


def _name_columns(names: Iterable[Any], *, need_labels: bool = True) -> bool:
    return columns_of(list(map(str, dict.fromkeys(names))), need_labels=need_labels) is not None


# ---- exports of tools, and lists of data sets ----


def _kinetics(content: Any, tree: ClipTree) -> list[Record] | None:
    first = next(iter(content.values()))
    annotations = first.get("annotations") if isinstance(first, dict) else None
    if not _has_keys(annotations, "label", "segment"):
        return None
    records = []
    for name, video in content.items():
        start, end = video["annotations"]["segment"]
        path, is_whole = kinetics_clip(tree, name, str(start), str(end))
        times = {"start": start, "end": end} if is_whole else {}
        label = video["annotations"]["label"]
        records.append({"path": path, "label": label, "split": video.get("subset"), **times})
    return records


def _fiftyone(content: Any, tree: ClipTree) -> list[Record] | None:
    if not _has_keys(content, "classes", "labels"):
        return None
    classes = dict(enumerate(map(str, content["classes"])))

    def name_of(label: Any) -> Any:
        if isinstance(label, list):
            return list(map(name_of, label))
        return classes.get(label, label) if isinstance(label, int) else label

    labels = content["labels"]
    return [{"path": path, "label": name_of(label)} for path, label in labels.items()]


def _video_coco(content: Any, tree: ClipTree) -> list[Record] | None:
    if not _has_keys(content, "annotations", "categories", "videos"):
        return None
    annotations = content["annotations"]
    if not is_records(annotations) or not _has_keys(annotations[0], "video_id", "category_id"):
        return None
    labels = {category["id"]: category["name"] for category in content["categories"]}
    paths = {
        video["id"]: next(str(video[key]) for key in ("file_name", "path", "name") if key in video)
        for video in content["videos"]
    }
    times = ("start", "end", "segment", "start_frame", "end_frame")
    rows = [
        {
            "path": paths[annotation["video_id"]],
            "label": labels[annotation["category_id"]],
            **{key: annotation[key] for key in times if key in annotation},
        }
        for annotation in annotations
    ]
    return list({repr(row): row for row in rows}.values())


def _unread(*keys: str, why: str = "") -> Reader:
    """Return a reader that rejects objects, or arrays of objects, with the given keys."""

    def read(content: Any, tree: ClipTree) -> None:
        if _has_keys(content[0] if isinstance(content, list) else content, *keys):
            raise NotImplementedError(why)

    return read


# ---- formats that people write themselves ----


def _by_split(content: Any, tree: ClipTree) -> list[Record] | None:
    if not all(map(split_of, content)):
        return None
    parts = {
        split: part if is_records(part) else _by_video(part, tree)
        for split, part in content.items()
    }
    if None in parts.values():
        return None
    return [{**record, "split": split} for split, part in parts.items() for record in part]


def _by_video(content: Any, tree: ClipTree) -> list[Record] | None:
    if not isinstance(content, dict) or not content:  # an empty split
        return None
    kinds = {type(value) for value in content.values()}
    if kinds == {dict} and _name_columns(chain(["path"], *content.values())):
        return [{**about, "path": path} for path, about in content.items()]
    # Names without suffixes count only if clips with these names exist.
    if kinds <= {str, int} and (
        all(map(_names_video, content)) or any(map(tree.resolve, islice(content, _TRIED)))
    ):
        return [{"path": path, "label": label} for path, label in content.items()]
    return None


def _by_class(content: Any, tree: ClipTree) -> list[Record] | None:
    if len(content) < 2:
        return None
    if not all(isinstance(v, list) and v and all(map(_names_video, v)) for v in content.values()):
        return None
    if all(map(split_of, content)):
        raise NotImplementedError("its clips have no labels")
    return [{"path": path, "label": name} for name, paths in content.items() for path in paths]


def _by_column(content: Any, tree: ClipTree) -> list[Record] | None:
    if len(content) < 2 or not _name_columns(content):
        return None
    values = content.values()
    if not all(isinstance(v, list | dict) for v in values) or len(set(map(len, values))) > 1:
        return None
    columns = [list(v.values()) if isinstance(v, dict) else v for v in values]
    return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]


def _array(content: Any, tree: ClipTree) -> list[Record] | None:
    """Return the records of an array, or of the only array of clips in an object."""
    values = content.values() if isinstance(content, dict) else [content]
    arrays = list(filter(is_records, values))
    if len(arrays) > 1:
        arrays = list(filter(_are_clips, arrays))
    if len(arrays) != 1 or not _are_clips(arrays[0], need_labels=False):
        return None
    return arrays[0]


def _are_clips(records: list[Record], *, need_labels: bool = True) -> bool:
    keys = (key for record in records for row in flatten(record) for key in row)
    return _name_columns(keys, need_labels=need_labels)


def _pairs(content: Any, tree: ClipTree) -> list[Record] | None:
    if not all(isinstance(p, list) and len(p) == 2 and _names_video(p[0]) for p in content):
        return None
    return [{"path": path, "label": label} for path, label in content]


FIFTYONE = "FiftyOne's labels.json"
ARRAYS: tuple[tuple[str, Reader], ...] = (
    ("a Labelbox export", _unread("data_row")),
    ("an array of records", _array),
    ("an array of pairs", _pairs),
)
OBJECTS: tuple[tuple[str, Reader], ...] = (
    ("Kinetics' list", _kinetics),
    (FIFTYONE, _fiftyone),
    ("COCO for videos", _video_coco),
    ("COCO", _unread("annotations", "categories", why="it has boxes in images")),
    ("a project of VIA 2", _unread("_via_settings", why="it labels regions in images")),
    ("an MSR-VTT list", _unread("videos", "sentences", why="it has captions, not classes")),
    ("a Datumaro export", _unread("categories", "items")),
    ("a Supervisely annotation", _unread("framesCount")),
    ("an object of splits", _by_split),
    ("an object of clips", _by_video),
    ("an object of lists of clips", _by_class),
    ("an object of columns", _by_column),
    ("an object with an array of records", _array),
)
