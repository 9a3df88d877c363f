"""ActivityNet's JSON, which THUMOS14, HACS, FineAction and others are also published in."""

from collections.abc import Iterator
from typing import Any

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.clip_tree import ClipTree
from autox_video.data.listing.formats.annotation_tools.entries import (
    Entry,
    Problems,
    table_of,
    well_formed,
)
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.records import parse
from autox_video.data.listing.reading.table import Table


class ActivityNet(ListFormat):
    """An object `database` of videos by id, with a subset and annotations of segments."""

    data_set = "ActivityNet"
    repeats_are_labels = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        content = source.json_value
        return isinstance(content, dict) and isinstance(content.get("database"), dict)

    def read(self, source: ListSource, reading: Reading) -> Table:
        content, _ = parse(source.text, source.path)
        if not isinstance(content, dict) or not isinstance(content.get("database"), dict):
            raise ListingError(f"{source.path}:1: there is no object `database` of videos.")
        problems = Problems(source.path)
        with well_formed(source.path, "a list in ActivityNet's format"):
            entries = list(_entries(content["database"], reading.tree, problems))
        return table_of(entries, problems.messages, source).labelled()


LIST_FORMATS.register("activitynet")(ActivityNet())


def _entries(database: dict[str, Any], tree: ClipTree, problems: Problems) -> Iterator[Entry]:
    """Yield the annotations of all videos that can be read."""
    for name, video in database.items():
        path, split = _clip(name, video, tree), str(video.get("subset") or "")
        annotations = video.get("annotations") or ()
        if isinstance(annotations, dict):
            annotations = [annotations]
        if not annotations:
            yield Entry(f"video `{name}`", path, "", split=split, anchor=name)
        for number, annotation in enumerate(annotations, 1):
            where = f"video `{name}`, annotation {number}"
            label = annotation.get("label") if isinstance(annotation, dict) else None
            if not isinstance(label, str | int) or not str(label).strip():
                problems.add(where, "there is no label")
                continue
            segment = annotation.get("segment")
            if segment is not None and not (isinstance(segment, list) and len(segment) == 2):
                problems.add(where, f"the segment `{segment}` is not a start and an end")
                continue
            times = None if segment is None else tuple(segment)
            yield Entry(where, path, str(label).strip(), times, split=split, anchor=name)


def _clip(name: str, video: dict[str, Any], tree: ClipTree) -> str:
    """Return the name of a video's file; published videos are called v_ID or ID."""
    names = [str(video[key]) for key in ("filename", "file_name") if video.get(key)]
    names += [name, f"v_{name}"]
    return next(filter(tree.find, names), name)
