"""Lists in JSON: records with a path and a label, however nested, and the exports of many tools.

KINDS is the table of those that are recognised: to read another one, add a row to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import LABELS_JOINED_BY, Names
from autox_video.data.listing.clip_tree import ClipTree, stem_of
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.formats.columns import columns_of
from autox_video.data.listing.formats.csv_lists import Table
from autox_video.data.listing.formats.json_rows import (
    Record,
    find_lines,
    flatten,
    is_records,
    parse,
    table_of,
)
from autox_video.data.listing.formats.official import kinetics_clip

INSTEAD = "write CSV with the columns path and label, or JSON objects with the keys path and label"

_SHOWN_KEYS = 8
_TRIED = 20


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of JSON that some tool or data set writes."""

    name: str
    """For sentences: "this is ..."."""
    matches: Callable[[Any], bool]
    read: Callable[[Any, ClipTree], tuple[list[Record], Names | None]] | None
    """Gives records with the keys path, label and the like; None where this kind is not read."""
    why: str = ""
    """Why it is not read, a part of a sentence."""


def read_json_list(
    text: str, place: str, tree: ClipTree, *, may_lack_labels: bool = False
) -> tuple[Table, Names | None]:
    """Read a list in JSON, or in lines of JSON objects.

    Args:
        text: the file.
        place: its name, for sentences.
        tree: where the clips are.
        may_lack_labels: whether a clip may be of no class though others are of some.

    Raises:
        ListingError: this is no JSON, or of no kind that is read, or something is wrong in it.
    """
    content, lines = parse(text, place)
    kind = next((kind for kind in KINDS if kind.matches(content)), None)
    if content in ([], {}):
        raise ListingError(f"{place}: the list is empty.")
    if kind is None and _maps_clips(content, tree):
        kind = Kind("an object of paths", _is_by_path, _read_by_path)
    if kind is None:
        raise ListingError(
            f"{place}: this JSON is of no kind that is read ({_describe(content)}); {INSTEAD}."
        )
    if kind.read is None:
        why = f" ({kind.why})" if kind.why else ""
        raise ListingError(f"{place}: this JSON is {kind.name}, which is not read{why}; {INSTEAD}.")
    try:
        records, names = kind.read(content, tree)
    except (LookupError, TypeError, AttributeError, ValueError, StopIteration) as error:
        raise ListingError(
            f"{place}: this JSON is {kind.name}, but a part of it is not as it should be "
            f"({type(error).__name__}: {error}); {INSTEAD}."
        ) from error
    if len(records) != len(lines):
        lines = [1] * len(records)
    numbered = zip(lines, records, strict=True)
    rows = [(line, row) for line, record in numbered for row in flatten(record)]
    table = table_of(rows, place, tree, kind.name)
    if not lines or lines[-1] == 1:
        find_lines(table, text)
    if kind.name in _MAY_LACK_LABELS:
        table = _drop_unlabelled(table)
    table.check(may_lack_labels=may_lack_labels)
    return table, names


def _describe(content: Any) -> str:
    if isinstance(content, list):
        first = content[0] if content else None
        if not isinstance(first, dict):
            return f"an array of {len(content)} values"
        content, what = first, "objects with the keys"
    else:
        what = "an object with the keys"
    if not isinstance(content, dict):
        return "a single value"
    keys = [str(key)[:30] for key in list(content)[:_SHOWN_KEYS]]
    more = ", ..." if len(content) > _SHOWN_KEYS else ""
    return f"{what} {', '.join(keys)}{more}"


def _drop_unlabelled(table: Table) -> Table:
    kept = [index for index, label in enumerate(table.labels) if label]
    left_out = len(table.paths) - len(kept)
    if not left_out or not kept:
        return table
    table.notes.append(
        f"{table.source}: {counted(left_out, 'video')} without an annotation left out."
    )
    return table.select(kept)


# ---- what tells the kinds apart, and what is in them ----


def _has_keys(*keys: str) -> Callable[[Any], bool]:
    return lambda content: isinstance(content, dict) and content.keys() >= set(keys)


def _records_have(*keys: str) -> Callable[[Any], bool]:
    return lambda content: is_records(content) and content[0].keys() >= set(keys)


def _is_label_studio(content: Any) -> bool:
    keys = {"annotations", "completions", "predictions"}
    return (
        is_records(content)
        and isinstance(content[0].get("data"), dict)
        and bool(keys & content[0].keys())
    )


