"""Listed clips as a data set, each read and cropped by a pipeline, in batches for a model."""

import math
import random
from collections.abc import Sequence
from typing import Any

import autox_video.mm_compat  # noqa: F401

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.dataset import Compose
from torch import Tensor

from autox_video.dataset.entries import WHOLE_VIDEO
from autox_video.dataset.listing import ClipList, read_list
from autox_video.dataset.loader import TIME_LIMIT_SEC, ClipLoader, Loaded
from autox_video.dataset.remote import is_remote, join

FETCH_LIMIT_SEC = 600.0
"""A worker that fetches and reads one clip for longer is taken to hang."""


@DATASETS.register_module()
class ClipDataset:
    """Clips of a list file, or given as a ClipList.

    An index is `epoch * len + position`, so that every epoch augments differently and each item
    depends on the seed, the epoch and its position alone, not on the process that makes it.

    Args:
        clips: the clips, or a CSV file of them (as `write_list` writes it).
        data_root: folder that relative paths start from.
        pipeline: configs of mmaction2 transforms, whose result is `inputs`.
        classes: class names.
        item_shape: of `inputs`: views, frames, height, width, 3.
        seed: start of every random stream.
        views_are_clips: whether each view is a sample of its own (repeated augmentation) instead
            of one to average over.
    """

    def __init__(
        self,
        clips: ClipList | str,
        data_root: str,
        *,
        pipeline: Sequence[dict],
        classes: Sequence[str],
        item_shape: Sequence[int],
        seed: int = 0,
        views_are_clips: bool = False,
    ) -> None:
        self.clips = clips if isinstance(clips, ClipList) else read_list(clips)
        self.data_root = str(data_root)
        self.pipeline = Compose(pipeline)
        self.metainfo = {"classes": tuple(classes)}
        self.item_shape = tuple(item_shape)
        self.seed = seed
        self.views_are_clips = views_are_clips

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def is_remote(self) -> bool:
        """Whether clips are fetched from elsewhere."""
        return is_remote(self.data_root) or any(map(is_remote, self.clips.paths))

    @property
    def samples_per_clip(self) -> int:
        """Training samples that come of one reading of a clip."""
        return self.item_shape[0] if self.views_are_clips else 1

    def name(self, index: int) -> str:
        """The path of a clip as listed."""
        return self.clips.paths[index % len(self)]

    def read(self, index: int, out: np.ndarray) -> None:
        """Write the views of a clip into `out`, (*item_shape) uint8; raises VideoError."""
        epoch, position = divmod(index, len(self))
        rng = np.random.default_rng([self.seed, epoch, position])
        _seed_global_streams(int(rng.integers(2**32)))
        filename = join(self.data_root, self.clips.paths[position])
        item: dict[str, Any] = {"filename": filename, "rng": rng, "out": out}
        if self.clips.segment(position) != WHOLE_VIDEO:
            item["segment"] = self.clips.segment(position)
        inputs = self.pipeline(item)["inputs"]
        if inputs is not out:
            out[...] = inputs

    def batch(self, loaded: Loaded) -> dict[str, Any]:
        """What a model takes of loaded items.

        Gives `inputs` (B, V, T, H, W, 3) uint8, `labels` (B) int64 or, of several classes a clip,
        (B, classes) float32, or None, and for each clip its `positions` in the list and in `seeds`
        a number for augmentation on the device. `inputs` share the loader's memory.
        """
        inputs = torch.from_numpy(loaded.items)
        positions = [index % len(self) for index in loaded.indices]
        labels = self._labels(positions)
        seeds = [_seed_of(self.seed, *divmod(index, len(self))) for index in loaded.indices]
        if self.views_are_clips:
            # Views of one clip apart from each other: mixing pairs neighbours.
            views = range(self.item_shape[0])
            inputs = inputs.transpose(0, 1).flatten(0, 1).unsqueeze(1)
            labels = None if labels is None else torch.cat([labels for _ in views])
            positions = [position for _ in views for position in positions]
            seeds = [_seed_of(seed, view, 0) for view in views for seed in seeds]
        return {"inputs": inputs, "labels": labels, "positions": positions, "seeds": seeds}

    def _labels(self, positions: Sequence[int]) -> Tensor | None:
        if self.clips.labels is None:
            return None
        if not self.clips.multi_label:
            return torch.tensor([self.clips.labels[position] for position in positions])
        labels = torch.zeros(len(positions), len(self.metainfo["classes"]))
        for row, position in zip(labels, positions, strict=True):
            row[list(self.clips.labels[position])] = 1.0
        return labels


def _seed_global_streams(seed: int) -> None:
    # mmaction2's transforms draw from the global streams.
    np.random.seed(seed)
    random.seed(seed)


def _seed_of(seed: int, epoch: int, position: int) -> int:
    """Give a number for the augmentation of a clip behind the loader, apart from all others."""
    return int(np.random.SeedSequence([seed, epoch, position, 1]).generate_state(1)[0])


class ClipBatches:
    """The batches of a data set for a model, epoch by epoch; stands where a DataLoader would.

    Args:
        dataset: what to read.
        batch_size: samples in a batch.
        workers: processes that read; 0: this one.
        shuffle: whether the order is random: it depends on the data set's seed and the epoch.
        pin_memory: whether batches are copied to page-locked memory, for a GPU.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        *,
        batch_size: int,
        workers: int,
        shuffle: bool = False,
        pin_memory: bool = False,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.pin_memory = pin_memory
        self.loader = ClipLoader(
            dataset,
            batch_size=math.ceil(batch_size / dataset.samples_per_clip),
            workers=workers,
            time_limit_sec=FETCH_LIMIT_SEC if dataset.is_remote else TIME_LIMIT_SEC,
        )

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.loader)

    def __iter__(self):
        return self.epoch(0)

    @property
    def broken(self) -> dict[int, str]:
        """Why, by position, of each clip that could not be read so far."""
        return self.loader.broken

    def epoch(self, epoch: int, *, skip: int = 0, done: int = 0):
        """Give the batches of an epoch: what `ClipDataset.batch` gives, and `unreadable`, `taken`.

        In a random order, clips that cannot be read are made up for by the next ones.

        Args:
            epoch: counted from 0.
            skip: places of the order that were used before a stop.
            done: batches of the epoch that came before it.
        """
        order = self._order(epoch)
        for loaded in self.loader.read(order, skip=skip, done=done, fill=self.shuffle):
            batch = self.dataset.batch(loaded)
            if self.pin_memory and len(loaded.indices):
                batch["inputs"] = batch["inputs"].pin_memory()
            yield {**batch, "unreadable": loaded.unreadable, "taken": loaded.taken}

    def close(self) -> None:
        """End the workers."""
        self.loader.close()

    def _order(self, epoch: int) -> list[int]:
        clips = len(self.dataset)
        order = np.arange(clips)
        if self.shuffle:
            order = np.random.default_rng([self.dataset.seed, epoch]).permutation(clips)
        return (epoch * clips + order).tolist()


def build_batches(config: dict) -> ClipBatches:
    """Make ClipBatches of a config's `train_dataloader` or `val_dataloader`."""
    options = dict(config)
    return ClipBatches(DATASETS.build(options.pop("dataset")), **options)
