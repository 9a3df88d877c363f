"""Calibrate predictions with the temperature from an evaluation, and report the effect."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autox_video.core.console import say
from autox_video.evaluation.results import Prediction
from autox_video.metrics.calibration import (
    LOG_RANGE,
    expected_calibration_error,
    with_temperature,
)
from autox_video.metrics.intervals import CROSS_VALIDATION, VALIDATION
from autox_video.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Calibration:
    """The temperature of trained weights, and how it was fitted."""

    temperature: float
    clips: int
    """Number of clips on which the temperature was fitted."""
    ece_before: float
    """Expected calibration error (ECE) without the temperature, on the clips used for fitting."""
    ece_after: float
    """Expected calibration error (ECE) with the temperature, on the clips used for fitting."""
    on: str = VALIDATION
    """How the clips used for fitting were scored: `validation`, or `cross-validation` over training
    and validation clips."""

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (..., K) from outputs (..., K), which must be logits."""
        return with_temperature(outputs, self.temperature)

    def applied(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """Return the predictions with calibrated probabilities; the outputs must be logits."""
        return [
            p if p.outputs is None else replace(p, scores=tuple(self._scores(p).tolist()))
            for p in predictions
        ]

    def _scores(self, prediction: Prediction) -> np.ndarray:
        return self.probabilities(np.array(prediction.outputs))

    def record(self, raw: Sequence[Prediction]) -> dict[str, Any]:
        """Return the entry for results.json; `raw` contains the predictions before calibration.

        The calibration errors on the test clips are included if the clips have labels.
        """
        errors = {"clips": self.clips, "ece_before": self.ece_before, "ece_after": self.ece_after}
        known = [p for p in raw if p.outputs is not None and p.label is not None]
        test = None
        if known:
            logits = np.stack([p.outputs for p in known])
            labels = np.array([p.label for p in known])
            before, after = (
                expected_calibration_error(with_temperature(logits, t), labels)
                for t in (1.0, self.temperature)
            )
            test = {"clips": len(known), "ece_before": before, "ece_after": after}
        validation = {**errors, "on": self.on}
        return {"temperature": self.temperature, "validation": validation, "test": test}


def read_calibration(evaluation: Any) -> Calibration | None:
    """Return the calibration stored in an evaluation; None if it is missing or invalid."""
    names = ("temperature", "clips", "ece", "ece_calibrated")
    values = [evaluation.get(name) for name in names] if isinstance(evaluation, Mapping) else []
    if not values or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        return None
    lowest, highest = map(math.exp, LOG_RANGE)
    if not lowest <= values[0] <= highest:
        return None
    calibration, clips = Calibration(*values), evaluation.get("calibration_clips")
    if clips is None:
        return calibration
    return replace(calibration, clips=clips, on=CROSS_VALIDATION)


def calibration_of(meta: Mapping[str, Any], task: Task) -> Calibration | None:
    """Return the calibration of the weights in a file with this `meta`, or None, and say why.

    After a refit on train + validation there is none, because the stored metrics belong to weights
    trained without the validation clips.
    """
    from autox_video.training.checkpoints.checkpoint import ALL_CLIPS

    if meta.get(ALL_CLIPS):
        say(
            "These weights were refit on train + validation, so their probabilities are not "
            "calibrated."
        )
        return None
    return read_calibration(meta.get("metrics")) if task.calibrates else None
