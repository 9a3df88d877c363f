"""Features of clips with their labels, ready for heads to be fitted on them.

Shape letters: n clips, V views of each, N tokens of a view behind their mean, C channels,
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
"""Of a channel, over the mean spread of all: one that hardly changes is not blown up to noise."""


class TooSlowError(Exception):
    """Fitting would take longer than there is time."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What heads learn from."""

    tokens: Tensor
    """(n, V, 1 + N, C) float: of each view the mean of its feature map, then its cells."""
    targets: Tensor
    """(n, K) float32 of 0 and 1."""
    task: Task
    balanced: bool = False
    """Whether a head is judged with all classes counting alike, as in `Task.figures`."""

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def mean_features(self) -> Tensor:
        """(n, V, C) float32: what a linear head sees."""
        return self.tokens[:, :, 0].float()

    def pooled(self, query: Tensor, place: Tensor) -> "Samples":
        """The same with what queries find in each view, (n, V, 1, (1 + M) C), in place of tokens.

        Args:
            query: (M, C).
            place: (M, N).
        """
        found = pool(self.tokens.flatten(0, 1).float(), query, place)
        tokens = found.unflatten(0, self.tokens.shape[:2])[:, :, None]
        return replace(self, tokens=tokens)

    def first_views(self) -> "Samples":
        """The same with one view of each clip, the plain one."""
        return replace(self, tokens=self.tokens[:, :1])

    def select(self, rows: Sequence[int]) -> "Samples":
        """Some of the clips, in that order."""
        return replace(self, tokens=self.tokens[rows], targets=self.targets[rows])

    def with_those_of(self, others: "Samples") -> "Samples":
        """These clips and others, behind them."""
        tokens, targets = (
            torch.cat(pair)
            for pair in ((self.tokens, others.tokens), (self.targets, others.targets))
        )
        return replace(self, tokens=tokens, targets=targets)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each sample as the task has it: (..., S, K) and (S, K) → (..., S)."""
        return self.task.losses(logits, targets)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(..., K) → (..., K), as the task has them."""
        outputs = self.task.outputs(torch.from_numpy(logits).flatten(0, -2), 1)
        return self.task.probabilities(outputs.numpy()).reshape(logits.shape)

    def labels(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Labels as `Task.figures` takes them, of some of the clips or all."""
        targets = self.targets.cpu().numpy()
        return self.task.labels_of(targets if rows is None else targets[rows])


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and spread of each channel (C,), by which features are standardised."""

    mean: Tensor
    spread: Tensor

    def apply(self, features: Tensor) -> Tensor:
        """Standardise (..., C)."""
        return (features.float() - self.mean) / self.spread


def scale_of(features: Tensor) -> Scale:
    """The scale of features (..., C)."""
    rows = features.flatten(0, -2).double()
    mean = rows.mean(0)
    spread = (rows - mean).square().mean(0).sqrt()
    floor = LEAST_SPREAD * float(spread.mean()) or 1.0
    return Scale(mean.float(), spread.clamp(min=floor).float())


def class_weights(targets: Tensor) -> Tensor:
    """The weight of each clip with which all classes count alike: (n, K) → (n), of mean 1.

    A clip of several classes has the mean weight of them.
    """
    counts = targets.sum(0).clamp(min=1)
    of_class = targets * (1 / counts)
    weights = of_class.sum(1) / targets.sum(1).clamp(min=1)
    weights = torch.where(targets.sum(1) > 0, weights, weights[weights > 0].mean())
    return weights / weights.mean()
