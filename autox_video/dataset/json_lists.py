"""Lists in JSON: records with a path and a label, however nested, and the exports of many tools.

KINDS is the table of those that are recognised: to read another one, add a row to it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autox_video.dataset.clip_tree import ClipTree, stem_of
from autox_video.dataset.columns import columns_of, describe_columns
from autox_video.dataset.csv_lists import Table, read_rows
from autox_video.dataset.entries import LABELS_JOINED_BY, Names, counted
from autox_video.dataset.folders import SPLIT_NAMES
from autox_video.dataset.formats_official import kinetics_clip
from autox_video.dataset.list_text import data_lines, kept_lines, read_json
from autox_video.errors import ListingError

Record = Mapping[str, Any]

INSTEAD = "write CSV with the columns path and label, or JSON objects with the keys path and label"

_BEGINS_JSON = re.compile(r"\s*(\[\s*([\[{\"\]]|-?\d[\d.]*\s*[,\]]|$)|\{\s*(\"|\}|$))")
_PARTS = ("segment", "interval", "timestamps", "timestamp", "time_segment", "span")
_SHOWN_KEYS = 8


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


def looks_like_json(text: str) -> bool:
    """Whether a file is JSON, or is meant to be."""
    return _BEGINS_JSON.match(text.lstrip("\ufeff")) is not None


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
    if kind.name in _MAY_LACK_LABELS:
        table = _drop_unlabelled(table)
    table.check(may_lack_labels=may_lack_labels)
    return table, names


def parse(text: str, place: str) -> tuple[Any, list[int]]:
    """Parse JSON, or lines of JSON as one array; gives the line of each record where it is known.

    Raises:
        ListingError: this is neither.
    """
    try:
        return read_json(text.lstrip("\ufeff")), []
    except ValueError as error:
        lines = list(kept_lines(text))
        line = getattr(error, "lineno", 1)
        if len(lines) < 2 or not lines[0][1].endswith(("}", "]")):
            raise ListingError(f"{place}:{line}: this is not valid JSON ({error}).") from error
    return parse_lines(text, place)


def parse_lines(text: str, place: str) -> tuple[list[Record], list[int]]:
    """Parse a JSON object in each line; gives them with their lines.

    Raises:
        ListingError: a line is none.
    """
    content, lines = [], []
    for number, line in data_lines(text.lstrip("\ufeff")):
        try:
            content.append(read_json(line))
        except ValueError as error:
            raise ListingError(f"{place}:{number}: this is not valid JSON ({error}).") from error
        if not isinstance(content[-1], dict):
            raise ListingError(f"{place}:{number}: a line is a JSON object, {{...}}.")
        lines.append(number)
    return content, lines


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


# ---- records to rows ----


def table_of(
    rows: Sequence[tuple[int, Record]], place: str, tree: ClipTree, kind: str = "JSON"
) -> Table:
    """Read flat records, each with its line, as rows of one table; nothing is checked yet.

    Raises:
        ListingError: no key is that of a path.
    """
    names = list(dict.fromkeys(str(key) for _, row in rows for key in row))
    columns = columns_of(names, "", only_paths_will_do=True)
    if columns is None:
        keys = describe_columns(names).replace("the columns are", "its keys are")
        raise ListingError(f"{place}: this JSON names no clips; {keys}.")
    cells = ((line, [text_of(row.get(name)) for name in names]) for line, row in rows)
    table = read_rows(cells, place, columns, lambda path: tree.resolve(path) is not None)
    table.hashed.clear()  # JSON knows no comments
    return table


def text_of(value: Any) -> str:
    """Give a value as a cell of a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return LABELS_JOINED_BY.join(part for part in map(text_of, value) if part)
    if isinstance(value, dict):
        inner = (value.get(key) for key in ("label", "name", "displayName", "value", "choices"))
        return text_of(next((part for part in inner if part is not None), None))
    return str(value).strip()


def flatten(record: Record) -> Iterator[Record]:
    """Give a row for each annotation in a record, with what the record says of all of them."""
    inner = next(
        (key for key, value in record.items() if _is_records(value) and key != "labels"), None
    )
    if inner is None and isinstance(record.get("annotations"), dict):
        yield from flatten({**record, **record["annotations"], "annotations": None})
        return
    outer = {key: value for key, value in record.items() if key != inner and value is not None}
    for part in record[inner] if inner is not None else ({},):
        row = {**outer, **part}
        for key in _PARTS:
            times = row.get(key)
            if isinstance(times, list) and len(times) == 2 and not isinstance(times[0], list):
                del row[key]
                row["start"], row["end"] = times
        yield row


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


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
    return lambda content: _is_records(content) and content[0].keys() >= set(keys)


def _is_label_studio(content: Any) -> bool:
    keys = {"annotations", "completions", "predictions"}
    return (
        _is_records(content)
        and isinstance(content[0].get("data"), dict)
        and bool(keys & content[0].keys())
    )


def _read_label_studio(content: Any, tree: ClipTree) -> tuple[list[Record], None]:
    records = []
    for task in content:
        videos = [value for value in task["data"].values() if _names_video(value)]
        path = _uploaded(videos[0], tree) if videos else ""
        given = task.get("annotations") or task.get("completions") or []
        results = [r for a in given if not a.get("was_cancelled") for r in a.get("result") or ()]
        for result in results or ({},):
            records.append(_label_studio_row(path, result))
    unique = {tuple(record.items()): record for record in records}
    return list(unique.values()), None


def _label_studio_row(path: str, result: Record) -> Record:
    value = result.get("value") or {}
    label = value.get("choices") or value.get("timelinelabels") or value.get("labels") or []
    row = {"path": path, "label": LABELS_JOINED_BY.join(map(str, label))}
    ranges = value.get("ranges")
    if _is_records(ranges):  # frames from 1
        return {**row, "start_frame": ranges[0]["start"] - 1, "end_frame": ranges[0]["end"]}
    if "start" in value and "end" in value and result.get("type") != "videorectangle":
        return {**row, "start": value["start"], "end": value["end"]}
    return row


def _names_video(value: Any) -> bool:
    return isinstance(value, str) and stem_of(value) != value.rpartition("/")[2]


def _uploaded(path: str, tree: ClipTree) -> str:
    """Give the clip that Label Studio knows as /data/upload/1/0a1b2c3d-NAME or ?d=NAME."""
    path = path.partition("?d=")[2] or path
    short = re.sub(r"^[0-9a-f]{8}-", "", path.rpartition("/")[2])
    return path if tree.resolve(path) else tree.resolve(short) or path


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
    if not needed(content) or not _is_records(content["annotations"]):
        return False
    return content["annotations"][0].keys() >= {"video_id", "category_id"}


def _is_by_split(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and len(content) > 0
        and all(str(key).lower() in SPLIT_NAMES for key in content)
        and all(_is_records(value) or _is_by_path(value) for value in content.values())
    )


def _read_by_split(content: Any, tree: ClipTree) -> tuple[list[Record], None]:
    records = []
    for split, part in content.items():
        inner = part if _is_records(part) else _read_by_path(part, tree)[0]
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
    """Give the records of an array, or of the only array of records in an object."""
    if _is_records(content):
        return content
    found = [v for v in content.values() if _is_records(v)] if isinstance(content, dict) else []
    return found[0] if len(found) == 1 else None


def _is_plain(content: Any) -> bool:
    records = _inner_records(content)
    if records is None:
        return False
    rows = [row for record in records for row in flatten(record)]
    names = list(dict.fromkeys(str(key) for row in rows for key in row))
    return columns_of(names, "", only_paths_will_do=True) is not None


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
