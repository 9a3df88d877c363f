"""What a test shows."""

import math

import pytest

from autox_video.evaluation.calibrated_predictions import Calibration
from autox_video.evaluation.results import Prediction, Provenance, results
from autox_video.jobs.test_report import share_text, show_report
from autox_video.tasks.task import TASKS

SINGLE, MULTI = TASKS["single_label"], TASKS["multi_label"]
LOGS = (math.log(0.9), math.log(0.1))


def report(capsys, predictions, classes, task=SINGLE, calibration=None):
    provenance = Provenance("c", "w", "s", "pyav", "d", tuple(classes))
    content = results(task, predictions, provenance, calibration)
    show_report(task, content, predictions)
    shown = capsys.readouterr()
    return [" ".join(line.split()) for line in shown.out.splitlines()], shown.err, content


def one_hot(label, classes, score=0.9):
    rest = (1 - score) / (classes - 1)
    return tuple(score if index == label else rest for index in range(classes))


def clip(number, label, predicted, classes=3):
    return Prediction(f"{number}.mp4", label, one_hot(predicted, classes))


def test_few_clips_are_counted(capsys):
    predictions = [clip(0, 0, 0), clip(1, 1, 1), clip(2, 2, 1)]
    lines, _, _ = report(capsys, predictions, ("run", "jump", "sit"))
    assert "top-1 2 of 3 0.21 to 0.94" in lines
    assert not any(line.startswith("top-5") for line in lines)  # it would always be 1
    assert [line for line in lines if line.startswith(("run", "jump", "sit"))] == [
        "sit 1 - 0 of 1",
        "run 1 1 of 1 1 of 1",
        "jump 1 1 of 2 1 of 1",
    ]
    assert "`sit` predicted as `jump`: 1 of 1 clip" in lines
    assert (share_text(29, 29), share_text(15, 30)) == ("29 of 29", "0.50")


def test_the_confusions_that_occur_most_are_shown(capsys):
    pairs = [(0, 0)] * 20 + [(0, 1)] * 7 + [(1, 1)] * 30 + [(2, 0)] * 2 + [(2, 1)] + [(2, 2)] * 9
    predictions = [clip(n, true, predicted) for n, (true, predicted) in enumerate(pairs)]
    lines, _, _ = report(capsys, predictions, "abc")
    confused = [line for line in lines if "predicted as" in line]
    assert confused == [
        "`a` predicted as `b`: 7 of 27 clips",
        "`c` predicted as `a`: 2 of 12 clips",
    ]


def test_what_is_perfect_is_said_in_a_line(capsys):
    predictions = [clip(n, n % 3, n % 3) for n in range(9)]
    lines, err, _ = report(capsys, predictions, "abc")
    assert "All 9 clips are predicted correctly." in lines and err == ""
    assert not any("recall" in line or "predicted as" in line for line in lines)


def test_many_classes_are_counted(capsys):
    predictions = [clip(n, n, n if n > 3 else 5, classes=40) for n in range(40)]
    lines, _, _ = report(capsys, predictions, [f"class{n}" for n in range(40)])
    rows = [line for line in lines if line.startswith("class") and line[5].isdigit()]
    assert len(rows) == 10 and rows[0].startswith("class0 ")
    assert "30 more classes: recall 1 of 1 or better" in lines
    assert any(line.startswith("top-5") for line in lines)


def test_calibration_is_a_line(capsys):
    raw = [Prediction(f"{n}.mp4", int(n > 3), (0.9, 0.1), outputs=LOGS) for n in range(5)]
    calibration = Calibration(2.0, 10, 0.3, 0.1)
    predictions = calibration.applied(raw)
    lines, _, content = report(
        capsys, predictions, ("run", "jump"), calibration=calibration.record(raw)
    )
    (line,) = (line for line in lines if line.startswith("Calibration error"))
    assert line.startswith("Calibration error 0.050 (0.100 without temperature 2, ")
    assert "10 clips of validation" in line
    assert content["metrics"]["intervals"]["top1"] == pytest.approx([0.3755, 0.9638], abs=1e-4)
    none = Calibration(1.0, 20, 0.3, 0.3, "cross-validation")
    lines, _, _ = report(capsys, raw, ("run", "jump"), calibration=none.record(raw))
    (line,) = (line for line in lines if line.startswith("Calibration error"))
    assert "20 clips of cross-validation show no need for it" in line


def test_clips_of_several_classes(capsys):
    predictions = [
        Prediction("a.mp4", (0,), (0.9, 0.8)),
        Prediction("b.mp4", (1,), (0.1, 0.4)),
    ]
    lines, _, _ = report(capsys, predictions, ("run", "jump"), MULTI)
    assert "mAP 0.75" in " ".join(lines) and "top-1" not in " ".join(lines)
    assert "jump 1 0 of 1 0 of 1" in lines and "run 1 1 of 1 1 of 1" in lines
    assert not any("predicted as" in line for line in lines)


def test_unreadable_clips_are_a_warning(capsys):
    bad = Prediction("bad.mp4", 0, None, "cut off.")
    lines, err, _ = report(capsys, [clip(0, 0, 0), bad, bad], "abc")
    assert err == "2 clips cannot be read, such as bad.mp4: cut off; the results list them all.\n"
    assert "Test on 1 clip, 2 more unreadable" in lines


def test_without_labels_there_are_no_metrics(capsys):
    lines, err, _ = report(capsys, [Prediction("a.mp4", None, (0.9, 0.1))], "ab")
    assert lines == [] and err == ""
