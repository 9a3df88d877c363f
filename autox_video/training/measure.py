"""Measure how long it takes to read a clip and to run a training step."""

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
CLIPS_READ = 12  # number of clips per process
FEW_CLIPS = 2  # clips per step in the first steps, which may be slow
STEPS = 4
# If steps are short, more steps are timed, up to this time or this share of the training time.
STEADY_SEC, STEADY_SHARE = 2.0, 0.05
VIEWS = 12
MOST_OF_MEMORY = 0.9  # share of GPU memory for a step; the rest is lost to fragmentation


def measure(config: Config, *, processes: int = 1, limit_sec: float = LIMIT_SEC) -> Measured | None:
    """Measure the time it takes to read a few training clips and to train on dummy clips.

    Nothing is stored, and the random state is unchanged. The result is None if none of the clips is
    readable. The result is also None if the model, which may be sharded in training, does not fit
    on one device.

    Args:
        config: config of the run, without a cache.
        processes: number of processes that share a training step.
        limit_sec: approximate time limit in seconds, not counting one clip and three small steps.
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
    """Return the measurements, updated with the times of a first and a second read with a cache.

    Args:
        config: config of the run, with a cache to which the measured clips are added.
        measured: the measurements without a cache.
        limit_sec: approximate time limit in seconds.
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
    """Return the number of gradient accumulation parts needed to fit a training step in memory.

    Training steps are tried on dummy clips, with memory allocated for the optimizer state. The
    number of parts is doubled until a step fits in memory.

    Raises:
        ResourceError: not even one clip fits in memory.
    """
    with _leaving_no_trace():
        model = _NoiseTrained(config)
        trained = [p for p in model.model.parameters() if p.requires_grad]
        moments = [torch.zeros_like(p) for p in trained for _ in range(2)]
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
    """Return one worker's time per clip while all workers read; None if all reads fail."""
    at_a_time = max(workers, 1)
    count = min(CLIPS_READ * at_a_time, len(dataset))
    positions = np.linspace(0, len(dataset) - 1, count).astype(int).tolist()
    batches = [range(n, min(n + at_a_time, count)) for n in range(0, count, at_a_time)]
    # With a single worker, reading is measured without the transfer to the main process.
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
    # The time of the first batch includes opening decoders and starting workers.
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
    """A model built from a config and trained on dummy clips."""

    def __init__(self, config: Config) -> None:
        self.device = torch.device(config.device)
        self.model = MODELS.build(config.model).to(self.device)
        self.head = config.model.cls_head
        self.view = config.train_dataloader.dataset.item_shape[1:]

    def step(self, clips: int, optimizer: OptimWrapper | None = None) -> float:
        """Return the time of a training step; without an optimizer, weights are not updated."""
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
        """Return the time that a forward pass takes per view, in seconds."""
        self.model.eval()
        batch, seconds = self._batch(views), []
        for _ in range(2):
            started = time.perf_counter()
            with torch.inference_mode():
                self.model.test_step({"inputs": batch["inputs"], "labels": batch["labels"]})
            seconds.append(self._since(started))
        return min(seconds) / views

    def fits(self, clips: int) -> bool:
        """Return whether a training step with the given number of clips fits in memory."""
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
    """Return the training time per clip in seconds, measured on full batches if time permits.

    Args:
        model: model to train on dummy clips.
        optimizer: optimizer of the model.
        most_clips: number of clips per step in training.
        steps: total number of training steps.
        until: monotonic time at which to stop measuring.
    """
    few = min(FEW_CLIPS, most_clips)
    model.step(few, optimizer)  # the first step is much slower than all later ones
    few_sec = model.step(few, optimizer)
    affordable = int((until - time.monotonic()) / 2 / few_sec * few)
    clips = min(most_clips, max(2 * few, affordable))
    seconds = [model.step(clips, optimizer)]
    steady_sec = min(STEADY_SEC, STEADY_SHARE * steps * seconds[0])
    while time.monotonic() < until and (len(seconds) <= STEPS or sum(seconds[1:]) < steady_sec):
        seconds.append(model.step(clips, optimizer))
    mean_sec = statistics.mean(seconds[1:] or seconds)
    # A clip takes less time in a large step than in a small one, so extrapolate linearly.
    more_sec = max(0.0, mean_sec - few_sec) / max(clips - few, 1)
    return (mean_sec + more_sec * (most_clips - clips)) / most_clips


def _free_memory(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
