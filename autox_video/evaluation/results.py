"""Compute metrics and results.json from predictions, and keep the results of other tests."""

import filecmp
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.core.console import say, short_path
from autox_video.core.errors import ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.data.label_array import label_array
from autox_video.run.work_dir import MISTAKES, RESULTS
from autox_video.tasks.task import Label, Task
from autox_video.video.sampling import LEAST_SEEN_SHARE

SCHEMA = 1
SCORE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Prediction:
    """The prediction for one clip."""

    video: str
    """The path of the clip as given in the list."""
    label: Label | None
    """The true class, or all true classes; None if the list has no label."""
    scores: tuple[float, ...] | None
    """The probability of each class; None if the clip could not be read."""
    error: str | None = None
    """Why the clip could not be read; None if it was read."""
    segment: tuple[float, float] | None = None
    """Start and end of the clip in its video, in seconds; None for the whole video."""
    seen: float = 1.0
    """Share of the clip's duration that the model saw."""
    outputs: tuple[float, ...] | None = None
    """The model's outputs before `Task.probabilities`."""
    seconds: float | None = None
    """Length of the clip in seconds; None if it could not be read."""

    @property
    def is_partly_seen(self) -> bool:
        """Whether the model saw only a part of the clip because the clip is long."""
        return self.scores is not None and self.seen < LEAST_SEEN_SHARE

    def record(self, task: Task, classes: Sequence[str]) -> dict[str, Any]:
        """Return the clip's entry in results.json.

        A segment of a video has `start` and `end` in seconds; an `end` of null stands for the end
        of the video. If the model saw less than four fifths of the clip, `seen` is the share that
        it saw.
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
    """Return scores (N, K) and labels of the clips that were read and have a label."""
    known = [p for p in predictions if p.scores is not None and p.label is not None]
    scores = np.array([p.scores for p in known], dtype=np.float64)
    if not known:
        return scores, np.empty(0, dtype=np.int64)
    labels = label_array([p.label for p in known], scores.shape[1])
    return scores, labels.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of predictions; the fields have the same names in results.json."""

    config: str
    checkpoint: str
    checkpoint_sha256: str
    decoder: str
    """The decoder that read the clips."""
    data_root: str
    """The folder or address that the clips' paths are relative to."""
    classes: tuple[str, ...]


def results(
    task: Task,
    predictions: Sequence[Prediction],
    provenance: Provenance,
    calibration: dict | None = None,
) -> dict[str, Any]:
    """Return the content of results.json: the metrics, and one entry per clip in list order.

    Args:
        task: the task of the model.
        predictions: the predictions, with calibrated probabilities if there is a calibration.
        provenance: the origin of the predictions.
        calibration: how the probabilities were calibrated; None for uncalibrated probabilities.
    """
    classes = provenance.classes
    return {
        "schema": SCHEMA,
        **provenance_entries(provenance),
        "classes": list(classes),
        "metrics": _metrics(task, predictions, classes),
        "calibration": calibration,
        "predictions": [p.record(task, classes) for p in predictions],
    }


def provenance_entries(provenance: Provenance) -> dict[str, Any]:
    """Return the entries of results.json that say where predictions come from."""
    return {name: getattr(provenance, name) for name in Provenance.__slots__}


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
    """Return the content of a results.json file; None if the file is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def is_of_clips(content: Mapping[str, Any], clips: ClipTable) -> bool:
    """Return whether a results.json file has exactly these clips and labels, in this order."""
    nothing = [None] * len(clips)
    rows = zip(clips.paths, clips.labels or nothing, clips.segments or nothing, strict=True)
    wanted = [{**_identity(path, part), "label": _listed(label)} for path, label, part in rows]
    return [_clip(each) for each in content["predictions"]] == [_clip(each) for each in wanted]


def _clip(record: Mapping[str, Any]) -> tuple:
    return record["video"], record["label"], record.get("start"), record.get("end")


def keep_other_results(path: Path, content: Mapping[str, Any]) -> None:
    """Copy results that are about to be replaced to a new name, unless they are from the same test.

    The list of mistakes is renamed to match. If the results need not be kept, the list is removed.

    Args:
        path: the file to which `content` is about to be written.
        content: the new content of results.json.

    Raises:
        ResourceError: the existing results cannot be kept.
    """
    mistakes, is_there = mistakes_file(path), path.is_file()
    if is_there and _is_same_test(read_results(path), content):
        mistakes.unlink(missing_ok=True)
        return
    if not (is_there or mistakes.is_file()):
        return
    for kept in (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in count(1)):
        if is_there and kept.is_file() and filecmp.cmp(path, kept, shallow=False):
            mistakes.unlink(missing_ok=True)
            return
        if not (kept.exists() or mistakes_file(kept).exists()):
            break
    try:
        if mistakes.is_file():
            mistakes.replace(mistakes_file(kept))
        if not is_there:
            return
        shutil.copy2(path, kept)
    except OSError as error:
        raise ResourceError(
            f"test_results_path: {path} holds other results, which cannot be kept as {kept} "
            f"({error.strerror}); give another path."
        ) from error
    say(f"{short_path(path)} held the results of another test; they are now in {short_path(kept)}.")


def mistakes_file(results_file: Path) -> Path:
    """Return the path of the list of mistakes that belongs to a results file in the same folder."""
    is_usual = results_file.name == RESULTS
    return results_file.with_name(MISTAKES if is_usual else f"{results_file.stem}-{MISTAKES}")


def _is_same_test(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    """Return whether two tests used the same weights and clips; older results lack data_root."""
    if _test_of(before) != _test_of(now):
        return False
    return before.get("data_root", now["data_root"]) == now["data_root"]


def _test_of(content: Mapping[str, Any] | None) -> object:
    """Return a value that identifies a test; the value is unique if the file is invalid."""
    try:
        clips = [(p["video"], p.get("start"), p.get("end")) for p in content["predictions"]]
        return content["checkpoint_sha256"], content["decoder"], clips
    except (LookupError, TypeError, AttributeError):
        return object()
