"""What a model is trained for, and the tasks by name: labels, head, loss, metrics and records.

A task is one object without state. Its outputs are what the head's `predict` says of a clip; they
stay as they are until `probabilities` turns them into what results.json tells.

Shape letters: N clips, K classes, V views of a clip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from autox_video.core.registry import Registry
from autox_video.metrics.intervals import Interval, metric_interval
from autox_video.metrics.metric import METRICS

if TYPE_CHECKING:
    from torch import Tensor

Label = int | tuple[int, ...]
"""The class index of a clip, or all of its class indices."""


class Task(ABC):
    """The interface of a task; a new one overrides what differs from `SingleLabel`."""

    name: ClassVar[str]
    has_label_sets: ClassVar[bool]
    """Whether a clip has any number of classes."""
    counts_right_clips: ClassVar[bool]
    """Whether the main score is the share of clips that are right."""
    calibrates: ClassVar[bool]
    """Whether outputs are logits that a temperature can make mean what they say."""
    balances_loss: ClassVar[bool]
    """Whether the loss of training can count all classes alike."""
    main_scores: ClassVar[tuple[str, str]]
    """The metric by which weights are chosen, plainly and with all classes counting alike."""

    # Labels

    @abstractmethod
    def labels_of(self, targets: np.ndarray) -> np.ndarray:
        """Labels as `figures` takes them, of (N, K) 0 and 1."""

    # Training

    def head(self) -> dict[str, Any]:
        """The keys of `model.cls_head` that differ from those of the base config."""
        return {}

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor, *, smoothing: float) -> dict[str, Tensor]:
        """`loss_cls` of a batch, and figures beside it.

        Args:
            logits: (N, K), to which a balanced loss has added the logarithm of each class's share.
            targets: labels as `label_array` gives them, or shares (N, K) where clips are mixed.
            smoothing: label smoothing, 0 to 1.
        """

    @abstractmethod
    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each clip, (..., N, K) logits and (N, K) 0 and 1 -> (..., N)."""

    # Evaluation

    @abstractmethod
    def outputs(self, logits: Tensor, views: int) -> Tensor:
        """(N * V, K) logits of the views of clips -> outputs (N, K)."""

    @abstractmethod
    def mean_output(self, outputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The output of clips (..., K) of those of their parts (V, ..., K), weighted (V,)."""

    @abstractmethod
    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs or logits (..., K) -> probabilities (..., K)."""

    def figures(
        self, scores: np.ndarray, labels: np.ndarray, *, balanced: bool = False
    ) -> dict[str, float]:
        """Every metric that the task has, and `loss` in nats.

        Args:
            scores: (N, K) probabilities, N >= 1.
            labels: as `labels_of` gives them.
            balanced: whether all classes count alike in the main score and the loss.
        """
        return {name: METRICS[name].value(scores, labels) for name in self.metrics}

    def evaluate(
        self, outputs: np.ndarray, labels: np.ndarray, *, balanced: bool = False
    ) -> dict[str, float]:
        """The figures of an evaluation, of outputs (N, K)."""
        return self.figures(self.probabilities(outputs), labels, balanced=balanced)

    @property
    def metrics(self) -> list[str]:
        """The metrics of the task, the project's own first."""
        return [name for name in METRICS if self.name in METRICS[name].tasks]

    def intervals(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, Interval]:
        """The 95% interval of each metric; arguments as of `figures`."""
        return {name: metric_interval(METRICS[name], scores, labels) for name in self.metrics}

    def main_score(self, *, balanced: bool) -> str:
        """The metric by which the weights of a run are chosen."""
        return self.main_scores[balanced]

    @abstractmethod
    def class_scores(self, scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
        """How well each class is told that occurs, 0 to 1; arguments as of `figures`."""

    def details(
        self, scores: np.ndarray, labels: np.ndarray, classes: Sequence[str]
    ) -> dict[str, Any]:
        """Further figures of results.json; arguments as of `figures`."""
        return {}

    @abstractmethod
    def right(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(..., N) 0 to 1: how much of each clip is right, of scores (..., N, K)."""

    # Records

    @abstractmethod
    def predicted(self, scores: Sequence[float], classes: Sequence[str]) -> dict[str, Any]:
        """`predicted`, `class` and `score` of a clip's record in results.json, rounded scores."""


TASKS: Registry[Task] = Registry(
    "task",
    {
        "single_label": "autox_video.tasks.classification.single_label",
        "multi_label": "autox_video.tasks.classification.multi_label",
    },
)


def task_of(labels: Sequence[Label] | None, asked: str = "auto") -> str:
    """The name of the task: what is asked for, or what the labels of the training clips are."""
    if asked != "auto":
        return TASKS[asked].name
    return "multi_label" if labels and isinstance(labels[0], tuple) else "single_label"
