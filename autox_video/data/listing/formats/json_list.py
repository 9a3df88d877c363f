"""Lists in JSON, whole or an object a line; JSON_KINDS says which kinds are told apart."""

from typing import Any

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.formats.json_kinds import BY_PATH, JSON_KINDS, JsonKind, maps_clips
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.records import Record, find_lines, parse, read_records
from autox_video.data.listing.reading.table import Table

INSTEAD = "write CSV with the columns path and label, or JSON objects with the keys path and label"

_SHOWN_KEYS = 8


class JsonList(ListFormat):
    """Records with a path and a label, however nested, and the exports of many tools."""

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        return source.is_json

    def read(self, source: ListSource, reading: Reading) -> Table:
        content, lines = parse(source.text, source.path)
        kind = _kind_of(content, source.path, reading.tree)
        records = _records(kind, content, source.path, reading.tree)
        is_known = len(records) == len(lines)
        table = read_records(
            records, lines if is_known else [1] * len(records), source.path, reading.tree
        )
        if not is_known:
            find_lines(table, source.text)
        if kind.classes is not None:
            table.classes = kind.classes(content), "its classes"
        if kind.may_lack_labels:
            table = table.labelled()
        table.check(may_lack_labels=reading.may_lack_labels)
        return table


LIST_FORMATS.register("json")(JsonList())


def _kind_of(content: Any, source: str, tree: ClipTree) -> JsonKind:
    if content in ([], {}):
        raise ListingError(f"{source}: the list is empty.")
    kind = next((kind for kind in JSON_KINDS if kind.matches(content)), None)
    if kind is None and maps_clips(content, tree):
        kind = BY_PATH
    if kind is None:
        raise ListingError(
            f"{source}: this JSON is of no kind that is read ({_describe(content)}); {INSTEAD}."
        )
    if kind.read is None:
        why = f" ({kind.why})" if kind.why else ""
        raise ListingError(
            f"{source}: this JSON is {kind.name}, which is not read{why}; {INSTEAD}."
        )
    return kind


def _records(kind: JsonKind, content: Any, source: str, tree: ClipTree) -> list[Record]:
    try:
        return kind.read(content, tree)
    except (LookupError, TypeError, AttributeError, ValueError, StopIteration) as error:
        raise ListingError(
            f"{source}: this JSON is {kind.name}, but a part of it is not as it should be "
            f"({type(error).__name__}: {error}); {INSTEAD}."
        ) from error


def _describe(content: Any) -> str:
    what = "an object with the keys"
    if isinstance(content, list):
        if not content or not isinstance(content[0], dict):
            return f"an array of {len(content)} values"
        content, what = content[0], "objects with the keys"
    if not isinstance(content, dict):
        return "a single value"
    keys = ", ".join(str(key)[:30] for key in list(content)[:_SHOWN_KEYS])
    return f"{what} {keys}{', ...' if len(content) > _SHOWN_KEYS else ''}"
