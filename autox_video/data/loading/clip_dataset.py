"""A data set of listed clips, which a pipeline reads and crops, and a loader of its batches."""

import math
import mmap
import random
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.dataset import Compose

from autox_video.data.clip_table import WHOLE_VIDEO, ClipTable
from autox_video.data.label_array import label_array
from autox_video.data.listing.written_list import read_list
from autox_video.data.loading.loader import (
    FETCH_LIMIT_SEC,
    TIME_LIMIT_SEC,
    ClipLoader,
    Loaded,
    Tolerance,
)
from autox_video.distributed.processes import Processes
from autox_video.video.files.remote import is_remote, join


@DATASETS.register_module()
@dataclass(eq=False)
class ClipDataset:
    """The clips of a list file or a ClipTable.

    An index is `epoch * len + position`. An item depends only on the seed, the epoch and its
    position, not on the process that reads it.
    """

    clips: ClipTable | str
    """The clips, or a CSV file written by `write_list`."""
    data_root: str
    """Folder or URL that the listed paths are relative to."""
    _: KW_ONLY
    pipeline: Sequence[dict]
    """Configs of mmaction2 transforms that produce `inputs`."""
    classes: Sequence[str]
    """Class names."""
    item_shape: Sequence[int]
    """Shape of `inputs`: views, frames, height, width, 3."""
    seed: int = 0
    """Seed for all random numbers."""
    rounds: Sequence[int] | None = None
    """The round to read from each clip when testing (see `sampling.rounds_of`), or None."""

    def __post_init__(self) -> None:
        if isinstance(self.clips, str):
            self.clips = read_list(self.clips)
        self.data_root, self.item_shape = str(self.data_root), tuple(self.item_shape)
        self.transforms = Compose(self.pipeline)
        self.metainfo = {"classes": tuple(self.classes)}
        # This is shared memory, since workers are forked and write into it.
        self.seconds = np.frombuffer(mmap.mmap(-1, 8 * max(len(self.rounds or ()), 1)))
        """Array (clips,) of clip lengths, each 0 until its clip is read; set only with `rounds`."""

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def is_remote(self) -> bool:
        """Whether any clips are remote."""
        return is_remote(self.data_root) or any(map(is_remote, self.clips.paths))

    def name(self, index: int) -> str:
        """Return the path of a clip as listed."""
        return self.clips.paths[index % len(self)]

    def read(self, index: int, out: np.ndarray) -> None:
        """Write the views of a clip into `out`, (*item_shape) uint8; raises VideoError."""
        epoch, position = divmod(index, len(self))
        rng = np.random.default_rng([self.seed, epoch, position])
        # mmaction2's transforms use the global random generators.
        global_seed = int(rng.integers(2**32))
        np.random.seed(global_seed)
        random.seed(global_seed)
        filename = join(self.data_root, self.clips.paths[position])
        item: dict[str, Any] = {"filename": filename, "rng": rng, "out": out}
        if self.clips.segment(position) != WHOLE_VIDEO:
            item["segment"] = self.clips.segment(position)
        if self.rounds is not None:
            item["round"] = self.rounds[position]
        results = self.transforms(item)
        if self.rounds is not None:
            self.seconds[position] = results["seconds"]
        if results["inputs"] is not out:
            out[...] = results["inputs"]

    def batch(self, loaded: Loaded) -> dict[str, Any]:
        """Return loaded items as a batch for a model.

        The batch holds `inputs` (B, V, T, H, W, 3) uint8, which share the loader's memory; `labels`
        as returned by `label_array`, or None; `positions`, the positions of the clips in the list;
        and `seeds`, one seed per clip for augmentation on the device.
        """
        inputs = torch.from_numpy(loaded.items)
        positions = [index % len(self) for index in loaded.indices]
        seeds = [_seed_of(self.seed, *divmod(index, len(self))) for index in loaded.indices]
        labels = None
        if self.clips.labels is not None:
            listed = [self.clips.labels[position] for position in positions]
            labels = torch.from_numpy(label_array(listed, len(self.classes)))
        return {"inputs": inputs, "labels": labels, "positions": positions, "seeds": seeds}


def _seed_of(seed: int, epoch: int, position: int) -> int:
    """Return a unique seed for augmenting a clip after loading."""
    return int(np.random.SeedSequence([seed, epoch, position, 1]).generate_state(1)[0])


