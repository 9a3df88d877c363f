"""Summary statistics of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autox_video.data.listing.listing import Listing


@dataclass(frozen=True, slots=True)
class DatasetStats:
    """Summary statistics of a data set's readable clips; all are 0 if there are no clips.

    Medians are taken over the training and validation clips; they are in seconds, frames per second
    or pixels.
    """

    num_train: int
    num_val: int
    num_test: int
    num_classes: int
    """Number of classes, including those without clips."""
    class_names: tuple[str, ...]
    named: bool
    """Whether the classes have real names rather than just indices."""
    clips_per_class_min: int
    """Number of training clips in the rarest class."""
    clips_per_class_max: int
    seconds_median: float
    fps_median: float
    width_median: int
    height_median: int
    short_side_median: int
    unreadable: int
    """Number of skipped clips in all splits."""
    task: str = "single_label"
    """Name of the task in `tasks`."""


def summarize(listing: Listing, task: str) -> DatasetStats:
    """Return the statistics of an inspected listing; `task` names the task."""
    readable = {name: clips.readable() for name, clips in listing.splits.items()}
    counts = {name: len(clips) for name, clips in readable.items()}
    by_class = readable["train"].class_counts()
    per_class = [by_class[index] for index in range(len(listing.classes))]
    seen = [fact for name in ("train", "val") for fact in readable[name].facts]
    return DatasetStats(
        num_train=counts["train"],
        num_val=counts["val"],
        num_test=counts.get("test", 0),
        num_classes=len(listing.classes),
        class_names=tuple(listing.classes),
        named=listing.named,
        clips_per_class_min=min(per_class, default=0),
        clips_per_class_max=max(per_class, default=0),
        seconds_median=_median([fact.seconds for fact in seen]),
        fps_median=_median([fact.fps for fact in seen]),
        width_median=round(_median([fact.width for fact in seen])),
        height_median=round(_median([fact.height for fact in seen])),
        short_side_median=round(_median([min(fact.width, fact.height) for fact in seen])),
        unreadable=sum(map(len, listing.splits.values())) - sum(counts.values()),
        task=task,
    )


def _median(values: Sequence[float]) -> float:
    return float(np.quantile(values, 0.5)) if values else 0.0
