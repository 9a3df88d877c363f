"""Predictions as CSV: one row per video, or per segment if a timeline is asked for."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from autox_video.prediction.outputs.output_format import (
    KEEP_BYTES,
    OUTPUTS,
    Header,
    OutputFormat,
)
from autox_video.prediction.timeline import TimelineOptions, timeline
from autox_video.prediction.video_prediction import (
    SCORE_DIGITS,
    VideoPrediction,
    rounded,
    rounded_seconds,
)

COLUMNS = ("video", "start", "end", "class", "score", "error")
SCORE_PREFIX = "score:"
"""What the name of a column with the scores of a class begins with."""


def write(
    path: Path,
    predictions: Iterable[VideoPrediction],
    header: Header,
    options: TimelineOptions | None,
) -> None:
    """Write a row per video with the score of each class, or a row per segment.

    A video that could not be read has a row with its error. So has a video without segments of
    which a part could not be read.
    """
    with open(path, "w", encoding="utf-8", errors=KEEP_BYTES, newline="") as file:
        writer = csv.writer(file)
        classes = () if options is not None else header.classes
        writer.writerow([*COLUMNS, *(f"{SCORE_PREFIX}{name}" for name in classes)])
        for prediction in predictions:
            if options is None:
                writer.writerow(_video_row(prediction))
            else:
                writer.writerows(_segment_rows(prediction, options))


def _video_row(prediction: VideoPrediction) -> list[Any]:
    if not prediction.is_readable:
        return [prediction.video, "", "", "", "", prediction.error, *[""] * len(prediction.classes)]
    start = rounded_seconds(prediction.segment[0] if prediction.segment is not None else 0)
    end = "" if prediction.seconds is None else rounded_seconds(start + prediction.seconds)
    ((name, score),) = prediction.top()
    scores = rounded(prediction.scores)
    return [prediction.video, start, end, name, score, prediction.error or "", *scores]


def _segment_rows(prediction: VideoPrediction, options: TimelineOptions) -> Iterator[list[Any]]:
    segments = timeline(prediction, options)
    for segment in segments:
        times = (rounded_seconds(segment.start), rounded_seconds(segment.end))
        score = round(segment.score, SCORE_DIGITS)
        yield [prediction.video, *times, segment.name, score, prediction.error or ""]
    if not segments and prediction.error is not None:
        yield [prediction.video, "", "", "", "", prediction.error]


OUTPUTS.register(".csv")(OutputFormat(write))
