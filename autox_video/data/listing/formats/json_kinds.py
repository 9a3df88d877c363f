"""The kinds of JSON that tools and data sets write; another one is a row more in JSON_KINDS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.clip_tree import ClipTree, stem_of
from autox_video.data.listing.folders.split_names import split_of
from autox_video.data.listing.formats.kinetics import kinetics_clip
from autox_video.data.listing.reading.columns import columns_of
from autox_video.data.listing.reading.records import Record, flatten, is_records

_TRIED = 20


@dataclass(frozen=True, slots=True)
class JsonKind:
    """A kind of JSON list."""

    name: str
    """For messages: "this is ..."."""
    matches: Callable[[Any], bool]
    read: Callable[[Any, ClipTree], list[Record]] | None = None
    """Gives records with the keys path, label and the like; None where this kind is not read."""
    why: str = ""
    """Why it is not read, a part of a sentence."""
    classes: Callable[[Any], tuple[str, ...]] | None = None
    """Gives the data set's own classes, in its order."""
    may_lack_labels: bool = False
    """Whether videos that nobody has labelled are in it."""


def maps_clips(content: Any, tree: ClipTree) -> bool:
    """Whether this is an object of labels by names of clips without suffixes."""
    if not isinstance(content, dict):
        return False
    is_flat = all(isinstance(value, str | int) for value in content.values())
    return is_flat and any(map(tree.resolve, islice(content, _TRIED)))


def _has_keys(*keys: str) -> Callable[[Any], bool]:
    return lambda content: isinstance(content, dict) and content.keys() >= set(keys)


def _names_video(value: Any) -> bool:
    return isinstance(value, str) and stem_of(value) != value.rpartition("/")[2]


def _name_columns(names: Sequence[Any], *, need_labels: bool = True) -> bool:
    return columns_of(list(map(str, names)), need_labels=need_labels) is not None


# ---- exports of tools, and lists of data sets ----


def _is_label_studio(content: Any) -> bool:
    if not is_records(content) or not isinstance(content[0].get("data"), dict):
        return False
    return not content[0].keys().isdisjoint(("annotations", "completions", "predictions"))


def _read_label_studio(content: Any, tree: ClipTree) -> list[Record]:
    records = []
    for task in content:
        videos = [value for value in task["data"].values() if _names_video(value)]
        path = videos[0].partition("?d=")[2] or videos[0] if videos else ""
        annotations = task.get("annotations") or task.get("completions") or []
        results = [
            result
            for annotation in annotations
            if not annotation.get("was_cancelled")
            for result in annotation.get("result") or ()
        ]
        for result in results or ({},):
            records += _label_studio_rows(path, result)
    unique = {tuple(record.items()): record for record in records}
    return list(unique.values())


def _label_studio_rows(path: str, result: Record) -> list[Record]:
    value = result.get("value") or {}
    label = value.get("choices") or value.get("timelinelabels") or value.get("labels") or []
    row = {"path": path, "label": LABELS_JOINED_BY.join(map(str, label))}
    ranges = value.get("ranges")
    if is_records(ranges):  # frames from 1
        frames = ((part["start"] - 1, part["end"]) for part in ranges)
        return [{**row, "start_frame": start, "end_frame": end} for start, end in frames]
    if "start" in value and "end" in value and result.get("type") != "videorectangle":
        return [{**row, "start": value["start"], "end": value["end"]}]
    return [row]


def _read_activitynet(content: Any, tree: ClipTree) -> list[Record]:
    records = []
    for name, video in content["database"].items():
        path = next((p for stem in (name, f"v_{name}") if (p := tree.resolve(stem))), name)
        about = {key: value for key, value in video.items() if key not in ("url", "resolution")}
        records.append({**about, "path": path})
    return records


def _is_kinetics(content: Any) -> bool:
    first = next(iter(content.values()), None) if isinstance(content, dict) else None
    annotations = first.get("annotations") if isinstance(first, dict) else None
    return isinstance(annotations, dict) and annotations.keys() >= {"label", "segment"}


def _read_kinetics(content: Any, tree: ClipTree) -> list[Record]:
    records = []
    for name, video in content.items():
        start, end = video["annotations"]["segment"]
        path, is_whole = kinetics_clip(tree, name, str(start), str(end))
        times = {"start": start, "end": end} if is_whole else {}
        label = video["annotations"]["label"]
        records.append({"path": path, "label": label, "split": video.get("subset"), **times})
    return records


def _fiftyone_classes(content: Any) -> tuple[str, ...]:
    return tuple(map(str, content["classes"]))


def _read_fiftyone(content: Any, tree: ClipTree) -> list[Record]:
    classes = _fiftyone_classes(content)

    def name_of(label: Any) -> Any:
        is_index = isinstance(label, int) and 0 <= label < len(classes)
        return classes[label] if is_index else label

    return [
        {"path": path, "label": list(map(name_of, label if isinstance(label, list) else [label]))}
        for path, label in content["labels"].items()
    ]


def _is_video_coco(content: Any) -> bool:
    if not _has_keys("annotations", "categories", "videos")(content):
        return False
    annotations = content["annotations"]
    return is_records(annotations) and annotations[0].keys() >= {"video_id", "category_id"}


