"""Where predictions are wrong."""

import csv

import pytest

from autox_video.core.errors import ResourceError
from autox_video.evaluation.mistakes import (
    ClassCounts,
    class_counts,
    confusions,
    outcomes,
    write_mistakes,
)
from autox_video.evaluation.results import Prediction
from autox_video.tasks.task import TASKS

SINGLE, MULTI = TASKS["single_label"], TASKS["multi_label"]
CLASSES = ("run", "jump", "sit")
PREDICTIONS = [
    Prediction("right.mp4", 0, (0.9, 0.05, 0.05)),
    Prediction("a.mp4", 0, (0.3, 0.6, 0.1)),
    Prediction("confident.mp4", 0, (0.05, 0.9, 0.05), segment=(1.5, float("inf"))),
    Prediction("c.mp4", 2, (0.7, 0.2, 0.1), segment=(0.0, 2.0)),
    Prediction("bad.mp4", 2, None, "cut off"),
    Prediction("unlabelled.mp4", None, (0.7, 0.2, 0.1)),
]


def test_classes_are_counted_lowest_recall_first():
    assert class_counts(outcomes(SINGLE, PREDICTIONS, CLASSES)) == [
        ClassCounts(2, 1, 0, 0),
        ClassCounts(0, 3, 2, 1),
    ]


def test_confusions_are_pairs_of_classes():
    found = outcomes(SINGLE, PREDICTIONS, CLASSES)
    assert confusions(found) == [(0, 1, 2)]
    assert confusions(found[:2]) == [(0, 1, 1)]  # the only mistake counts
    assert confusions(found[:1]) == []


def test_mistakes_are_listed_most_confident_first(tmp_path):
    path = tmp_path / "mistakes.csv"
    assert write_mistakes(path, outcomes(SINGLE, PREDICTIONS, CLASSES), CLASSES) == 3
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["path", "start", "end", "label", "predicted", "score"],
        ["confident.mp4", "1.5", "", "run", "jump", "0.9000"],
        ["c.mp4", "0.0", "2.0", "sit", "run", "0.7000"],
        ["a.mp4", "", "", "run", "jump", "0.6000"],
    ]


def test_of_several_classes_the_worst_decision_counts(tmp_path):
    predictions = [
        Prediction("a.mp4", (0, 1), (0.9, 0.2, 0.6)),
        Prediction("b.mp4", (0,), (0.01, 0.2, 0.1)),
        Prediction("right.mp4", (0,), (0.8, 0.2, 0.1)),
        Prediction("none.mp4", (), (0.2, 0.2, 0.7)),
    ]
    path = tmp_path / "mistakes.csv"
    assert write_mistakes(path, outcomes(MULTI, predictions, CLASSES), CLASSES) == 3
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [(row[0], *row[3:]) for row in rows] == [
        ("b.mp4", "run", "", "0.9900"),
        ("a.mp4", "run;jump", "run;sit", "0.8000"),
        ("none.mp4", "", "sit", "0.7000"),
    ]
    assert confusions(outcomes(MULTI, predictions, CLASSES)) == []


def test_names_that_are_not_utf8_and_a_folder_that_cannot_be_written(tmp_path):
    odd = Prediction("\udcff\n.mp4", 0, (0.1, 0.9, 0.0))
    write_mistakes(tmp_path / "m.csv", outcomes(SINGLE, [odd], CLASSES), CLASSES)
    assert b"\xff" in (tmp_path / "m.csv").read_bytes()
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError):
        write_mistakes(tmp_path / "file" / "m.csv", [], CLASSES)
