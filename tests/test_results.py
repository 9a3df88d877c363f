"""Predictions → metrics and results.json."""

import json

import numpy as np
import pytest

from autox_video.results import (
    Prediction,
    Provenance,
    class_accuracy,
    metrics,
    results,
    scored,
    write_results,
)

PROVENANCE = Provenance("w/config.py", "w/best.pth", "ab" * 32, ("run", "jump", "sit"))


def test_metrics_equal_figures_worked_out_by_hand():
    scores = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    labels = np.array([0, 1, 1, 1])
    measured = metrics(scores, labels)
    assert measured["top1"] == 0.5
    assert measured["mean_class_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert measured["loss"] == pytest.approx(-np.log([0.7, 0.3, 0.8, 0.2]).mean())
    assert class_accuracy(scores, labels) == {0: 1.0, 1: pytest.approx(1 / 3)}


def test_top5_counts_the_rank_of_the_true_class():
    scores = np.tile(np.linspace(0.3, 0.01, 8), (8, 1))
    assert metrics(scores, np.arange(8))["top5"] == 5 / 8


def test_top5_gives_nothing_to_a_model_that_says_the_same_of_all_classes():
    assert metrics(np.full((8, 8), 1 / 8), np.arange(8))["top5"] == 0.0
    assert metrics(np.full((4, 4), 1 / 4), np.arange(4))["top5"] == 1.0


def test_a_score_of_zero_gives_a_finite_loss():
    assert np.isfinite(metrics(np.array([[1.0, 0.0]]), np.array([1]))["loss"])


def test_results_hold_one_record_per_clip_in_order(tmp_path):
    predictions = [
        Prediction("a b.mp4", 1, (0.2, 0.7, 0.1)),
        Prediction("torn.mp4", 0, None, "torn.mp4: cannot be decoded."),
        Prediction("c.mp4", 2, (0.5, 0.3, 0.2)),
    ]
    path = tmp_path / "results.json"
    write_results(path, results(predictions, PROVENANCE))
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
    content = results([Prediction("a.mp4", None, (1.0, 0.0, 0.0))], PROVENANCE)
    assert content["metrics"] is None


def test_metrics_are_null_when_no_labelled_clip_could_be_read():
    content = results([Prediction("a.mp4", 1, None, "torn")], PROVENANCE)
    assert content["metrics"] is None


def test_scored_leaves_out_what_cannot_be_measured():
    predictions = [Prediction("a", None, (0.5, 0.5)), Prediction("b", 1, (0.1, 0.9))]
    scores, labels = scored(predictions)
    assert scores.tolist() == [[0.1, 0.9]]
    assert labels.tolist() == [1]
