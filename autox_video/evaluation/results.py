"""Predictions → metrics and results.json; results that are there already."""

import filecmp
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.core.console import say
from autox_video.core.errors import ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.data.label_array import label_array
from autox_video.tasks.task import Label, Task
from autox_video.video.sampling import LEAST_SEEN_SHARE

SCHEMA = 1
SCORE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one clip."""

    video: str
    """The path as listed."""
    label: Label | None
    """The true class, or all true classes, where the list has them."""
    scores: tuple[float, ...] | None
    """One probability per class; None for a clip that could not be read."""
    error: str | None = None
    """Why the clip could not be read."""
    segment: tuple[float, float] | None = None
    """Where the clip is in its video, in seconds; None: all of it."""
    seen: float = 1.0
    """Share of the clip's time that was looked at."""
    outputs: tuple[float, ...] | None = None
    """What the model gives before `Task.probabilities`, however small."""

    @property
    def is_partly_seen(self) -> bool:
        """Whether the clip is so long that much of it was not looked at."""
        return self.scores is not None and self.seen < LEAST_SEEN_SHARE

    def record(self, task: Task, classes: Sequence[str]) -> dict[str, Any]:
        """The clip's entry in results.json, with what the task says that is predicted.

        A clip that is a part of its video has `start` and `end` in seconds; an `end` of null is
        the video's. A clip of which less than four fifths were looked at has that share as `seen`.
        """
        predicted: dict[str, Any] = dict.fromkeys(("predicted", "class", "score", "scores"))
        if self.scores is not None:
            scores = [round(score, SCORE_DIGITS) for score in self.scores]
            predicted = {**task.predicted(scores, classes), "scores": scores}
        return {
            **_identity(self.video, self.segment),
            **({"seen": round(self.seen, 4)} if self.is_partly_seen else {}),
            "status": "unreadable" if self.scores is None else "ok",
            "error": self.error,
            "label": _listed(self.label),
            **predicted,
        }


def _identity(video: str, segment: tuple[float, float] | None) -> dict[str, Any]:
    if segment is None:
        return {"video": video}
    start, end = segment
    return {"video": video, "start": start, "end": end if math.isfinite(end) else None}


def _listed(label: Label | None) -> int | list[int] | None:
    return list(label) if isinstance(label, tuple) else label


def scored(predictions: Sequence[Prediction]) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, K) of the clips that were read and have a label, and their labels as an array."""
    known = [p for p in predictions if p.scores is not None and p.label is not None]
    scores = np.array([p.scores for p in known], dtype=np.float64)
    if not known:
        return scores, np.empty(0, dtype=np.int64)
    labels = label_array([p.label for p in known], scores.shape[1])
    return scores, labels.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where predictions come from; each field is one of results.json."""

    config: str
    checkpoint: str
    checkpoint_sha256: str
    decoder: str
    """What decoded the clips."""
    data_root: str
    """The folder that the clips' paths start from, or its address."""
    classes: tuple[str, ...]


def results(
    task: Task,
    predictions: Sequence[Prediction],
    provenance: Provenance,
    calibration: dict | None = None,
) -> dict[str, Any]:
    """The content of results.json: one record per clip in listed order, metrics where labelled.

    Args:
        task: of the model.
        predictions: with the probabilities that are to be told.
        provenance: where they come from.
        calibration: what there is to say of how the probabilities were made; None: as they came.
    """
    classes = provenance.classes
    return {
        "schema": SCHEMA,
        **{name: getattr(provenance, name) for name in Provenance.__slots__},
        "classes": list(classes),
        "metrics": _metrics(task, predictions, classes),
        "calibration": calibration,
        "predictions": [p.record(task, classes) for p in predictions],
    }


def _metrics(
    task: Task, predictions: Sequence[Prediction], classes: Sequence[str]
) -> dict[str, Any] | None:
    scores, labels = scored(predictions)
    if not len(labels):
        return None
    intervals = task.intervals(scores, labels)
    return {
        **task.figures(scores, labels),
        **task.details(scores, labels, classes),
        "intervals": {name: list(ends) for name, ends in intervals.items()},
        "clips": len(labels),
        "unreadable": sum(p.scores is None for p in predictions),
    }


def read_results(path: Path) -> dict[str, Any] | None:
    """The content of a results.json; None where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def is_of_clips(content: Mapping[str, Any], clips: ClipTable) -> bool:
    """Whether the content of a results.json is of exactly these clips, in their order."""
    nothing = [None] * len(clips)
    rows = zip(clips.paths, clips.labels or nothing, clips.segments or nothing, strict=True)
    wanted = [{**_identity(path, part), "label": _listed(label)} for path, label, part in rows]
    return [_clip(each) for each in content["predictions"]] == [_clip(each) for each in wanted]


def _clip(record: Mapping[str, Any]) -> tuple:
    return record["video"], record["label"], record.get("start"), record.get("end")


def keep_other_results(path: Path, content: Mapping[str, Any]) -> None:
    """Give results that are to be replaced another name, unless they are of the same test.

    Args:
        path: where `content` is about to be written.
        content: of results.json.

    Raises:
        ResourceError: the file that is there cannot be kept.
    """
    if not path.is_file() or _is_same_test(read_results(path), content):
        return
    number = 1
    while (kept := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        if kept.is_file() and filecmp.cmp(path, kept, shallow=False):
            return
        number += 1
    try:
        shutil.copy2(path, kept)
    except OSError as error:
        raise ResourceError(
            f"test_results_path: {path} holds other results, which cannot be kept as {kept} "
            f"({error.strerror}); give another path."
        ) from error
    say(f"{path} held the results of another test; they are now in {kept}.")


def _is_same_test(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    """Whether both are of the same weights and clips; results of before named no folder of them."""
    if _test_of(before) != _test_of(now):
        return False
    return before.get("data_root", now["data_root"]) == now["data_root"]


def _test_of(content: Mapping[str, Any] | None) -> object:
    """What was tested by what; a new object where that is no content of results.json."""
    try:
        clips = [(p["video"], p.get("start"), p.get("end")) for p in content["predictions"]]
        return content["checkpoint_sha256"], content["decoder"], clips
    except (LookupError, TypeError, AttributeError):
        return object()
