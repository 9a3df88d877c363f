"""Predictions → results.json; results that are there already, and what becomes of them."""

import json

import numpy as np
import pytest

from autox_video.core.files import write_json
from autox_video.data.clip_table import ClipTable
from autox_video.evaluation.results import (
    Prediction,
    Provenance,
    is_of_clips,
    keep_other_results,
    mistakes_file,
    results,
    scored,
)
from autox_video.tasks.task import TASKS

SINGLE, MULTI = TASKS["single_label"], TASKS["multi_label"]
PROVENANCE = Provenance("w/config.py", "w/best.pth", "ab" * 32, "pyav", "d", ("run", "jump", "sit"))


def test_results_hold_one_record_per_clip_in_order(tmp_path):
    predictions = [
        Prediction("a b.mp4", 1, (0.2, 0.7, 0.1)),
        Prediction("torn.mp4", 0, None, "torn.mp4: cannot be decoded."),
        Prediction("c.mp4", 2, (0.5, 0.3, 0.2)),
    ]
    path = tmp_path / "results.json"
    write_json(path, results(SINGLE, predictions, PROVENANCE))
    content = json.loads(path.read_text())
    assert content["schema"] == 1
    assert content["classes"] == ["run", "jump", "sit"]
    assert content["metrics"]["top1"] == 0.5
    assert (content["metrics"]["clips"], content["metrics"]["unreadable"]) == (2, 1)
    assert [p["video"] for p in content["predictions"]] == ["a b.mp4", "torn.mp4", "c.mp4"]
    assert content["predictions"][0] == {
        "video": "a b.mp4",
        "status": "ok",
        "error": None,
        "label": 1,
        "predicted": 1,
        "class": "jump",
        "score": 0.7,
        "scores": [0.2, 0.7, 0.1],
    }
    torn = content["predictions"][1]
    assert (torn["status"], torn["predicted"], torn["scores"]) == ("unreadable", None, None)


def test_metrics_are_null_without_labels():
    content = results(SINGLE, [Prediction("a.mp4", None, (1.0, 0.0, 0.0))], PROVENANCE)
    assert content["metrics"] is None


def test_metrics_are_null_when_no_labelled_clip_could_be_read():
    content = results(SINGLE, [Prediction("a.mp4", 1, None, "torn")], PROVENANCE)
    assert content["metrics"] is None


def test_scored_leaves_out_what_cannot_be_measured():
    predictions = [Prediction("a", None, (0.5, 0.5)), Prediction("b", 1, (0.1, 0.9))]
    scores, labels = scored(predictions)
    assert scores.tolist() == [[0.1, 0.9]]
    assert labels.tolist() == [1]


def test_records_of_several_classes_a_clip():
    predictions = [
        Prediction("a.mp4", (0, 2), (0.6, 0.1, 0.9), None, (1.5, np.inf)),
        Prediction("b.mp4", (), (0.5, 0.4, 0.1)),
        Prediction("c.mp4", (1,), None, "c.mp4: torn."),
    ]
    content = results(MULTI, predictions, PROVENANCE)
    first, second, third = content["predictions"]
    assert first == {
        "video": "a.mp4",
        "start": 1.5,
        "end": None,
        "status": "ok",
        "error": None,
        "label": [0, 2],
        "predicted": [2, 0],
        "class": ["sit", "run"],
        "score": [0.9, 0.6],
        "scores": [0.6, 0.1, 0.9],
    }
    assert (second["label"], second["predicted"]) == ([], [0])
    assert (third["predicted"], third["status"]) == (None, "unreadable")
    assert content["metrics"]["average_precision"] == {"run": 1.0, "jump": None, "sit": 1.0}
    assert content["metrics"]["mAP"] == 1.0
    assert (content["metrics"]["clips"], content["metrics"]["unreadable"]) == (2, 1)
    json.dumps(content, allow_nan=False)


def test_clips_of_several_classes_without_labels_have_no_metrics():
    prediction = Prediction("a.mp4", None, (0.6, 0.1, 0.9))
    content = results(MULTI, [prediction], PROVENANCE)
    assert content["metrics"] is None
    assert content["predictions"][0]["class"] == ["sit", "run"]