def _read_label_studio(content: Any, tree: ClipTree) -> tuple[list[Record], None]:
    records = []
    for task in content:
        videos = [value for value in task["data"].values() if _names_video(value)]
        path = videos[0].partition("?d=")[2] or videos[0] if videos else ""
        given = task.get("annotations") or task.get("completions") or []
        results = [r for a in given if not a.get("was_cancelled") for r in a.get("result") or ()]
        for result in results or ({},):
            records += _label_studio_rows(path, result)
    unique = {tuple(record.items()): record for record in records}
    return list(unique.values()), None


def _label_studio_rows(path: str, result: Record) -> list[Record]:
    value = result.get("value") or {}
    label = value.get("choices") or value.get("timelinelabels") or value.get("labels") or []
    row = {"path": path, "label": LABELS_JOINED_BY.join(map(str, label))}
    ranges = value.get("ranges")
    if is_records(ranges):  # frames from 1
        frames = ((each["start"] - 1, each["end"]) for each in ranges)
        return [{**row, "start_frame": start, "end_frame": end} for start, end in frames]
    if "start" in value and "end" in value and result.get("type") != "videorectangle":
        return [{**row, "start": value["start"], "end": value["end"]}]
    return [row]


def _names_video(value: Any) -> bool:
    return isinstance(value, str) and stem_of(value) != value.rpartition("/")[2]


def _read_activitynet(content: Any, tree: ClipTree) -> tuple[list[Record], None]:
    records = []
    for name, video in content["database"].items():
        path = next((p for stem in (name, f"v_{name}") if (p := tree.resolve(stem))), name)
        records.append({**_without(video, "url", "resolution"), "path": path})
    return records, None


def _is_kinetics(content: Any) -> bool:
    first = next(iter(content.values()), None) if isinstance(content, dict) else None
    found = first.get("annotations") if isinstance(first, dict) else None
    return isinstance(found, dict) and found.keys() >= {"label", "segment"}


def _read_kinetics(content: Any, tree: ClipTree) -> tuple[list[Record], None]:
    records = []
    for name, video in content.items():
        start, end = video["annotations"]["segment"]
        path, is_whole = kinetics_clip(tree, name, str(start), str(end))
        times = {"start": start, "end": end} if is_whole else {}
        label = video["annotations"]["label"]
        records.append({"path": path, "label": label, "split": video.get("subset"), **times})
    return records, None


def _without(record: Record, *keys: str) -> Record:
    return {key: value for key, value in record.items() if key not in keys}


def _read_fiftyone(content: Any, tree: ClipTree) -> tuple[list[Record], Names]:
    classes = tuple(map(str, content["classes"]))
    records = [
        {"path": name, "label": [_class(classes, each) for each in _listed(label)]}
        for name, label in content["labels"].items()
    ]
    return records, (classes, "its classes")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _class(classes: Sequence[str], label: Any) -> Any:
    is_index = isinstance(label, int) and 0 <= label < len(classes)
    return classes[label] if is_index else label


def _read_coco(content: Any, tree: ClipTree) -> tuple[list[Record], None]:
    names = {one["id"]: one["name"] for one in content["categories"]}
    keys = ("file_name", "path", "name")
    videos = {
        one["id"]: next(str(one[key]) for key in keys if key in one) for one in content["videos"]
    }
    times = ("start", "end", "segment", "start_frame", "end_frame")
    rows = [
        {
            "path": videos[one["video_id"]],
            "label": names[one["category_id"]],
            **{key: one[key] for key in times if key in one},
        }
        for one in content["annotations"]
    ]
    return list({repr(row): row for row in rows}.values()), None


def _is_video_coco(content: Any) -> bool:
    needed = _has_keys("annotations", "categories", "videos")
    if not needed(content) or not is_records(content["annotations"]):
        return False
    return content["annotations"][0].keys() >= {"video_id", "category_id"}


def _is_split_of_paths(content: Any) -> bool:
    return _is_by_class(content) and all(map(split_of, content))


def _is_by_split(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and len(content) > 0
        and all(map(split_of, content))
        and all(is_records(value) or _is_by_path(value) for value in content.values())
    )


def _read_by_split(content: Any, tree: ClipTree) -> tuple[list[Record], None]:
    records = []
    for split, part in content.items():
        inner = part if is_records(part) else _read_by_path(part, tree)[0]
        records += [{**record, "split": split} for record in inner]
    return records, None


