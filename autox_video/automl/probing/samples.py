"""Features of clips with their labels, on which heads are fitted.

Shape letters: n clips, V views of each, N tokens of a view after their mean, C channels,
K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from autox_video.tasks.classification.attentive_head import pool
from autox_video.tasks.task import Task

LEAST_SPREAD = 1e-3
"""Smallest spread of a channel relative to the mean spread, so that a nearly constant channel does
not become noise."""


class TooSlowError(Exception):
    """Fitting would exceed the time limit."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Features and labels of clips."""

    tokens: Tensor
    """(n, V, 1 + N, C) float: for each view the mean of its feature map, then its cells."""
    targets: Tensor
    """(n, K) float32 of 0 and 1."""
    task: Task
    balanced: bool = False
    """Whether all classes count equally in the score of a head, as in `Task.figures`."""

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def mean_features(self) -> Tensor:
        """(n, V, C) float32: the input of a linear head."""
        return self.tokens[:, :, 0].float()

    def pooled(self, query: Tensor, place: Tensor) -> "Samples":
        """Return samples with the attention outputs (n, V, 1, (1 + M) C) in place of tokens.

        Args:
            query: (M, C).
            place: (M, N).
        """
        found = pool(self.tokens.flatten(0, 1).float(), query, place)
        tokens = found.unflatten(0, self.tokens.shape[:2])[:, :, None]
        return replace(self, tokens=tokens)

    def first_views(self) -> "Samples":
        """Return samples with the first view of each clip only, the unflipped one."""
        return replace(self, tokens=self.tokens[:, :1])

    def select(self, rows: Sequence[int]) -> "Samples":
        """Return some of the clips, in that order."""
        return replace(self, tokens=self.tokens[rows], targets=self.targets[rows])

    def with_those_of(self, others: "Samples") -> "Samples":
        """Return these clips followed by others."""
        tokens, targets = (
            torch.cat(pair)
            for pair in ((self.tokens, others.tokens), (self.targets, others.targets))
        )
        return replace(self, tokens=tokens, targets=targets)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the task's loss of each sample (..., S), from (..., S, K) and (S, K)."""
        return self.task.losses(logits, targets)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the task's probabilities (..., K) of logits (..., K)."""
        outputs = self.task.outputs(torch.from_numpy(logits).flatten(0, -2), 1)
        return self.task.probabilities(outputs.numpy()).reshape(logits.shape)

    def labels(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return labels of some or all clips, in the form that `Task.figures` takes."""
        targets = self.targets.cpu().numpy()
        return self.task.labels_of(targets if rows is None else targets[rows])


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and standard deviation of each channel (C,), for standardising features."""

    mean: Tensor
    spread: Tensor

    def apply(self, features: Tensor) -> Tensor:
        """Return standardised features (..., C)."""
        return (features.float() - self.mean) / self.spread


def scale_of(features: Tensor) -> Scale:
    """Return the scale of features (..., C)."""
    rows = features.flatten(0, -2).double()
    mean = rows.mean(0)
    spread = (rows - mean).square().mean(0).sqrt()
    floor = LEAST_SPREAD * float(spread.mean()) or 1.0
    return Scale(mean.float(), spread.clamp(min=floor).float())


def class_weights(targets: Tensor) -> Tensor:
    """Return clip weights (n), with mean 1, for which all classes in (n, K) count equally.

    A clip with several classes gets the mean of their weights.
    """
    counts = targets.sum(0).clamp(min=1)
    of_class = targets * (1 / counts)
    weights = of_class.sum(1) / targets.sum(1).clamp(min=1)
    weights = torch.where(targets.sum(1) > 0, weights, weights[weights > 0].mean())
    return weights / weights.mean()
