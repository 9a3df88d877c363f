"""How long reading a clip and a training step on it take on this machine."""

import gc
import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope

from autox_video.core.errors import ResourceError
from autox_video.data.label_array import label_array
from autox_video.data.loading.clip_dataset import ClipDataset
from autox_video.data.loading.loader import ClipLoader
from autox_video.planning.predicted_time import Measured
from autox_video.tasks.task import TASKS
from autox_video.training.memory import NOT_EVEN_ONE, is_out_of_memory

LIMIT_SEC = 15.0
READ_SHARE, TEST_READ_SHARE, STEP_SHARE = 0.25, 0.1, 0.8
CLIPS_READ = 12  # by each process
FEW_CLIPS = 2  # of a first step, which may be slow
STEPS = 4
# Of short steps more are timed: until they have taken so long, or that share of what all of the
# training will.
STEADY_SEC, STEADY_SHARE = 2.0, 0.05
VIEWS = 12
MOST_OF_MEMORY = 0.9  # of a GPU, that a step may take: what is left is lost between blocks


def measure(config: Config, *, processes: int = 1, limit_sec: float = LIMIT_SEC) -> Measured | None:
    """Read a few clips spread over the training list, and train a model of the config on noise.

    Nothing of it is kept. None where none of these clips can be read, or the model, which several
    processes may share, does not fit on one device.

    Args:
        config: of the run, without a cache.
        processes: that share a training step.
        limit_sec: about how long it may take, on top of one clip and three small steps.
    """
    started = time.monotonic()
    with _leaving_no_trace():
        dataset = DATASETS.build(config.train_dataloader.dataset)
        read_sec = _read_sec(dataset, config.train_dataloader.workers, READ_SHARE * limit_sec)
        if read_sec is None:
            return None
        test_read_sec = _read_sec(_as_tested(dataset, config), 0, TEST_READ_SHARE * limit_sec)
        batch_size = config.train_dataloader.batch_size
        clips = math.ceil(math.ceil(batch_size / processes) / config.train_cfg.accumulation)
        in_epoch = math.ceil(len(dataset) / batch_size)
        try:
            model = _NoiseTrained(config)
            optimizer = build_optim_wrapper(model.model, config.optim_wrapper)
            steps, until = config.train_cfg.max_epochs * in_epoch, started + STEP_SHARE * limit_sec
            step_sec = _step_sec(model, optimizer, clips, steps, until)
            view_sec = model.view_sec(min(clips, VIEWS))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            model = optimizer = None
        if model is None:
            _free_memory(torch.device(config.device))
            return None
    return Measured(
        first_read_sec=read_sec,
        read_sec=read_sec,
        step_sec=step_sec,
        view_sec=view_sec,
        test_read_sec=read_sec if test_read_sec is None else test_read_sec,
        took_sec=time.monotonic() - started,
    )


def measure_cached(config: Config, measured: Measured, *, limit_sec: float = LIMIT_SEC) -> Measured:
    """What reading through the cache takes, in the first epoch and then.

    Args:
        config: of the run, with its cache, which gets the clips that are read.
        measured: everything else.
        limit_sec: about how long it may take.
    """
    started = time.monotonic()
    with DefaultScope.overwrite_default_scope("mmaction"):
        dataset = DATASETS.build(config.train_dataloader.dataset)
        first, again = (_read_sec(dataset, 0, READ_SHARE * limit_sec) for _ in range(2))
    if first is None or again is None:
        return measured
    took_sec = measured.took_sec + time.monotonic() - started
    return replace(measured, first_read_sec=first, read_sec=again, took_sec=took_sec)


def parts_that_fit(config: Config, clips: int) -> int:
    """In how many parts a training step on so many clips must be done to fit in memory.

    Found by doing it, on noise, with what the optimizer will take allocated; twice as many parts
    each time that it does not fit.

    Raises:
        ResourceError: not even one clip fits.
    """
    with _leaving_no_trace():
        model = _NoiseTrained(config)
        moments = [torch.zeros_like(p) for p in model.model.parameters() for _ in range(2)]
        parts = 1
        while not model.fits(math.ceil(clips / parts)):
            if parts >= clips:
                raise ResourceError(NOT_EVEN_ONE)
            parts = min(2 * parts, clips)
        del moments
    return parts


@contextmanager
def _leaving_no_trace() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope("mmaction"), torch.random.fork_rng():
        yield


