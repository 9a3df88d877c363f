"""Listed clips as a PyTorch data set: each item decoded, augmented and packed by a pipeline."""

import os
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import autox_video.mm_compat  # noqa: F401

import cv2
import numpy as np
import torch
from mmaction.registry import DATA_SAMPLERS, DATASETS
from mmengine.dataset import Compose
from mmengine.registry import FUNCTIONS
from torch.utils.data import Dataset, Sampler

from autox_video.dataset.listing import ClipList, read_list
from autox_video.errors import VideoError


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in a batch for a clip that could not be read."""

    position: int
    """Its place in the list."""
    video: str
    """The path as listed."""
    error: str


@DATASETS.register_module()
class ClipDataset(Dataset):
    """Clips of a list file, or given as a ClipList.

    An index is `epoch * len + position`, as EpochSampler gives it, so that every epoch augments
    differently and each item depends on the seed, the epoch and its position alone, not on the
    worker that makes it. An item is what `pipeline` packs, or Unreadable.

    Args:
        clips: the clips, or a CSV file of them (`path,label`).
        data_root: folder that relative paths start from.
        pipeline: configs of mmaction2 transforms.
        classes: class names, for whoever displays results.
        seed: start of every random stream.
    """

    def __init__(
        self,
        clips: ClipList | str,
        data_root: str,
        *,
        pipeline: Sequence[dict],
        classes: Sequence[str],
        seed: int = 0,
    ) -> None:
        self.clips = clips if isinstance(clips, ClipList) else read_list(clips)
        self.data_root = Path(data_root)
        self.pipeline = Compose(pipeline)
        self.metainfo = {"classes": tuple(classes)}
        self.seed = seed

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> dict | Unreadable:
        epoch, position = divmod(index, len(self))
        video = self.clips.paths[position]
        rng = np.random.default_rng([self.seed, epoch, position])
        _seed_global_streams(int(rng.integers(2**32)))
        item: dict[str, Any] = {"filename": str(self.data_root / video), "rng": rng}
        if self.clips.labels is not None:
            item["label"] = self.clips.labels[position]
        try:
            return self.pipeline(item)
        except VideoError as error:
            return Unreadable(position, video, str(error))


def _seed_global_streams(seed: int) -> None:
    # mmaction2's transforms draw from the global streams.
    np.random.seed(seed)
    random.seed(seed)


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """Every clip once an epoch, in an order that depends on the seed and the epoch alone.

    Args:
        dataset: whose items are sampled.
        seed: start of the orders; None means 0.
        shuffle: whether the order is random.
    """

    def __init__(self, dataset: Dataset, seed: int | None = None, *, shuffle: bool = True) -> None:
        self.size = len(dataset)
        self.seed = seed or 0
        self.shuffle = shuffle
        self.epoch = 0
        self.skip = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self):
        order = np.arange(self.size)
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
        return iter((self.epoch * self.size + order[self.skip :]).tolist())

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass."""
        self.epoch = epoch

    def skip_first(self, clips: int) -> None:
        """Leave out the first `clips` clips of the next pass: they were used before a stop."""
        self.skip = clips


@FUNCTIONS.register_module()
def collate_clips(items: Sequence[dict | Unreadable]) -> dict:
    """A batch: `inputs` (B, views, 3, T, H, W) uint8, `labels` (B) or None, `unreadable`.

    One tensor for all clips: a worker hands over each tensor by a file descriptor of its own.
    """
    read = [item for item in items if not isinstance(item, Unreadable)]
    labels = [getattr(item["data_samples"], "gt_label", None) for item in read]
    return {
        "inputs": torch.stack([item["inputs"] for item in read]) if read else torch.empty(0),
        "labels": torch.cat(labels) if labels and labels[0] is not None else None,
        "unreadable": [item for item in items if isinstance(item, Unreadable)],
    }


@FUNCTIONS.register_module()
def start_data_worker(worker_id: int) -> None:
    """Leave signals to the parent, and the other cores to the model.

    A terminal signals the whole process group; the parent then still needs its workers for the
    step that it finishes. It ends them by SIGTERM, for which PyTorch's own handler stays.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
