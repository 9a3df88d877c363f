"""Predictions as JSON: one entry per video, each on its own line."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.core.errors import ResourceError
from autox_video.core.files import json_text
from autox_video.prediction.outputs.output_format import (
    OUTPUTS,
    Header,
    OutputFormat,
    StoredPredictions,
    finite,
    header_of,
    not_predictions,
    segment_of,
)
from autox_video.prediction.timeline import TimelineOptions, timeline
from autox_video.prediction.video_prediction import (
    SCORE_DIGITS,
    VideoPrediction,
    Windows,
    rounded,
    rounded_seconds,
)


def write(
    path: Path,
    predictions: Iterable[VideoPrediction],
    header: Header,
    options: TimelineOptions | None,
) -> None:
    """Write a JSON object with the header and the list `predictions`."""
    record = header.record()
    if options is not None:
        record["timeline"] = asdict(options)
    with open(path, "w", encoding="utf-8") as file:
        file.write(json_text(record)[:-1] + ', "predictions": [')
        for number, prediction in enumerate(predictions):
            file.write("," if number else "")
            file.write("\n" + json_text(finite(_entry(prediction, options))))
        file.write("\n]}\n")


def _entry(prediction: VideoPrediction, options: TimelineOptions | None) -> dict[str, Any]:
    name, score = next(iter(prediction.top()), (None, None))
    label, seconds, windows = prediction.label, prediction.seconds, prediction.windows
    entry: dict[str, Any] = {
        "video": prediction.video,
        **_part(prediction.segment),
        "status": "ok" if prediction.is_readable else "unreadable",
        "error": prediction.error,
        "class": name,
        "score": score,
        "scores": rounded(prediction.scores) if prediction.is_readable else None,
        "seconds": None if seconds is None else rounded_seconds(seconds),
    }
    if label is not None:
        entry["label"] = list(map(int, label)) if isinstance(label, tuple) else int(label)
    if windows is not None:
        rows = zip(windows.starts, windows.ends, windows.scores, strict=True)
        entry["windows"] = [
            {"start": rounded_seconds(a), "end": rounded_seconds(b), "scores": rounded(scores)}
            for a, b, scores in rows
        ]
    if options is not None:
        entry["timeline"] = [
            {
                "class": segment.name,
                "start": rounded_seconds(segment.start),
                "end": rounded_seconds(segment.end),
                "score": round(segment.score, SCORE_DIGITS),
            }
            for segment in timeline(prediction, options)
        ]
    return entry


def _part(segment: tuple[float, float] | None) -> dict[str, float | None]:
    """Return `start` and `end` of a part of a video; an `end` of None is the end of the video."""
    return {} if segment is None else dict(zip(("start", "end"), segment, strict=True))


def read(path: Path) -> StoredPredictions:
    """Read a file that `write` wrote.

    Raises:
        ConfigError: the file is damaged, from a later version, or not a file of predictions.
        ResourceError: the file cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise not_predictions(path) from error
    header = header_of(content, path)
    try:
        predictions = [_prediction(entry, header.classes) for entry in content["predictions"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise not_predictions(path) from error
    return StoredPredictions(header, predictions)


def _prediction(entry: Mapping[str, Any], classes: tuple[str, ...]) -> VideoPrediction:
    label, windows = entry.get("label"), entry.get("windows")
    return VideoPrediction(
        video=str(entry["video"]),
        classes=classes,
        scores=None if entry["scores"] is None else _scores([entry["scores"]], classes)[0],
        seconds=None if entry["seconds"] is None else float(entry["seconds"]),
        windows=None if windows is None else _windows(windows, classes),
        error=entry["error"],
        label=tuple(map(int, label)) if isinstance(label, list) else label,
        segment=segment_of(entry.get("start"), entry.get("end")),
    )


def _windows(rows: list[Mapping[str, Any]], classes: tuple[str, ...]) -> Windows:
    starts, ends = (np.array([row[key] for row in rows], float) for key in ("start", "end"))
    return Windows(starts, ends, _scores([row["scores"] for row in rows], classes))


def _scores(rows: list[list[float | None]], classes: tuple[str, ...]) -> np.ndarray:
    return np.array(rows, dtype=float).reshape(len(rows), len(classes))


OUTPUTS.register(".json")(OutputFormat(write, read))
