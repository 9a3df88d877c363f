"""The CSV of predictions."""

import csv

from autox_video.prediction.outputs.output_files import write_predictions
from autox_video.prediction.timeline import TimelineOptions
from tests.prediction.outputs.examples import (
    CLASSES,
    NAMES,
    SINGLE,
    clip,
    long,
    unreadable,
)


def rows(path, predictions, timeline=None):
    write_predictions(path, predictions, SINGLE, timeline)
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file))


def test_a_row_per_video_with_the_score_of_each_class(tmp_path):
    part = clip(segment=(1.5, float("inf")))
    predictions = [clip(), unreadable(), long(error="cut off"), part]
    head, *rest = rows(tmp_path / "x.csv", predictions)
    assert rest.pop()[:3] == ["plain.mp4", "1.5", "4.0"]
    assert head == [
        *("video", "start", "end", "class", "score", "error"),
        *(f"score:{name}" for name in CLASSES),
    ]
    assert rest == [
        ["plain.mp4", "0.0", "2.5", CLASSES[2], "0.625", "", "0.25", "0.125", "0.625"],
        ["torn.mp4", "", "", "", "", 'it is "torn",\nreally', "", "", ""],
        [
            "long.mp4",
            "0.0",
            "4.0",
            CLASSES[0],
            "0.541667",
            "cut off",
            "0.541667",
            "0.333333",
            "0.125",
        ],
    ]


def test_a_row_per_segment(tmp_path):
    options = TimelineOptions(min_seconds=0, smoothing=0)
    predictions = [long(), unreadable(), clip(scores=(0.4, 0.3, 0.3), error="cut off")]
    head, *rest = rows(tmp_path / "x.csv", predictions, options)
    assert head == ["video", "start", "end", "class", "score", "error"]
    assert rest == [
        ["long.mp4", "0.0", "2.0", CLASSES[0], "0.75", ""],
        ["long.mp4", "3.0", "4.0", CLASSES[1], "0.75", ""],
        ["torn.mp4", "", "", "", "", 'it is "torn",\nreally'],
        ["plain.mp4", "", "", "", "", "cut off"],
    ]


def test_every_name_comes_back(tmp_path):
    read = [row[0] for row in rows(tmp_path / "x.csv", [clip(name) for name in NAMES])[1:]]
    assert read[:-1] == list(NAMES[:-1])
    assert read[-1] == "\\ud800.mp4"  # no file has this name: it has no bytes
