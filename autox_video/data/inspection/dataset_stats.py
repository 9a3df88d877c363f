"""What a data set is like, in a few numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from autox_video.data.inspection.clip_facts import ClipFacts


@dataclass(frozen=True, slots=True)
class DatasetStats:
    """What a data set is like. All numbers are of readable clips; those of an empty set are 0.

    Attributes:
        num_train, num_val, num_test: clips.
        num_classes: classes, whether or not they have clips.
        class_names: by class index.
        named: whether the names mean something, or are just the indices.
        clips_per_class_min, clips_per_class_max: training clips of the rarest and commonest class.
        seconds_median: length; this and what follows of train and val.
        fps_median: frames per second.
        width_median, height_median, short_side_median: pixels.
        unreadable: entries of all lists that were left out.
        task: what its labels are for, by the name in `tasks`.
    """

    num_train: int
    num_val: int
    num_test: int
    num_classes: int
    class_names: tuple[str, ...]
    named: bool
    clips_per_class_min: int
    clips_per_class_max: int
    seconds_median: float
    fps_median: float
    width_median: int
    height_median: int
    short_side_median: int
    unreadable: int
    task: str = "single_label"


def summarize(
    class_names: Sequence[str],
    *,
    named: bool,
    train_labels: Sequence[int] | Sequence[tuple[int, ...]],
    train: Sequence[ClipFacts],
    val: Sequence[ClipFacts],
    test: Sequence[ClipFacts] = (),
    task: str = "single_label",
) -> DatasetStats:
    """Sum up the facts of the listed clips; `train_labels` belong to `train`, one by one."""
    pairs = zip(train_labels, train, strict=True)
    read = (label for label, clip in pairs if clip.error is None)
    several = (label if isinstance(label, tuple) else (label,) for label in read)
    labels = np.fromiter(chain.from_iterable(several), dtype=np.int64)
    per_class = np.bincount(labels, minlength=len(class_names)) if class_names else np.zeros(1)
    readable = [[clip for clip in split if clip.error is None] for split in (train, val, test)]
    num_train, num_val, num_test = map(len, readable)
    seen = [*readable[0], *readable[1]]
    return DatasetStats(
        num_train=num_train,
        num_val=num_val,
        num_test=num_test,
        num_classes=len(class_names),
        class_names=tuple(class_names),
        named=named,
        clips_per_class_min=int(per_class.min()),
        clips_per_class_max=int(per_class.max()),
        seconds_median=_median([clip.seconds for clip in seen]),
        fps_median=_median([clip.fps for clip in seen]),
        width_median=round(_median([clip.width for clip in seen])),
        height_median=round(_median([clip.height for clip in seen])),
        short_side_median=round(_median([min(clip.width, clip.height) for clip in seen])),
        unreadable=sum(map(len, (train, val, test))) - num_train - num_val - num_test,
        task=task,
    )


def _median(values: Sequence[float]) -> float:
    return float(np.quantile(values, 0.5)) if values else 0.0
