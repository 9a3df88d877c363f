"""Features and labels of clips, for fitting heads.

Shape letters: n clips, V views per clip, 1 + N tokens per view (the mean over the feature map, and
the means over N cells), C channels, K classes, M queries, S samples (views of clips).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from autox_video.tasks.classification.attentive_head import pool
from autox_video.tasks.task import Task

LEAST_SPREAD = 1e-3
"""Lower limit on a channel's standard deviation, relative to the mean over all channels, so that
standardising does not amplify noise in nearly constant channels."""


class TooSlowError(Exception):
    """Raised if fitting would exceed the time limit."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Features and labels of clips."""

    tokens: Tensor
    """Tokens (n, V, 1 + N, C) float; the first token is the mean over the feature map."""
    targets: Tensor
    """Targets (n, K) float32, each 0 or 1."""
    task: Task
    balanced: bool = False
    """Whether all classes count equally in a head's score, as in `Task.figures`."""

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def mean_features(self) -> Tensor:
        """The mean features (n, V, C) float32, the input of a linear head."""
        return self.tokens[:, :, 0].float()

    def pooled(self, query: Tensor, place: Tensor) -> "Samples":
        """Return samples whose tokens are replaced by the attention outputs (n, V, 1, (1 + M) C).

        Args:
            query: queries (M, C).
            place: position biases of the attention (M, N).
        """
        found = pool(self.tokens.flatten(0, 1).float(), query, place)
        tokens = found.unflatten(0, self.tokens.shape[:2])[:, :, None]
        return replace(self, tokens=tokens)

    def unflipped(self) -> "Samples":
        """Return samples with only the first half of each clip's views, the unflipped ones."""
        return replace(self, tokens=self.tokens[:, : self.tokens.shape[1] // 2])

    def select(self, rows: Sequence[int]) -> "Samples":
        """Return the samples of the clips at the given rows, in the order of `rows`."""
        return replace(self, tokens=self.tokens[rows], targets=self.targets[rows])

    def with_those_of(self, others: "Samples") -> "Samples":
        """Return these samples followed by the samples of `others`."""
        tokens, targets = (
            torch.cat(pair)
            for pair in ((self.tokens, others.tokens), (self.targets, others.targets))
        )
        return replace(self, tokens=tokens, targets=targets)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return each sample's loss (..., S) from logits (..., S, K) and targets (S, K)."""
        return self.task.losses(logits, targets)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities (..., K) for logits (..., K), computed as the task defines."""
        outputs = self.task.outputs(torch.from_numpy(logits).flatten(0, -2), 1)
        return self.task.probabilities(outputs.numpy()).reshape(logits.shape)

    def labels(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the labels of the clips in `rows`, or of all clips, as `Task.figures` expects."""
        targets = self.targets.cpu().numpy()
        return self.task.labels_of(targets if rows is None else targets[rows])


@dataclass(frozen=True, slots=True)
class Scale:
    """The mean and the standard deviation of each channel (C,), for standardising features."""

    mean: Tensor
    spread: Tensor

    def apply(self, features: Tensor) -> Tensor:
        """Return standardised features (..., C)."""
        return (features.float() - self.mean) / self.spread


def scale_of(features: Tensor) -> Scale:
    """Return the mean and the standard deviation of features (..., C) per channel."""
    rows = features.flatten(0, -2).double()
    mean = rows.mean(0)
    spread = (rows - mean).square().mean(0).sqrt()
    floor = LEAST_SPREAD * float(spread.mean()) or 1.0
    return Scale(mean.float(), spread.clamp(min=floor).float())


def class_weights(targets: Tensor) -> Tensor:
    """Return clip weights (n,) with mean 1 that make all classes in `targets` (n, K) count equally.

    A clip with several classes gets the mean weight of its classes.
    """
    counts = targets.sum(0).clamp(min=1)
    of_class = targets * (1 / counts)
    weights = of_class.sum(1) / targets.sum(1).clamp(min=1)
    weights = torch.where(targets.sum(1) > 0, weights, weights[weights > 0].mean())
    return weights / weights.mean()
