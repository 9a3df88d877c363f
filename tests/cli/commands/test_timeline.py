"""`autox-video timeline`: segments of stored predictions."""

import csv
import json

import numpy as np
import pytest

from autox_video.cli.main import main
from autox_video.prediction.outputs.output_files import write_predictions
from autox_video.prediction.video_prediction import VideoPrediction, Windows


def recording(name, classes=("run", "sit")):
    """Ten windows of a second each: five that show the first class, then five of the second."""
    scores = np.array([[0.9, 0.1]] * 5 + [[0.4, 0.6]] * 5)
    starts = np.arange(10.0)
    return VideoPrediction(name, classes, scores.mean(0), 10.0, Windows(starts, starts + 1, scores))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torn = VideoPrediction("torn.mp4", ("run", "sit"), None, error="it is empty.")
    for name in ("many.json", "many.parquet"):
        write_predictions(
            name, [recording("a.mp4"), torn, recording("b.mp4")], {"task": "single_label"}
        )
    write_predictions("one.json", [recording("a.mp4")], {"task": "single_label"})
    write_predictions("sets.json", [recording("a.mp4")], {"task": "multi_label"})
    return tmp_path


def run(capsys, *words):
    code = main(["timeline", *words, "--smoothing", "0"])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


@pytest.mark.parametrize("name", ["many.json", "many.parquet"])
def test_the_segments_of_each_video(name, place, capsys):
    code, out, err = run(capsys, name)
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[0][:5] == ["4", "segments", "in", "3", "videos"]
    assert ["a.mp4", "0.00", "5.00", "run", "0.900"] in rows
    assert ["b.mp4", "5.00", "10.00", "sit", "0.600"] in rows
    assert "torn.mp4: unreadable: it is empty." in err


def test_another_threshold(place, capsys):
    code, out, _ = run(capsys, "one.json", "--threshold", "0.7")
    assert code == 0 and out.startswith("1 segment in 1 video\n")
    assert "run" in out and "sit" not in out
    assert (
        "0 segments in 1 video with a probability of at least 0.95"
        in run(capsys, "one.json", "--threshold", "0.95")[1]
    )
    # Below the threshold both at once: the second class from 0.8 of it.
    out = run(capsys, "sets.json", "--threshold", "0.4")[1]
    assert ["0.00", "10.00", "run", "0.650"] in [line.split() for line in out.splitlines()]


def test_files_are_written_and_not_overwritten_unasked(place, capsys):
    code, out, _ = run(capsys, "many.parquet", "--out", "x.csv")
    assert code == 0 and "Written to x.csv." in out
    with open("x.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[2] == ["a.mp4", "5.0", "10.0", "sit", "0.6", ""]
    assert rows[3] == ["torn.mp4", "", "", "", "", "it is empty."]
    code, _, err = run(capsys, "many.json", "--out", "x.csv", "--threshold", "0.7")
    assert code == 2 and "x.csv exists already" in err
    assert run(capsys, "many.json", "--out", "x.csv", "--overwrite", "--threshold", "0.7")[0] == 0
    assert len((place / "x.csv").read_text().splitlines()) == 4
    assert run(capsys, "one.json", "--out", "x.srt")[0] == 0
    assert "00:00:05,000 --> 00:00:10,000\nsit (0.60)" in (place / "x.srt").read_text()
    assert (
        run(capsys, "many.parquet", "--out", "x.json", "--min-seconds", "5", "--threshold", "0.7")[
            0
        ]
        == 0
    )
    content = json.loads((place / "x.json").read_bytes())
    assert content["about"] == {"task": "single_label", "overlaps": False}
    assert [len(entry["timeline"]) for entry in content["predictions"]] == [1, 0, 1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("absent.json", "there is no file absent.json"),
        ("x.csv", "cannot be read again"),
        ("one.json --threshold 2", "threshold: 2"),
        ("one.json --threshold high", "invalid float value"),
        ("one.json --min-seconds -1 --threshold -1", "min_seconds: -1"),
        ("one.json --out x.parquet", "hold windows, not segments"),
        ("one.json --out x.doc", "suffix must be"),
        ("many.json --out x.srt", "one video"),
        ("", "arguments are required: PREDICTIONS"),
    ],
)
def test_mistakes_get_a_sentence(words, said, place, capsys):
    code, _, err = run(capsys, *words.split())
    assert code == 2 and said in err
    assert not list(place.glob("x.*"))


def test_many_segments_are_counted(place, capsys):
    write_predictions("x.json", [recording(f"{n}.mp4") for n in range(70)], {})
    code, out, _ = run(capsys, "x.json")
    assert code == 0 and out.startswith("140 segments in 70 videos")
    assert "40 more segments; --out x.csv writes all." in out
