"""Choose the members of an ensemble and their shares by greedy selection.

The selection starts empty, and each round adds the model that lowers the loss of the average
prediction the most; a model may be added more than once (Caruana et al., "Ensemble selection from
libraries of models", ICML 2004, section 2.1). A model's share is the fraction of rounds that added
it.

Shape letters: M models, R repeats, n clips, K classes.
"""

import math
from dataclasses import dataclass

import numpy as np

from autox_video.metrics.calibration import balancing_weights, likeliest_temperature
from autox_video.metrics.mixture import Mixture, softened_outputs
from autox_video.metrics.selection_score import main_score, selection_score
from autox_video.tasks.task import Task

ROUNDS = 20
"""Number of rounds; a share is a multiple of 1 / ROUNDS."""
FOLDS = 5
"""Number of folds for scoring an ensemble with shares chosen on other clips."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled clips, and how models are scored on them."""

    targets: np.ndarray
    """Targets (n, K) float32, each 0 or 1."""
    groups: np.ndarray
    """Group of each clip (n,); a group is never split across folds."""
    task: Task
    balanced: bool = False
    """Whether all classes count equally in the score."""

    @property
    def labels(self) -> np.ndarray:
        """The labels as `Task.figures` expects them."""
        return self.task.labels_of(self.targets)

    def figures(self, outputs: np.ndarray) -> dict[str, float]:
        """Return the metrics of outputs (R, n, K), averaged over the repeats."""
        each = [
            self.task.figures(self.task.probabilities(one), self.labels, balanced=self.balanced)
            for one in outputs
        ]
        means = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
        return {**means, "clips": len(self.targets)}

    def rank(self, outputs: np.ndarray) -> float:
        """Return the selection score of outputs (R, n, K)."""
        return selection_score(self.figures(outputs))

    def score(self, outputs: np.ndarray) -> float:
        """Return the main score of outputs (R, n, K)."""
        figures = self.figures(outputs)
        return figures[main_score(figures)]

    def is_clearly_better(self, outputs: np.ndarray, others: np.ndarray) -> bool:
        """Return whether outputs (R, n, K) beat other outputs by more than chance explains.

        Besides a better selection score, this takes a gain in correct predictions of at least one
        standard error, since an ensemble costs more than a single model.
        """
        if self.rank(outputs) <= self.rank(others):
            return False
        right = [
            self.task.right(self.task.probabilities(each), self.labels).mean(0)
            for each in (outputs, others)
        ]
        gain = right[0] - right[1]
        return float(gain.mean()) >= float(gain.std()) / math.sqrt(len(gain))

    def select(self, rows: np.ndarray) -> "Labelled":
        """Return the clips in `rows`."""
        return Labelled(self.targets[rows], self.groups[rows], self.task, self.balanced)


def choose_mixture(outputs: np.ndarray, clips: Labelled) -> Mixture:
    """Return the lowest-loss mixture of models that greedy selection finds.

    Args:
        outputs: (M, R, n, K) outputs of models that were not trained on the clips.
        clips: the clips.
    """
    temperatures = np.array([_temperature(one, clips) for one in outputs])
    softened = softened_outputs(outputs, temperatures, clips.task)
    counts = np.zeros(len(outputs))
    for _ in range(ROUNDS):
        losses = [_loss(softened, counts + one, clips) for one in np.eye(len(outputs))]
        counts[int(np.argmin(losses))] += 1
    return Mixture(temperatures, counts / ROUNDS, clips.task)


def unseen_outputs(outputs: np.ndarray, clips: Labelled) -> np.ndarray:
    """Return the outputs (R, n, K) of ensembles whose mixtures were chosen on other folds' clips.

    The arguments are the same as for `choose_mixture`.
    """
    _, of_group = np.unique(clips.groups, return_inverse=True)
    order = np.random.default_rng(0).permutation(of_group.max() + 1)
    fold_of = order[of_group] % FOLDS
    found = np.empty(outputs.shape[1:])
    for fold in np.unique(fold_of):
        out = np.flatnonzero(fold_of == fold)
        rest = np.flatnonzero(fold_of != fold)
        rest = rest if len(rest) else out
        mixture = choose_mixture(outputs[:, :, rest], clips.select(rest))
        found[:, out] = mixture.outputs(outputs[:, :, out])
    return found


def _temperature(outputs: np.ndarray, clips: Labelled) -> float:
    """Return the likeliest temperature for outputs (R, n, K); 1 if the task is not calibrated."""
    if not clips.task.calibrates:
        return 1.0
    weights = balancing_weights(clips.labels) if clips.balanced else None
    return likeliest_temperature(outputs, clips.labels, weights)


def _loss(softened: np.ndarray, shares: np.ndarray, clips: Labelled) -> float:
    """Return the loss of the weighted mean of the models' outputs (M, R, n, K)."""
    kept = np.flatnonzero(shares)
    return clips.figures(clips.task.mean_output(softened[kept], shares[kept]))["loss"]