class ClipBatches(ClipLoader):
    """Provides a data set's batches for each epoch; used in place of a DataLoader.

    In training, each batch is divided among the processes. In evaluation (fixed order), each
    process gets whole batches, so that results are the same as with a single process.

    Args:
        dataset: the data set to read.
        batch_size: samples per batch, counted over all processes.
        workers: number of worker processes that read the clips; 0: read in this process.
        shuffle: whether to shuffle the clips; the order depends on the data set's seed and the
            epoch.
        pin_memory: whether to copy batches to page-locked memory, for a GPU.
        processes: the processes that share the batches; None: only this one.
    """

    dataset: ClipDataset

    def __init__(
        self,
        dataset: ClipDataset,
        *,
        batch_size: int,
        workers: int,
        shuffle: bool = False,
        pin_memory: bool = False,
        processes: Processes | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.pin_memory = pin_memory
        self.processes = processes or Processes()
        parts = self.processes.size if shuffle else 1
        super().__init__(
            dataset,
            batch_size=math.ceil(self.batch_size / parts),
            workers=workers,
            time_limit_sec=FETCH_LIMIT_SEC if dataset.is_remote else TIME_LIMIT_SEC,
        )

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return self.batches_in(len(self.dataset))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.epoch(0)

    def batches_in(self, clips: int) -> int:
        """Return the number of batches for a number of clips."""
        return math.ceil(clips / self.batch_size)

    def tolerate(self, tolerated: float) -> None:
        """Set the share of unreadable clips above which reading stops."""
        self.tolerance = Tolerance.of_share(tolerated, len(self.dataset))

    def nothing(self) -> dict[str, Any]:
        """Return a placeholder for an empty batch: one black clip with weight 0."""
        black = np.zeros((1, *self.dataset.item_shape), dtype=np.uint8)
        return {**self.dataset.batch(Loaded([0], black, [None], [])), "weight": 0.0}

    def epoch(self, epoch: int, *, skip: int = 0) -> Iterator[dict[str, Any]]:
        """Yield this process's batches of an epoch, in order, skipping the first `skip` clips.

        Each batch is a `ClipDataset.batch` with four more keys: `unreadable`, the unreadable clips;
        `taken`, the number of clips of the epoch up to the end of the batch; `weight`, by which
        this process's mean is multiplied so that the mean over the processes equals the mean over
        the whole batch; and `is_full`. If clips are shuffled, unreadable clips are replaced by
        other clips.
        """
        order = self._order(epoch)
        starts = range(skip, len(order), self.batch_size)
        parts = self._deal(
            [range(start, min(start + self.batch_size, len(order))) for start in starts]
        )
        items = self.read(order, [part for _, part, _ in parts], fill=self.shuffle)
        # Reading ends early if too many clips are unreadable.
        for (whole, part, weight), loaded in zip(parts, items, strict=False):
            batch = self.dataset.batch(loaded)
            if self.pin_memory and len(loaded.indices):
                batch["inputs"] = batch["inputs"].pin_memory()
            is_full = len(whole) == self.batch_size and len(loaded.indices) == len(part)
            batch |= {"taken": whole.stop, "weight": weight, "is_full": is_full}
            yield batch | {"unreadable": loaded.unreadable}

    def _deal(self, batches: Sequence[range]) -> list[tuple[range, range, float]]:
        """Return each whole batch, this process's part of it, and the weight of the part's mean.

        A process that gets no part of a batch gets one clip with weight 0 instead.
        """
        rank, size = self.processes.rank, self.processes.size
        if not self.shuffle:
            return [(batch, batch, 1.0) for batch in batches[rank::size]]
        dealt = []
        for batch in batches:
            start, stop = (len(batch) * number // size for number in (rank, rank + 1))
            part = batch[start:stop] or batch[:1]
            dealt.append((batch, part, (stop - start) * size / len(batch)))
        return dealt

    def _order(self, epoch: int) -> list[int]:
        clips = len(self.dataset)
        order = np.arange(clips)
        if self.shuffle:
            order = np.random.default_rng([self.dataset.seed, epoch]).permutation(clips)
        return (epoch * clips + order).tolist()


def build_batches(config: dict, processes: Processes | None = None) -> ClipBatches:
    """Build ClipBatches from a config's `train_dataloader` or `val_dataloader`."""
    options = dict(config)
    dataset = DATASETS.build(options.pop("dataset"))
    return ClipBatches(dataset, **options, processes=processes)