def _read_coco(content: Any, tree: ClipTree) -> list[Record]:
    names = {category["id"]: category["name"] for category in content["categories"]}
    videos = {
        video["id"]: next(str(video[key]) for key in ("file_name", "path", "name") if key in video)
        for video in content["videos"]
    }
    times = ("start", "end", "segment", "start_frame", "end_frame")
    rows = [
        {
            "path": videos[annotation["video_id"]],
            "label": names[annotation["category_id"]],
            **{key: annotation[key] for key in times if key in annotation},
        }
        for annotation in content["annotations"]
    ]
    return list({repr(row): row for row in rows}.values())


# ---- what people write themselves ----


def _is_by_split(content: Any) -> bool:
    if not isinstance(content, dict) or not content or not all(map(split_of, content)):
        return False
    return all(is_records(part) or _is_by_path(part) for part in content.values())


def _read_by_split(content: Any, tree: ClipTree) -> list[Record]:
    return [
        {**record, "split": split}
        for split, part in content.items()
        for record in (part if is_records(part) else _read_by_path(part, tree))
    ]


def _is_by_path(content: Any) -> bool:
    if not isinstance(content, dict) or not content:
        return False
    kinds = {type(value) for value in content.values()}
    if kinds == {dict}:
        return _name_columns(list(dict.fromkeys(["path", *chain(*content.values())])))
    return kinds <= {str, int} and all(map(_names_video, content))


def _read_by_path(content: Any, tree: ClipTree) -> list[Record]:
    return [
        {**label, "path": path} if isinstance(label, dict) else {"path": path, "label": label}
        for path, label in content.items()
    ]


def _is_by_class(content: Any) -> bool:
    if not isinstance(content, dict) or len(content) < 2:
        return False
    return all(isinstance(v, list) and v and all(map(_names_video, v)) for v in content.values())


def _read_by_class(content: Any, tree: ClipTree) -> list[Record]:
    return [{"path": path, "label": name} for name, paths in content.items() for path in paths]


def _is_by_column(content: Any) -> bool:
    if not isinstance(content, dict) or len(content) < 2:
        return False
    values = list(content.values())
    is_columns = all(isinstance(v, list | dict) and len(v) == len(values[0]) for v in values)
    return is_columns and _name_columns(list(content))


def _read_by_column(content: Any, tree: ClipTree) -> list[Record]:
    columns = [list(v.values()) if isinstance(v, dict) else v for v in content.values()]
    return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]


def _read_array(content: Any, tree: ClipTree | None = None) -> list[Record]:
    """The records of an array, or of the only array in an object that is one of clips."""
    if is_records(content):
        return content
    arrays = list(filter(is_records, content.values())) if isinstance(content, dict) else []
    if len(arrays) > 1:
        arrays = [records for records in arrays if _are_clips(records)]
    return arrays[0] if len(arrays) == 1 else []


def _are_clips(records: Sequence[Record], *, need_labels: bool = True) -> bool:
    names = dict.fromkeys(key for record in records for row in flatten(record) for key in row)
    return _name_columns(list(names), need_labels=need_labels)


def _is_pairs(content: Any) -> bool:
    if not isinstance(content, list) or not content:
        return False
    return all(isinstance(p, list) and len(p) == 2 and _names_video(p[0]) for p in content)


def _read_pairs(content: Any, tree: ClipTree) -> list[Record]:
    return [{"path": path, "label": label} for path, label in content]


BY_PATH = JsonKind("an object of paths", _is_by_path, _read_by_path)
JSON_KINDS: tuple[JsonKind, ...] = (
    JsonKind(
        "an export of Label Studio", _is_label_studio, _read_label_studio, may_lack_labels=True
    ),
    JsonKind(
        "of the form of ActivityNet",
        _has_keys("database"),
        _read_activitynet,
        may_lack_labels=True,
    ),
    JsonKind("Kinetics' list", _is_kinetics, _read_kinetics),
    JsonKind(
        "FiftyOne's labels.json",
        _has_keys("classes", "labels"),
        _read_fiftyone,
        classes=_fiftyone_classes,
    ),
    JsonKind("in the form of COCO for videos", _is_video_coco, _read_coco),
    JsonKind(
        "in the form of COCO", _has_keys("annotations", "categories"), why="boxes in pictures"
    ),
    JsonKind("a project of VIA", _has_keys("file", "metadata", "attribute")),
    JsonKind("a project of VIA", _has_keys("_via_settings")),
    JsonKind("MSR-VTT's", _has_keys("videos", "sentences"), why="sentences are no classes"),
    JsonKind("an export of Labelbox", lambda c: is_records(c) and "data_row" in c[0]),
    JsonKind("in the form of Datumaro", _has_keys("categories", "items")),
    JsonKind("an annotation of Supervisely", _has_keys("framesCount")),
    JsonKind("an object of splits", _is_by_split, _read_by_split),
    JsonKind(
        "an object of splits",
        lambda content: _is_by_class(content) and all(map(split_of, content)),
        why="its clips have no labels",
    ),
    BY_PATH,
    JsonKind("an object of classes", _is_by_class, _read_by_class),
    JsonKind("an object of columns", _is_by_column, _read_by_column),
    JsonKind(
        "an array of records",
        lambda content: _are_clips(_read_array(content), need_labels=False),
        _read_array,
    ),
    JsonKind("an array of pairs", _is_pairs, _read_pairs),
)
