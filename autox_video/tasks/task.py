"""The interface and the registry of tasks.

A task is a stateless object that defines the labels, head, loss, metrics and results. The head's
`predict` returns the outputs of a task for a clip; `probabilities` converts the outputs to the
probabilities in results.json.

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

    from autox_video.data.clip_table import ClipTable
    from autox_video.data.listing.listing import Listing

Label = int | tuple[int, ...]
"""The class index of a single-label clip, or all class indices of a multi-label clip."""


class Task(ABC):
    """The interface of a task; a new task usually subclasses `SingleLabel` or `MultiLabel`."""

    name: ClassVar[str]
    has_label_sets: ClassVar[bool]
    """Whether a clip can have any number of classes."""
    counts_right_clips: ClassVar[bool]
    """Whether the main score is the share of correctly classified clips."""
    calibrates: ClassVar[bool]
    """Whether temperature scaling can calibrate the outputs."""
    balances_loss: ClassVar[bool]
    """Whether the training loss can be class-balanced."""
    finds_segments: ClassVar[bool] = False
    """Whether the model finds segments in recordings; it is then trained on windows of them, the
    last class is the background, and a temporal head is fitted at the end."""
    main_scores: ClassVar[tuple[str, str]]
    """Names of the main score (used to select weights) without and with class balancing."""

    # Data

    @abstractmethod
    def fits(self, clips: ClipTable, data_root: str) -> bool:
        """Return whether `task: auto` may choose this task for inspected training clips."""

    def labelled_clips(self, listing: Listing) -> Listing:
        """Return an inspected listing with the clips whose labels the task uses."""
        return listing

    def training_clips(self, listing: Listing) -> Listing:
        """Return an inspected listing with the clips that the model is trained on.

        Raises:
            ListingError: the clips do not suit the task.
        """
        return listing

    def clip_seconds(self, listing: Listing) -> float | None:
        """Return the length of video that the model should see at a time, in seconds.

        None stands for the median length of the clips. The clips are those that
        `labelled_clips` returns.
        """
        return None

    def recordings_sec(self, listing: Listing, splits: Sequence[str]) -> float:
        """Return the length of the recordings in which segments are found, in seconds; 0 if none.

        Args:
            listing: the inspected clips as listed.
            splits: names of the splits to count.
        """
        return 0.0

    # Labels

    @abstractmethod
    def labels_of(self, targets: np.ndarray) -> np.ndarray:
        """Convert targets (N, K) of 0 and 1 to the labels that `figures` takes."""

    # Training

    def head(self) -> dict[str, Any]:
        """Return the settings of `model.cls_head` that differ from the base config."""
        return {}

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor, *, smoothing: float) -> dict[str, Tensor]:
        """Return the losses of a batch; `loss_cls` is required.

        Args:
            logits: (N, K); with a balanced loss, the log class shares have already been added.
            targets: labels as returned by `label_array`, or soft labels (N, K) with mixup.
            smoothing: label smoothing, 0 to 1.
        """

    @abstractmethod
    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each clip (..., N) from logits (..., N, K) and targets (N, K)."""

    # Evaluation

    @abstractmethod
    def outputs(self, logits: Tensor, views: int) -> Tensor:
        """Return the outputs (N, K) of clips from the logits (N*V, K) of their views."""

    @abstractmethod
    def mean_output(self, outputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the mean (..., K) of outputs (V, ..., K), weighted by `weights` (V,)."""

    @abstractmethod
    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return probabilities (..., K) from outputs or logits (..., K)."""

    def figures(
        self, scores: np.ndarray, labels: np.ndarray, *, balanced: bool = False
    ) -> dict[str, float]:
        """Return all metrics of the task; subclasses add `loss`, in nats.

        Args:
            scores: (N, K) probabilities, N >= 1.
            labels: as returned by `labels_of`.
            balanced: whether all classes count equally in the main score and the loss.
        """
        return {name: METRICS[name].value(scores, labels) for name in self.metrics}

    def evaluate(
        self, outputs: np.ndarray, labels: np.ndarray, *, balanced: bool = False
    ) -> dict[str, float]:
        """Return the metrics of an evaluation from outputs (N, K)."""
        return self.figures(self.probabilities(outputs), labels, balanced=balanced)

    @property
    def metrics(self) -> list[str]:
        """The names of the task's metrics, starting with the built-in metrics."""
        return [name for name in METRICS if self.metrics_of in METRICS[name].tasks]

    @property
    def metrics_of(self) -> str:
        """Name of the task whose metrics apply to this task."""
        return self.name

    def intervals(self, scores: np.ndarray, labels: np.ndarray) -> dict[str, Interval]:
        """Return the 95% confidence interval of each metric; see `figures` for the arguments."""
        return {name: metric_interval(METRICS[name], scores, labels) for name in self.metrics}

    def main_score(self, *, balanced: bool) -> str:
        """Return the name of the main score, which is used to select weights."""
        return self.main_scores[balanced]

    @abstractmethod
    def class_scores(self, scores: np.ndarray, labels: np.ndarray) -> dict[int, float]:
        """Return a score, 0 to 1, for each class in `labels`; see `figures` for the arguments."""

    def details(
        self, scores: np.ndarray, labels: np.ndarray, classes: Sequence[str]
    ) -> dict[str, Any]:
        """Return additional entries for results.json; see `figures` for `scores` and `labels`."""
        return {}

    @abstractmethod
    def right(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the correctness (..., N) of predictions, from 0 to 1, given scores (..., N, K)."""

    # Records

    @abstractmethod
    def predicted(self, scores: Sequence[float], classes: Sequence[str]) -> dict[str, Any]:
        """Return a clip's entries `predicted`, `class` and `score`, based on rounded scores."""


TASKS: Registry[Task] = Registry(
    "task",
    {
        "single_label": "autox_video.tasks.classification.single_label",
        "multi_label": "autox_video.tasks.classification.multi_label",
        "localisation": "autox_video.tasks.localisation.localisation",
    },
)


AUTOMATIC = ("localisation", "multi_label", "single_label")
"""The tasks that `task: auto` chooses from; the first one that fits the clips is chosen."""
CLASSIFICATION = "classification"
"""Value of the key `task` that stands for single_label or multi_label."""


def task_of(clips: ClipTable, data_root: str, asked: str = "auto") -> Task:
    """Return the requested task; for `auto` and `classification`, the task that fits the clips.

    Args:
        clips: the training clips, inspected.
        data_root: folder or URL that the paths are relative to.
        asked: value of the key `task`.
    """
    if asked not in ("auto", CLASSIFICATION):
        return TASKS[asked]
    tasks = [TASKS[name] for name in AUTOMATIC]
    if asked == CLASSIFICATION:
        tasks = [task for task in tasks if not task.finds_segments]
    return next(task for task in tasks if task.fits(clips, data_root))
