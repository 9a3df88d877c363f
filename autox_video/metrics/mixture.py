"""Average the outputs of an ensemble's models.

Shape letters: M models, K classes.
"""

from dataclasses import dataclass

import numpy as np

from autox_video.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Mixture:
    """How the outputs of several models are averaged."""

    temperatures: np.ndarray
    """Temperature (M,) of each model, by which its outputs are divided before averaging."""
    shares: np.ndarray
    """Share (M,) of each model in the mean; the shares sum to 1."""
    task: Task

    def outputs(self, outputs: np.ndarray) -> np.ndarray:
        """Return the mean (..., K) of the outputs (M, ..., K) of all models."""
        kept = np.flatnonzero(self.shares)
        softened = softened_outputs(outputs[kept], self.temperatures[kept], self.task)
        return self.task.mean_output(softened, self.shares[kept])


def softened_outputs(outputs: np.ndarray, temperatures: np.ndarray, task: Task) -> np.ndarray:
    """Return outputs (M, ..., K) divided by the temperature of each model."""
    scaled = outputs.astype(np.float64)
    scaled /= temperatures.reshape(-1, *[1] * (outputs.ndim - 1))
    if not task.calibrates:
        return scaled
    # Log-probabilities must be renormalised.
    return scaled - np.logaddexp.reduce(scaled, axis=-1, keepdims=True)