def _read_sec(dataset: ClipDataset, workers: int, limit_sec: float) -> float | None:
    """Seconds of one process to read a sample, while as many others read; None: none can be."""
    at_a_time = max(workers, 1)
    count = min(CLIPS_READ * at_a_time, len(dataset))
    positions = np.linspace(0, len(dataset) - 1, count).astype(int).tolist()
    batches = [range(n, min(n + at_a_time, count)) for n in range(0, count, at_a_time)]
    # One process alone is measured without the way from a worker to the main process.
    loader = ClipLoader(dataset, batch_size=at_a_time, workers=workers if workers > 1 else 0)
    clips, marks = [], [time.perf_counter()]
    try:
        for loaded in loader.read(positions, batches):
            clips.append(len(loaded.indices))
            marks.append(time.perf_counter())
            if marks[-1] - marks[0] > limit_sec:
                break
    finally:
        loader.close()
    # The first ones open decoders, and wait for the workers to start.
    skip = 1 if sum(clips[1:]) else 0
    if not sum(clips[skip:]):
        return None
    return (marks[-1] - marks[skip]) * at_a_time / sum(clips[skip:])


def _as_tested(dataset: ClipDataset, config: Config) -> ClipDataset:
    return ClipDataset(
        dataset.clips,
        dataset.data_root,
        pipeline=config.test_pipeline,
        classes=config.classes,
        item_shape=config.test_item_shape,
    )


class _NoiseTrained:
    """The model of a config on its device, to be trained on noise."""

    def __init__(self, config: Config) -> None:
        self.device = torch.device(config.device)
        self.model = MODELS.build(config.model).to(self.device)
        self.head = config.model.cls_head
        self.view = config.train_dataloader.dataset.item_shape[1:]

    def step(self, clips: int, optimizer: OptimWrapper | None = None) -> float:
        """Seconds of a training step, of forward and backward alone without an optimizer."""
        started = time.perf_counter()
        data = self.model.data_preprocessor(self._batch(clips), training=True)
        loss = self.model(**data, mode="loss")["loss_cls"]
        if optimizer is None:
            loss.backward()
        else:
            optimizer.backward(loss)
            optimizer.step(loss=loss)
            optimizer.zero_grad()
        return self._since(started)

    def view_sec(self, views: int) -> float:
        """Seconds of a forward pass per view."""
        self.model.eval()
        batch, seconds = self._batch(views), []
        for _ in range(2):
            started = time.perf_counter()
            with torch.inference_mode():
                self.model.test_step({"inputs": batch["inputs"], "labels": batch["labels"]})
            seconds.append(self._since(started))
        return min(seconds) / views

    def fits(self, clips: int) -> bool:
        """Whether a training step on so many clips fits in memory."""
        try:
            self.step(clips)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            fits = False
        else:
            fits = not self._is_nearly_full()
        self.model.zero_grad()
        _free_memory(self.device)
        return fits

    def _batch(self, clips: int) -> dict:
        labels = [() if TASKS[self.head.task].has_label_sets else 0] * clips
        return {
            "inputs": torch.zeros(clips, 1, *self.view, dtype=torch.uint8),
            "labels": torch.from_numpy(label_array(labels, self.head.num_classes)),
            "seeds": list(range(clips)),
        }

    def _since(self, started: float) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - started

    def _is_nearly_full(self) -> bool:
        if self.device.type != "cuda":
            return False
        whole = torch.cuda.get_device_properties(self.device).total_memory
        return torch.cuda.max_memory_allocated(self.device) > MOST_OF_MEMORY * whole


def _step_sec(
    model: _NoiseTrained, optimizer: OptimWrapper, most_clips: int, steps: int, until: float
) -> float:
    """Seconds of a training step per clip, with as many clips as in training if time allows.

    Args:
        model: to be trained.
        optimizer: of it.
        most_clips: of a step in training.
        steps: of the whole training.
        until: the monotonic clock's time at which to stop.
    """
    few = min(FEW_CLIPS, most_clips)
    model.step(few, optimizer)  # much slower than all others
    few_sec = model.step(few, optimizer)
    affordable = int((until - time.monotonic()) / 2 / few_sec * few)
    clips = min(most_clips, max(2 * few, affordable))
    seconds = [model.step(clips, optimizer)]
    steady_sec = min(STEADY_SEC, STEADY_SHARE * steps * seconds[0])
    while time.monotonic() < until and (len(seconds) <= STEPS or sum(seconds[1:]) < steady_sec):
        seconds.append(model.step(clips, optimizer))
    mean_sec = statistics.mean(seconds[1:] or seconds)
    # A clip takes less in a large step than in a small one: what is missing goes on evenly.
    more_sec = max(0.0, mean_sec - few_sec) / max(clips - few, 1)
    return (mean_sec + more_sec * (most_clips - clips)) / most_clips


def _free_memory(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
