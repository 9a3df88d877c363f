"""The JSON of predictions."""

import json
from dataclasses import replace

import numpy as np

from autox_video.prediction.outputs.output_files import write_predictions
from autox_video.prediction.timeline import TimelineOptions
from tests.prediction.outputs.examples import (
    CLASSES,
    SINGLE,
    clip,
    long,
    of_all_kinds,
    unreadable,
)

RAW = TimelineOptions(min_seconds=0, smoothing=0)


def written(path, predictions, timeline=None, about=SINGLE):
    write_predictions(path, predictions, about, timeline)
    return json.loads(path.read_bytes())


def test_one_entry_per_video(tmp_path):
    content = written(tmp_path / "x.json", [clip(label=1), unreadable(), long()])
    assert (content["schema"], content["classes"]) == (1, list(CLASSES))
    assert content["about"] == {**SINGLE, "overlaps": False}
    first, second, third = content["predictions"]
    assert first == {
        "video": "plain.mp4",
        "status": "ok",
        "error": None,
        "class": CLASSES[2],
        "score": 0.625,
        "scores": [0.25, 0.125, 0.625],
        "seconds": 2.5,
        "label": 1,
    }
    assert second["status"] == "unreadable" and second["error"] == 'it is "torn",\nreally'
    assert second["class"] is second["score"] is second["scores"] is second["seconds"] is None
    assert third["windows"][2] == {"start": 2, "end": 4, "scores": [0.125, 0.75, 0.125]}
    assert "timeline" not in third and "label" not in third and "timeline" not in content


def test_the_timeline_if_asked(tmp_path):
    content = written(tmp_path / "x.json", [long(), unreadable()], RAW)
    # 0 to 2 s: 0.75; 2 to 3 s: (0.75 + 0.125) / 2, below the threshold; then the last window.
    assert content["predictions"][0]["timeline"] == [
        {"class": CLASSES[0], "start": 0, "end": 2, "score": 0.75},
        {"class": CLASSES[1], "start": 3, "end": 4, "score": 0.75},
    ]
    assert content["predictions"][1]["timeline"] == []
    assert content["timeline"]["threshold"] == 0.5


def test_names_come_back_and_the_file_shows_only_what_can_be_printed(tmp_path):
    content = written(tmp_path / "x.json", of_all_kinds())
    assert [e["video"] for e in content["predictions"]] == [p.video for p in of_all_kinds()]
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert {c for c in text if not c.isprintable()} == {"\n"}


def test_numbers_are_never_nan(tmp_path):
    odd = replace(clip(), scores=np.array([np.nan, 0.5, np.inf]))
    content = written(tmp_path / "x.json", [odd], about={"loss": float("nan"), "a": [1e400]})
    assert "NaN" not in (tmp_path / "x.json").read_text()
    assert "Infinity" not in (tmp_path / "x.json").read_text()
    assert content["predictions"][0]["scores"] == [None, 0.5, None]
    assert content["about"] == {"loss": None, "a": [None], "overlaps": False}
