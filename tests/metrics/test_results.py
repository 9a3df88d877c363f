"""Predictions → metrics and results.json."""

import json
import math

import numpy as np
import pytest

from autox_video.metrics.results import (
    Prediction,
    Provenance,
    average_precision,
    balancing_weights,
    class_accuracy,
    effective_clips,
    main_score,
    main_score_of,
    metrics,
    multi_label_metrics,
    results,
    scored,
    selection_score,
    write_results,
)

PROVENANCE = Provenance("w/config.py", "w/best.pth", "ab" * 32, "pyav", ("run", "jump", "sit"), "d")


def test_metrics_equal_figures_worked_out_by_hand():
    scores = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    labels = np.array([0, 1, 1, 1])
    measured = metrics(scores, labels)
    assert measured["top1"] == 0.5
    assert measured["mean_class_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert measured["loss"] == pytest.approx(-np.log([0.7, 0.3, 0.8, 0.2]).mean())
    assert class_accuracy(scores, labels) == {0: 1.0, 1: pytest.approx(1 / 3)}


def test_where_classes_count_alike_a_rare_one_weighs_as_much():
    scores = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    labels = np.array([0, 1, 1, 1])
    plain, measured = metrics(scores, labels), metrics(scores, labels, balanced=True)
    assert main_score(measured) == "balanced_accuracy"
    assert measured["balanced_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    losses = -np.log([0.7, 0.3, 0.8, 0.2])
    assert measured["loss"] == pytest.approx((losses[0] + losses[1:].mean()) / 2)
    assert {k: measured[k] for k in plain if k != "loss"} == {
        k: v for k, v in plain.items() if k != "loss"
    }


@pytest.mark.parametrize(
    ("labels", "clips"),
    [([0, 1, 2, 0, 1, 2], 6), ([0, 0, 0, 0], 4), ([0, 1, 1, 1], 4 / (1 + 1 / 3)), ([5], 1)],
)
def test_clips_count_for_less_the_more_unequal_they_weigh(labels, clips):
    """K classes of n_k clips: K^2 over the sum of 1 / n_k, the inverse of the score's variance."""
    assert effective_clips(np.array(labels)) == pytest.approx(clips)


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


# ---- several classes a clip ----


def area_by_the_book(scores, labels):
    """Sum over thresholds t, high to low, of (recall(t) - recall before) * precision(t)."""
    area, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        said = scores >= threshold
        hits = (said & (labels > 0)).sum()
        recall, precision = hits / labels.sum(), hits / said.sum()
        area += (recall - recall_before) * precision
        recall_before = recall
    return area


@pytest.mark.parametrize("levels", [3, 10, 10**6])
def test_average_precision_is_that_of_its_definition(levels):
    rng = np.random.default_rng(levels)
    scores = rng.integers(0, levels, size=(60, 7)) / levels
    labels = (rng.random((60, 7)) < np.linspace(0.02, 0.9, 7)).astype(int)
    labels[:, 2] = 0
    found = average_precision(scores, labels)
    wanted = {
        k: area_by_the_book(scores[:, k], labels[:, k]) for k in range(7) if labels[:, k].any()
    }
    assert found == pytest.approx(wanted)
    assert 2 not in found
    assert multi_label_metrics(scores, labels)["mAP"] == pytest.approx(np.mean([*wanted.values()]))


def test_average_precision_worked_out_by_hand():
    scores = np.array([[0.9], [0.8], [0.7], [0.6]])
    assert average_precision(scores, np.array([[1], [0], [1], [0]]))[0] == pytest.approx(5 / 6)
    tied = np.array([[0.5], [0.5]])
    assert average_precision(tied, np.array([[1], [0]]))[0] == 0.5
    assert average_precision(tied, np.array([[0], [1]]))[0] == 0.5


def test_figures_of_several_classes_worked_out_by_hand():
    scores = np.array([[0.9, 0.5, 0.1], [0.6, 0.4, 0.2], [0.1, 0.7, 0.3]])
    labels = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0]])
    measured = multi_label_metrics(scores, labels)
    # Class 0: said 0, 1; true 0, 2. Class 1: said 0, 2; true 0, 1. Class 2: nothing either way.
    assert measured["f1"] == pytest.approx(2 * 2 / 8)
    assert measured["mean_class_f1"] == pytest.approx((2 / 4 + 2 / 4) / 2)
    of_class = ((1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2)
    assert measured["mAP"] == pytest.approx(sum(of_class) / 2)
    right = [[0.9, 0.5, 0.9], [0.4, 0.4, 0.8], [0.1, 0.3, 0.7]]
    assert measured["loss"] == pytest.approx(-np.log(right).mean())


def test_clips_of_no_class_at_all_are_measured():
    measured = multi_label_metrics(np.array([[0.2, 1.0]]), np.array([[0, 0]]))
    assert (measured["mAP"], measured["f1"], measured["mean_class_f1"]) == (0.0, 0.0, 0.0)
    assert np.isfinite(measured["loss"])


def test_records_of_several_classes_a_clip():
    predictions = [
        Prediction("a.mp4", (0, 2), (0.6, 0.1, 0.9), None, True, (1.5, np.inf)),
        Prediction("b.mp4", (), (0.5, 0.4, 0.1), None, True),
        Prediction("c.mp4", (1,), None, "c.mp4: torn.", True),
    ]
    content = results(predictions, PROVENANCE)
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
    prediction = Prediction("a.mp4", None, (0.6, 0.1, 0.9), None, True)
    content = results([prediction], PROVENANCE)
    assert content["metrics"] is None
    assert content["predictions"][0]["class"] == ["sit", "run"]


def test_each_kind_of_evaluation_has_its_main_score():
    assert main_score({"top1": 0.1, "loss": 1}) == "top1"
    assert main_score({"mAP": 0.1, "loss": 1}) == "mAP"
    assert main_score({"clips": 0}) is None
    assert main_score(None) is None
    scores = np.array([[0.7, 0.3], [0.4, 0.6]])
    for balanced in (False, True):
        measured = metrics(scores, np.array([0, 1]), balanced=balanced)
        assert main_score(measured) == main_score_of(multi_label=False, balanced=balanced)
    several = multi_label_metrics(scores, np.eye(2))
    assert main_score(several) == main_score_of(multi_label=True, balanced=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # Among 36 clips one clip more is luck, where the true classes are less likely.
        ({"top1": 26 / 36, "loss": 0.8}, {"top1": 27 / 36, "loss": 1.1}),
        ({"top1": 30 / 36, "loss": 1.1}, {"top1": 26 / 36, "loss": 0.8}),
        ({"top1": 0.72, "loss": 0.8}, {"top1": 0.72, "loss": 0.9}),
        # What counts is the loss with the temperature.
        ({"top1": 0.7, "loss": 3.0, "calibrated_loss": 0.8}, {"top1": 0.7, "loss": 0.9}),
        ({"mAP": 0.5, "loss": 0.3}, {"mAP": 0.5, "loss": 0.4}),
        ({"top1": 0.1, "loss": 9.0}, {"clips": 0}),
        ({"top1": 0.1, "loss": 9.0}, {"top1": 0.9, "loss": math.nan}),
        ({"top1": 0.1, "loss": 9.0}, {"top1": 0.9, "loss": None}),
    ],
)
def test_weights_are_chosen_by_score_and_loss(one, other):
    assert selection_score({"clips": 36, **one}) > selection_score({"clips": 36, **other})


def test_among_many_clips_the_loss_counts_for_little():
    few, many = {"clips": 36}, {"clips": 36_000}
    better, likelier = {"top1": 0.75, "loss": 1.1}, {"top1": 0.72, "loss": 0.8}
    assert selection_score({**few, **better}) < selection_score({**few, **likelier})
    assert selection_score({**many, **better}) > selection_score({**many, **likelier})
    # Of classes that count alike as many clips as are as sure.
    alike = {"clips": 36_000, "effective_clips": 36.0}
    assert selection_score({**alike, **better}) < selection_score({**alike, **likelier})


def test_weights_with_which_classes_count_alike():
    weights = balancing_weights(np.array([0, 0, 0, 1]))
    assert weights[:3].sum() == pytest.approx(weights[3])
    assert weights.sum() == pytest.approx(effective_clips(np.array([0, 0, 0, 1])))
