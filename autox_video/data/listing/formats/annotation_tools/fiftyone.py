"""FiftyOne's temporal detections: labels.json, with the videos in the folder `data` beside it."""

from collections.abc import Iterator, Mapping
from typing import Any

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.data.listing.formats.annotation_tools.entries import (
    Entry,
    Find,
    Problems,
    clip_finder,
    table_of,
    well_formed,
)
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.list_text import read_json, read_text
from autox_video.data.listing.reading.records import is_records, parse
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.remote import is_file


class FiftyOne(ListFormat):
    """Exports of the type FiftyOneTemporalDetectionDataset, in frame numbers or in seconds."""

    repeats_are_labels = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        content = source.json_value
        videos = content.get("labels") if isinstance(content, dict) else None
        if not isinstance(videos, dict) or "classes" not in content:
            return False
        return any(map(_are_detections, videos.values()))

    def read(self, source: ListSource, reading: Reading) -> Table:
        content, _ = parse(source.text, source.path)
        videos = content.get("labels") if isinstance(content, dict) else None
        if not isinstance(videos, dict):
            raise ListingError(f"{source.path}:1: there is no object `labels` of videos.")
        problems = Problems(source.path)
        with well_formed(source.path, "a FiftyOne export"):
            classes = [str(name) for name in content.get("classes") or ()]
            entries = list(_entries(videos, classes, _manifest(source), problems))
        table = table_of(entries, problems.messages, source, find=_finder(reading))
        if classes:
            table.classes = tuple(classes), "its classes"
        return table.labelled()


LIST_FORMATS.register("fiftyone")(FiftyOne())


def _are_detections(value: Any) -> bool:
    return is_records(value) and not value[0].keys().isdisjoint(("support", "timestamps"))


def _manifest(source: ListSource) -> Mapping[str, str]:
    """Return the path of each video from the data.json of an export without the videos."""
    file = source.sibling("data.json")
    if not is_file(file):
        return {}
    try:
        paths = read_json(read_text(file))
    except ValueError as error:
        raise ListingError(f"{file}: this is not valid JSON ({error}).") from error
    return paths if isinstance(paths, dict) else {}


def _finder(reading: Reading) -> Find:
    find = clip_finder(reading.tree)
    return lambda video: find(f"data/{video}") or find(video)


def _entries(
    videos: Mapping[str, Any], classes: list[str], manifest: Mapping[str, str], problems: Problems
) -> Iterator[Entry]:
    """Yield the detections of all videos that can be read."""
    for name, detections in videos.items():
        path = str(manifest.get(name, name))
        if not detections:
            yield Entry(f"video `{name}`", path, "", anchor=name)
            continue
        if not is_records(detections):
            problems.add(f"video `{name}`", "its labels are not temporal detections")
            continue
        for number, detection in enumerate(detections, 1):
            where = f"video `{name}`, detection {number}"
            try:
                label = _label(detection.get("label"), classes)
                times, unit = _times(detection)
            except ValueError as error:
                problems.add(where, error)
                continue
            yield Entry(where, path, label, times, unit, anchor=name)


def _label(label: Any, classes: list[str]) -> str:
    """Return the class name; raises ValueError for an index outside `classes`."""
    if isinstance(label, int) and not isinstance(label, bool) and classes:
        if not 0 <= label < len(classes):
            raise ValueError(f"the class index {label} is not in the {len(classes)} `classes`")
        return classes[label]
    if isinstance(label, str) and label.strip():
        return label.strip()
    raise ValueError("there is no label" if not isinstance(label, int) else "`classes` is empty")


def _times(detection: Mapping[str, Any]) -> tuple[tuple[object, object], str]:
    """Return start, end and unit; `support` is the first and the last frame, counted from 1."""
    seconds, support = detection.get("timestamps"), detection.get("support")
    if isinstance(seconds, list) and len(seconds) == 2:
        return tuple(seconds), "s"
    if isinstance(support, list) and len(support) == 2 and all(type(n) is int for n in support):
        first, last = support
        if first < 1 or last < first:
            raise ValueError(f"the support {support} is not a first and a last frame, from 1")
        return (first - 1, last), "frame"
    raise ValueError("there are neither `support` (two frame numbers) nor `timestamps`")