def content(*predictions, sha="s", decoder="pyav", root="/d"):
    return results(SINGLE, predictions, Provenance("c", "w", sha, decoder, root, ("a", "b")))


A, B = Prediction("a.mp4", 0, (0.9, 0.1)), Prediction("b.mp4", 1, (0.9, 0.1))
PART = Prediction("a.mp4", 0, (0.9, 0.1), segment=(1.0, float("inf")))


def test_results_of_the_same_test_are_replaced(tmp_path):
    path = tmp_path / "r.json"
    keep_other_results(path, content(A, B))
    path.write_text(json.dumps(content(A, B)))
    keep_other_results(path, content(A, B))
    assert list(tmp_path.iterdir()) == [path]


def test_results_of_before_name_no_folder_of_their_clips(tmp_path):
    path = tmp_path / "r.json"
    before = content(A, B)
    del before["data_root"]
    path.write_text(json.dumps(before))
    keep_other_results(path, content(A, B))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "other",
    [
        json.dumps(content(A, B, sha="other")),
        json.dumps(content(A)),
        json.dumps(content(A, B, decoder="decord")),
        json.dumps(content(PART, B)),
        json.dumps(content(A, B, root="/night")),
        '{"name": "mine"}',
        "[1]",
        "no JSON",
    ],
)
def test_anything_else_is_kept_under_another_name(other, tmp_path, capsys):
    path = tmp_path / "r.json"
    (tmp_path / "r-1.json").write_text("kept before")
    path.write_text(other)
    keep_other_results(path, content(A, B))
    assert (tmp_path / "r-2.json").read_text() == other
    assert (tmp_path / "r-1.json").read_text() == "kept before"
    assert f"they are now in {tmp_path / 'r-2.json'}" in capsys.readouterr().out
    keep_other_results(path, content(A, B))
    assert len(list(tmp_path.iterdir())) == 3


def test_mistakes_are_kept_with_the_results_they_belong_to(tmp_path):
    path, other = tmp_path / "results.json", json.dumps(content(A, B, sha="other"))
    path.write_text(other)
    (tmp_path / "mistakes.csv").write_text("of the other")
    keep_other_results(path, content(A, B))
    assert (tmp_path / "results-1.json").read_text() == other
    assert (tmp_path / "results-1-mistakes.csv").read_text() == "of the other"
    assert not (tmp_path / "mistakes.csv").exists()
    path.write_text(json.dumps(content(A, B)))
    (tmp_path / "mistakes.csv").write_text("of the same test")
    keep_other_results(path, content(A, B))
    assert not (tmp_path / "mistakes.csv").exists()


def test_a_list_of_mistakes_without_results_is_kept(tmp_path):
    (tmp_path / "r-mistakes.csv").write_text("mine")
    keep_other_results(tmp_path / "r.json", content(A, B))
    assert (tmp_path / "r-1-mistakes.csv").read_text() == "mine"
    assert mistakes_file(tmp_path / "results.json") == tmp_path / "mistakes.csv"


def test_whether_results_are_of_these_clips():
    found = json.loads(json.dumps(content(A, B)))
    assert is_of_clips(found, ClipTable(("a.mp4", "b.mp4"), (0, 1)))
    assert not is_of_clips(found, ClipTable(("a.mp4", "b.mp4"), (1, 1)))
    assert not is_of_clips(found, ClipTable(("a.mp4",), (0,)))
    assert not is_of_clips(found, ClipTable(("a.mp4", "b.mp4"), None))
    part = json.loads(json.dumps(content(PART)))
    assert is_of_clips(part, ClipTable(("a.mp4",), (0,), ((1.0, float("inf")),)))
    assert not is_of_clips(part, ClipTable(("a.mp4",), (0,), ((2.0, float("inf")),)))
    several = Prediction("a.mp4", (0, 1), (0.9, 0.8))
    found = json.loads(json.dumps(results(MULTI, [several], PROVENANCE)))
    assert is_of_clips(found, ClipTable(("a.mp4",), ((0, 1),)))