def _is_by_path(content: Any) -> bool:
    if not isinstance(content, dict) or not content:
        return False
    kinds = {type(value) for value in content.values()}
    if kinds == {dict}:
        names = list(dict.fromkeys(str(key) for row in content.values() for key in row))
        return columns_of(["path", *names], "", only_paths_will_do=False) is not None
    return kinds <= {str, int} and all(map(_names_video, content))


def _maps_clips(content: Any, tree: ClipTree) -> bool:
    """Whether this is an object of labels by names of clips without suffixes."""
    if not isinstance(content, dict):
        return False
    is_flat = all(isinstance(value, str | int) for value in content.values())
    return is_flat and any(map(tree.resolve, islice(content, _TRIED)))


def _read_by_path(content: Any, tree: ClipTree) -> tuple[list[Record], None]:
    return [
        {**label, "path": path} if isinstance(label, dict) else {"path": path, "label": label}
        for path, label in content.items()
    ], None


def _is_by_class(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and len(content) > 1
        and all(isinstance(v, list) and v and all(map(_names_video, v)) for v in content.values())
    )


def _read_by_class(content: Any, tree: ClipTree) -> tuple[list[Record], None]:
    return [{"path": path, "label": name} for name, v in content.items() for path in v], None


def _is_by_column(content: Any) -> bool:
    if not isinstance(content, dict) or len(content) < 2:
        return False
    values = list(content.values())
    is_columns = all(isinstance(v, list | dict) and len(v) == len(values[0]) for v in values)
    names = list(map(str, content))
    return is_columns and columns_of(names, "", only_paths_will_do=False) is not None


def _read_by_column(content: Any, tree: ClipTree) -> tuple[list[Record], None]:
    columns = [list(v.values()) if isinstance(v, dict) else v for v in content.values()]
    return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)], None


def _inner_records(content: Any) -> list[Record] | None:
    """Give the records of an array, or of the only array in an object that is one of clips."""
    if is_records(content):
        return content
    found = [v for v in content.values() if is_records(v)] if isinstance(content, dict) else []
    if len(found) > 1:
        found = [records for records in found if _are_clips(records, only_paths_will_do=False)]
    return found[0] if len(found) == 1 else None


def _are_clips(records: Sequence[Record], *, only_paths_will_do: bool) -> bool:
    names = dict.fromkeys(str(key) for record in records for row in flatten(record) for key in row)
    return columns_of(list(names), "", only_paths_will_do=only_paths_will_do) is not None


def _is_plain(content: Any) -> bool:
    records = _inner_records(content)
    return records is not None and _are_clips(records, only_paths_will_do=True)


def _is_pairs(content: Any) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(p, list) and len(p) == 2 and _names_video(p[0]) for p in content)
    )


KINDS: tuple[Kind, ...] = (
    Kind("an export of Label Studio", _is_label_studio, _read_label_studio),
    Kind("of the form of ActivityNet", _has_keys("database"), _read_activitynet),
    Kind("Kinetics' list", _is_kinetics, _read_kinetics),
    Kind("FiftyOne's labels.json", _has_keys("classes", "labels"), _read_fiftyone),
    Kind("in the form of COCO for videos", _is_video_coco, _read_coco),
    Kind("in the form of COCO", _has_keys("annotations", "categories"), None, "boxes in pictures"),
    Kind("a project of VIA", _has_keys("file", "metadata", "attribute"), None),
    Kind("a project of VIA", _has_keys("_via_settings"), None),
    Kind("MSR-VTT's", _has_keys("videos", "sentences"), None, "sentences are no classes"),
    Kind("an export of Labelbox", _records_have("data_row"), None),
    Kind("in the form of Datumaro", _has_keys("categories", "items"), None),
    Kind("an annotation of Supervisely", _has_keys("framesCount"), None),
    Kind("an object of splits", _is_by_split, _read_by_split),
    Kind("an object of splits", _is_split_of_paths, None, "its clips have no labels"),
    Kind("an object of paths", _is_by_path, _read_by_path),
    Kind("an object of classes", _is_by_class, _read_by_class),
    Kind("an object of columns", _is_by_column, _read_by_column),
    Kind("an array of records", _is_plain, lambda content, _: (_inner_records(content), None)),
    Kind(
        "an array of pairs",
        _is_pairs,
        lambda content, _: ([{"path": path, "label": label} for path, label in content], None),
    ),
)

_MAY_LACK_LABELS = ("an export of Label Studio", "of the form of ActivityNet")
