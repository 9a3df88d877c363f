"""Label Studio's exports JSON and JSON-MIN of videos: timeline ranges, segments and choices."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autox_video.config.choices import LIST_FORMATS
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import LABELS_JOINED_BY
from autox_video.data.listing.formats.annotation_tools.entries import (
    Entry,
    Problems,
    choose_field,
    clip_finder,
    table_of,
    well_formed,
)
from autox_video.data.listing.formats.list_format import ListFormat, ListSource, Reading
from autox_video.data.listing.reading.records import Record, is_records, parse
from autox_video.data.listing.reading.table import Table
from autox_video.video.files.suffixes import is_video

_LABEL_KEYS = ("timelinelabels", "choices", "labels")
_REGION_KEYS = ("ranges", "start", "sequence", "choices")
_FPS_KEYS = ("fps", "framerate", "frame_rate", "frameRate")
_ABOUT_MIN = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time")


@dataclass(frozen=True, slots=True)
class _Region:
    """A labelled part of a video: the whole video, a segment, ranges of frames or a box."""

    control: str
    """Name of the labelling control; "" if the export does not tell."""
    value: Record

    @property
    def is_box(self) -> bool:
        """Whether it is a box around an object, which labels no part of the video."""
        return "sequence" in self.value


@dataclass(frozen=True, slots=True)
class _Task:
    """A video and its labelled regions, by annotation."""

    name: str
    data: Record
    annotations: tuple[tuple[_Region, ...], ...]

    @property
    def video(self) -> str:
        """Path or address of the video; "" if there is none."""
        values = [self.data.get("video"), *self.data.values()]
        return next(filter(_names_video, values), "")

    @property
    def regions(self) -> tuple[_Region, ...]:
        """The regions of the first annotation."""
        return self.annotations[0] if self.annotations else ()


class LabelStudio(ListFormat):
    """Tasks with annotations of a video; tasks without annotations are skipped."""

    repeats_are_labels = True

    def recognises(self, source: ListSource, reading: Reading) -> bool:
        content = source.json_value
        return is_records(content) and (_is_task(content[0]) or any(map(_is_min_task, content)))

    def read(self, source: ListSource, reading: Reading) -> Table:
        content, _ = parse(source.text, source.path)
        if not is_records(content):
            raise ListingError(f"{source.path}:1: this is not an array of Label Studio's tasks.")
        problems = Problems(source.path)
        with well_formed(source.path, "a Label Studio export"):
            tasks = list(map(_task if _is_task(content[0]) else _min_task, content))
            rates = {task.video: _fps_of(task) for task in tasks}
            tasks = list(_one_annotation_each(_without_boxes(tasks), problems))
            counts = Counter(region.control for task in tasks for region in task.regions)
            control = choose_field(counts, reading.label_field, "labelling controls", source.path)
            entries = [
                entry
                for task in tasks
                for entry in _entries(task, control, rates[task.video], problems)
            ]
        table = table_of(entries, problems.messages, source, find=clip_finder(reading.tree))
        if table.unit == "frame":
            count = sum(entry.unit == "frame" and entry.fps is None for entry in entries)
            table.notes.append(
                f"{source.path}: {counted(count, 'range')} of frame numbers read at the frame rate "
                "of the video. If the Video tag of the project has another framerate (it is 24 if "
                "the tag names none), add it to the data of each task as `fps`."
            )
        return table.labelled()


LIST_FORMATS.register("label_studio")(LabelStudio())


# ---- tasks ----


def _is_task(record: Record) -> bool:
    is_answered = not record.keys().isdisjoint(("annotations", "completions", "predictions"))
    return is_answered and isinstance(record.get("data"), dict)


def _is_min_task(record: Record) -> bool:
    return "annotation_id" in record and any(_min_regions(record))


def _task(record: Record) -> _Task:
    """Return a task of the export JSON; if an annotation is ground truth, only with that one."""
    answers = record.get("annotations") or record.get("completions") or []
    used = [answer for answer in answers if not answer.get("was_cancelled")]
    truth = [answer for answer in used if answer.get("ground_truth")]
    annotations = tuple(
        tuple(
            _Region(str(result.get("from_name", "")), result["value"])
            for result in answer.get("result") or ()
            if isinstance(result.get("value"), dict) and _label_of(result["value"])
        )
        for answer in truth or used
    )
    return _Task(f"task {record.get('id', '?')}", record["data"], annotations)


def _min_task(record: Record) -> _Task:
    """Return an annotation of JSON-MIN, whose labelling controls are keys among the data."""
    data = {key: value for key, value in record.items() if key not in _ABOUT_MIN}
    return _Task(f"task {record.get('id', '?')}", data, (tuple(_min_regions(record)),))


def _min_regions(record: Record) -> Iterator[_Region]:
    for name, values in record.items():
        for value in values if is_records(values) else [values]:
            if (
                isinstance(value, dict)
                and _label_of(value)
                and not value.keys().isdisjoint(_REGION_KEYS)
            ):
                yield _Region(name, value)


def _without_boxes(tasks: Sequence[_Task]) -> Sequence[_Task]:
    """Return the tasks without boxes, unless all labelled regions are boxes."""
    if all(region.is_box for task in tasks for part in task.annotations for region in part):
        return tasks
    return [
        replace(
            task,
            annotations=tuple(
                tuple(region for region in part if not region.is_box) for part in task.annotations
            ),
        )
        for task in tasks
    ]


def _one_annotation_each(tasks: Iterable[_Task], problems: Problems) -> Iterator[_Task]:
    """Yield a task per video with its annotation, of which there may be only one."""
    by_video: dict[str, _Task] = {}
    for task in tasks:
        if not task.video:
            problems.add(task.name, "there is no video in its data")
            continue
        known = by_video.setdefault(task.video, replace(task, annotations=()))
        by_video[task.video] = replace(known, annotations=known.annotations + task.annotations)
    for task in by_video.values():
        different = {_key(part): part for part in task.annotations if part}
        if len(different) > 1:
            problems.add(
                task.name,
                f"the video `{task.video}` has {len(different)} annotations that differ; mark one "
                "as ground truth, or delete the others",
            )
        yield replace(task, annotations=tuple(different.values())[:1])


def _key(annotation: Iterable[_Region]) -> str:
    regions = ([region.control, region.value] for region in annotation)
    return "\n".join(sorted(json.dumps(region, sort_keys=True) for region in regions))


# ---- regions ----


def _label_of(value: Record) -> str:
    labels = next((value[key] for key in _LABEL_KEYS if value.get(key)), ())
    labels = labels if isinstance(labels, list) else [labels]
    return LABELS_JOINED_BY.join(str(label).strip() for label in labels)


def _names_video(value: Any) -> bool:
    return isinstance(value, str) and is_video(value.partition("?d=")[2] or value.partition("?")[0])


def _entries(task: _Task, control: str, fps: float | None, problems: Problems) -> Iterator[Entry]:
    """Yield the regions of a task, or one entry without a label if there are none."""
    regions = [region for region in task.regions if region.control == control]
    if not regions:
        yield Entry(task.name, task.video, "")
    for number, region in enumerate(regions, 1):
        where, label = f"{task.name}, region {number}", _label_of(region.value)
        try:
            for times, unit in _times_of(region):
                yield Entry(where, task.video, label, times, unit, fps)
        except (TypeError, LookupError, ValueError):
            problems.add(where, "its ranges are not objects with the frames `start` and `end`")


def _times_of(region: _Region) -> Iterator[tuple[tuple[object, object] | None, str]]:
    """Yield the times of a region and their unit.

    A range names its first and last frame, counted from 1; imported ranges may begin at 0.
    """
    value = region.value
    if "ranges" in value:
        for part in value["ranges"]:
            first, last = _frame(part["start"]), _frame(part["end"])
            yield (max(first - 1, 0), last), "frame"
    elif not region.is_box and "start" in value and "end" in value:
        yield (value["start"], value["end"]), "s"
    else:
        yield None, "s"


def _frame(number: Any) -> int:
    if not float(number).is_integer():
        raise ValueError(f"{number} is not a frame number")
    return int(number)


def _fps_of(task: _Task) -> float | None:
    """Return the frame rate that a task's data or boxes tell; None if they tell none."""
    for key in _FPS_KEYS:
        try:
            fps = float(task.data.get(key) or 0)
        except (TypeError, ValueError):
            continue
        if 0 < fps < float("inf"):
            return fps
    for region in (region for part in task.annotations for region in part):
        frames, seconds = region.value.get("framesCount"), region.value.get("duration")
        if isinstance(frames, int | float) and isinstance(seconds, int | float) and seconds > 0:
            return frames / seconds if frames > 0 else None
    return None
