"""The validation metric."""

import numpy as np
import pytest
import torch

from autox_video.calibration import fit_temperature
from autox_video.engine.metric import ClipMetric


def test_figures_are_those_of_results():
    metric = ClipMetric()
    batches = [[([0.9, 0.1], 0), ([0.4, 0.6], 0)], [([0.2, 0.8], 1)]]
    for positions, batch in zip(([0, 1], [2]), batches, strict=True):
        samples = [
            {"pred_score": torch.tensor(s), "gt_label": torch.tensor([label])} for s, label in batch
        ]
        metric.process({"positions": positions}, samples)
    measured = metric.evaluate(size=3)
    assert measured["top1"] == pytest.approx(2 / 3)
    assert measured["mean_class_accuracy"] == 0.75
    assert measured["clips"] == 3
    scores, labels = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), np.array([0, 0, 1])
    assert measured["temperature"] == pytest.approx(fit_temperature(scores, labels), rel=1e-3)
    assert measured["ece"] == pytest.approx((0.1 + 0.6 + 0.2) / 3)


def test_classes_that_count_alike():
    metric = ClipMetric(balanced=True)
    found = [
        (0, np.array([0.9, 0.1]), 0),
        (1, np.array([0.4, 0.6]), 0),
        (2, np.array([0.2, 0.8]), 1),
    ]
    measured = metric.compute_metrics(found)
    assert measured["top1"] == pytest.approx(2 / 3)
    assert measured["balanced_accuracy"] == 0.75
    assert measured["clips"] == 3 and measured["effective_clips"] == pytest.approx(8 / 3)


def test_nothing_to_measure_is_said():
    assert ClipMetric().compute_metrics([]) == {"clips": 0}


def test_figures_of_several_classes_a_clip():
    metric = ClipMetric(multi_label=True)
    pairs = (([0.9, 0.1], [1.0, 1.0]), ([0.4, 0.6], [0.0, 1.0]))
    for position, (scores, label) in enumerate(pairs):
        sample = {"pred_score": torch.tensor(scores), "gt_label": torch.tensor([label])}
        metric.process({"positions": [position]}, [sample])
    measured = metric.evaluate(size=2)
    assert measured["mAP"] == pytest.approx((1 + (0.5 + 0.5)) / 2)
    assert measured["f1"] == pytest.approx(4 / 5)
    assert "temperature" not in measured
    assert measured["clips"] == 2
