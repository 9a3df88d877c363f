"""What a data set is like, in a few numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autox_video.data.listing.listing import Listing


@dataclass(frozen=True, slots=True)
class DatasetStats:
    """What a data set is like. All numbers are of readable clips; those of an empty set are 0.

    Medians are of the clips for training and validation: seconds, frames per second, pixels.
    """

    num_train: int
    num_val: int
    num_test: int
    num_classes: int
    """Whether or not they have clips."""
    class_names: tuple[str, ...]
    named: bool
    """Whether the names mean something, or are just the indices."""
    clips_per_class_min: int
    """Training clips of the rarest class."""
    clips_per_class_max: int
    seconds_median: float
    fps_median: float
    width_median: int
    height_median: int
    short_side_median: int
    unreadable: int
    """Clips of all lists that are left out."""
    task: str = "single_label"
    """What its labels are for, by the name in `tasks`."""


def summarize(listing: Listing, task: str) -> DatasetStats:
    """Sum up the facts of an inspected listing; `task` is by its name."""
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
