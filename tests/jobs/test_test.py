"""The second job: what is refused, and the table of figures."""

import math
from pathlib import Path

import pytest

from autox_video.core.errors import CheckpointError, ListingError
from autox_video.evaluation.calibrated_predictions import Calibration
from autox_video.evaluation.results import Prediction, Provenance, results
from autox_video.jobs.test import _refuse_all_unreadable, _refuse_no_numbers, _show
from autox_video.tasks.task import TASKS

SINGLE, MULTI = TASKS["single_label"], TASKS["multi_label"]
LOGS = (math.log(0.9), math.log(0.1))


def test_scores_that_are_no_numbers_are_the_weights_fault():
    predictions = [
        Prediction("a.mp4", 0, (0.5, 0.5)),
        Prediction("b.mp4", 0, (math.nan, math.nan)),
        Prediction("bad.mp4", 0, None, "cut off"),
    ]
    _refuse_no_numbers(predictions[::2], Path("best.pth"))
    with pytest.raises(CheckpointError, match=r"best\.pth: .* for 1 of 3 clips \(b\.mp4 is"):
        _refuse_no_numbers(predictions, Path("best.pth"))


def test_where_no_clip_can_be_read_there_are_no_results():
    bad = [Prediction(f"{n}.mp4", 0, None, "cut off") for n in range(4)]
    _refuse_all_unreadable([*bad, Prediction("a.mp4", 0, (0.5, 0.5))])
    with pytest.raises(ListingError, match=r"None of the 4 clips .* nothing is written: cut off;"):
        _refuse_all_unreadable(bad)


def test_figures_are_shown_with_intervals_and_calibration(capsys):
    raw = [Prediction(f"{n}.mp4", int(n > 3), (0.9, 0.1), outputs=LOGS) for n in range(5)]
    calibration = Calibration(2.0, 10, 0.3, 0.1)
    predictions = calibration.applied(raw)
    provenance = Provenance("c", "w", "s", "pyav", "d", ("run", "jump"))
    content = results(SINGLE, predictions, provenance, calibration.record(raw))
    _show(SINGLE, content, predictions, provenance.classes)
    out = capsys.readouterr().out
    assert "0.80 (95%: 0.38 to 0.96)" in out  # five clips bear no more digits
    assert "top-5" not in out and "top5" in content["metrics"]
    assert "worst: jump" in out and "worst: run" not in out  # of which all are right
    assert "0.0500 (0.1000 without temperature 2.000 from the 10 clips of validation)" in out
    assert content["metrics"]["intervals"]["top1"] == pytest.approx([0.3755, 0.9638], abs=1e-4)
    assert content["predictions"][0]["score"] == pytest.approx(0.75)


def test_clips_that_call_for_no_temperature_are_said(capsys):
    raw = [Prediction(f"{n}.mp4", 0, (0.9, 0.1), outputs=LOGS) for n in range(5)]
    calibration = Calibration(1.0, 20, 0.3, 0.3, "cross-validation")
    provenance = Provenance("c", "w", "s", "pyav", "d", ("run", "jump"))
    _show(
        SINGLE, results(SINGLE, raw, provenance, calibration.record(raw)), raw, provenance.classes
    )
    shown = "0.1000 (without a temperature: the 20 clips of cross-validation call for none)"
    assert shown in capsys.readouterr().out


def test_the_table_of_several_classes_shows_the_worst(capsys):
    classes = ("run", "jump")
    predictions = [
        Prediction("a.mp4", (0,), (0.9, 0.8)),
        Prediction("b.mp4", (1,), (0.1, 0.4)),
    ]
    content = results(MULTI, predictions, Provenance("c", "w", "s", "pyav", "d", classes))
    _show(MULTI, content, predictions, classes)
    out = capsys.readouterr().out
    assert "mAP" in out
    assert "0.75" in out
    assert "F1@0.5" in out
    assert "worst: jump" in out
    assert "top-1" not in out
