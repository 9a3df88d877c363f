"""The temperature of an evaluation, applied to predictions."""

import numpy as np
import pytest

from autox_video.evaluation.calibrated_predictions import Calibration, read_calibration
from autox_video.evaluation.results import Prediction


def prediction(video, label, scores):
    return Prediction(video, label, scores, outputs=tuple(np.log(scores)))


def test_unread_clips_stay():
    unread = Prediction("b", 0, None, "torn")
    found = Calibration(2.0, 5, 0.2, 0.1).applied([unread, prediction("c", 0, (0.8, 0.2))])
    assert found[0] == unread
    assert found[1].scores == pytest.approx((2 / 3, 1 / 3))


def test_the_record_reports_the_test_clips():
    raw = [prediction("a", 0, (0.9, 0.1)), prediction("b", 1, (0.9, 0.1))]
    record = Calibration(3.0, 5, 0.2, 0.1).record(raw)
    assert record["temperature"] == 3.0
    assert record["validation"] == {
        **{"clips": 5, "ece_before": 0.2, "ece_after": 0.1},
        "on": "validation",
    }
    assert record["test"]["ece_before"] == pytest.approx(0.4)
    assert record["test"]["ece_after"] == pytest.approx(9 ** (1 / 3) / (9 ** (1 / 3) + 1) - 0.5)
    assert Calibration(3.0, 5, 0.2, 0.1).record([prediction("a", None, (0.9, 0.1))])["test"] is None


@pytest.mark.parametrize(
    "evaluation",
    [None, {}, {"clips": 0}, {"mAP": 0.5, "clips": 3}]
    + [{"temperature": t, "clips": 3, "ece": 0.1, "ece_calibrated": 0.1} for t in (0, "2", np.nan)],
)
def test_weights_without_a_temperature_are_left_as_they_are(evaluation):
    assert read_calibration(evaluation) is None


def test_what_an_evaluation_kept_is_read():
    figures = {"top1": 0.5, "temperature": 1.5, "ece": 0.2, "ece_calibrated": 0.1, "clips": 40}
    assert read_calibration(figures) == Calibration(1.5, 40, 0.2, 0.1)
    in_folds = read_calibration({**figures, "calibration_clips": 90})
    assert (in_folds.clips, in_folds.on) == (90, "cross-validation")


def test_saturated_clips_keep_their_order():
    """Probabilities of them are 0 and 1 in any precision; their logits are not."""
    margins = np.array([40.0, 80.0, 160.0, 800.0])
    logits = np.stack([margins, 0 * margins], axis=1)
    raw = [
        Prediction(str(m), 0, (1.0, 0.0), outputs=tuple(each))
        for m, each in zip(margins, logits, strict=True)
    ]
    scores = [p.scores for p in Calibration(20.0, 100, 0.3, 0.1).applied(raw)]
    assert scores[0][0] == pytest.approx(1 / (1 + np.exp(-2)))
    assert scores == sorted(scores, key=lambda each: -each[1])
    assert len({each[1] for each in scores}) == 4
    assert all(sum(each) == pytest.approx(1) for each in scores)
