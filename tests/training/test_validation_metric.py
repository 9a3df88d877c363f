"""The validation metric."""

import numpy as np
import pytest
import torch

from autox_video.training.validation_metric import ClipMetric


def test_figures_are_those_of_results():
    metric = ClipMetric()
    batches = [[([0.9, 0.1], 0), ([0.4, 0.6], 0)], [([0.2, 0.8], 1)]]
    for positions, batch in zip(([0, 1], [2]), batches, strict=True):
        samples = [
            {"pred_output": torch.tensor(s).log() + 7, "gt_label": torch.tensor([label])}
            for s, label in batch
        ]
        metric.process({"positions": positions}, samples)
    measured = metric.evaluate(size=3)
    assert measured["top1"] == pytest.approx(2 / 3)
    assert measured["mean_class_accuracy"] == 0.75
    assert measured["clips"] == 3
    assert measured["temperature"] == 1.0  # three clips tell no better one
    assert measured["ece"] == pytest.approx((0.1 + 0.6 + 0.2) / 3)


def test_the_temperature_is_of_logits_that_probabilities_cannot_hold():
    labels = np.arange(60) % 2
    said = np.where(np.arange(60) % 3 == 0, 1 - labels, labels)
    logits = (300.0 + 2 * np.arange(60))[:, None] * np.eye(2)[said]
    found = ClipMetric().compute_metrics(
        [(i, logits[i].astype(np.float32), labels[i]) for i in range(60)]
    )
    assert found["temperature"] > 100
    assert found["ece_calibrated"] <= found["ece"] == pytest.approx(1 / 3)


def test_classes_that_count_alike():
    metric = ClipMetric(balanced=True)
    found = [
        (0, np.log([0.9, 0.1]), 0),
        (1, np.log([0.4, 0.6]), 0),
        (2, np.log([0.2, 0.8]), 1),
    ]
    measured = metric.compute_metrics(found)
    assert measured["top1"] == pytest.approx(2 / 3)
    assert measured["balanced_accuracy"] == 0.75
    assert measured["clips"] == 3 and measured["effective_clips"] == pytest.approx(8 / 3)


def test_nothing_to_measure_is_said():
    assert ClipMetric().compute_metrics([]) == {"clips": 0}


def test_figures_of_several_classes_a_clip():
    metric = ClipMetric(task="multi_label")
    pairs = (([0.9, 0.1], [1.0, 1.0]), ([0.4, 0.6], [0.0, 1.0]))
    for position, (scores, label) in enumerate(pairs):
        sample = {"pred_output": torch.tensor(scores), "gt_label": torch.tensor([label])}
        metric.process({"positions": [position]}, [sample])
    measured = metric.evaluate(size=2)
    assert measured["mAP"] == pytest.approx((1 + (0.5 + 0.5)) / 2)
    assert measured["f1"] == pytest.approx(4 / 5)
    assert "temperature" not in measured
    assert measured["clips"] == 2
