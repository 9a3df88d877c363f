"""How long reading a clip and a training step on it take on this machine."""

import copy
import gc
import math
import statistics
import time
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
MOST_OF_MEMORY = 0.9  # of a GPU, that a trial may take: what is left is lost between blocks


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
    with DefaultScope.overwrite_default_scope("mmaction"), torch.random.fork_rng():
        dataset = DATASETS.build(config.train_dataloader.dataset)
        read_sec = _read_sec(dataset, config.train_dataloader.workers, READ_SHARE * limit_sec)
        if read_sec is None:
            return None
        test_read_sec = _read_sec(_as_tested(dataset, config), 0, TEST_READ_SHARE * limit_sec)
        steps = _training_steps(config, len(dataset) * dataset.samples_per_clip)
        speeds = _speeds(config, processes, steps, started + STEP_SHARE * limit_sec)
        if speeds is None:
            return None
        return Measured(
            first_read_sec=read_sec,
            read_sec=read_sec,
            step_sec=speeds[0],
            view_sec=speeds[1],
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
    with DefaultScope.overwrite_default_scope("mmaction"), torch.random.fork_rng():
        model = _model(config)
        moments = [torch.zeros_like(p) for p in model.parameters() for _ in range(2)]
        parts = 1
        while not _fits(model, _noise(config, math.ceil(clips / parts))):
            if parts >= clips:
                raise ResourceError(NOT_EVEN_ONE)
            parts = min(2 * parts, clips)
        del moments
    return parts


def _fits(model: torch.nn.Module, batch: dict) -> bool:
    try:
        _one_step(model, batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fits = False
    else:
        fits = not _is_nearly_full(model)
    model.zero_grad()
    _free_memory(next(model.parameters()).device)
    return fits


def _free_memory(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _is_nearly_full(model: torch.nn.Module) -> bool:
    device = next(model.parameters()).device
    if device.type != "cuda":
        return False
    whole = torch.cuda.get_device_properties(device).total_memory
    return torch.cuda.max_memory_allocated(device) > MOST_OF_MEMORY * whole


def _read_sec(dataset: ClipDataset, workers: int, limit_sec: float) -> float | None:
    """Seconds of one process to read a sample, while as many others read; None: none can be."""
    at_a_time = max(workers, 1)
    count = min(CLIPS_READ * at_a_time, len(dataset))
    positions = np.linspace(0, len(dataset) - 1, count).astype(int).tolist()
    batches = [range(n, min(n + at_a_time, count)) for n in range(0, count, at_a_time)]
    # One process alone is measured without the way from a worker to here.
    loader = ClipLoader(dataset, batch_size=at_a_time, workers=workers if workers > 1 else 0)
    read, marks = [], [time.perf_counter()]
    try:
        for loaded in loader.read(positions, batches):
            read.append(len(loaded.indices))
            marks.append(time.perf_counter())
            if marks[-1] - marks[0] > limit_sec:
                break
    finally:
        loader.close()
    # The first ones open decoders, and wait for the workers to start.
    skip = 1 if sum(read[1:]) else 0
    if not sum(read[skip:]):
        return None
    return (marks[-1] - marks[skip]) * at_a_time / sum(read[skip:]) / dataset.samples_per_clip


def _as_tested(dataset: ClipDataset, config: Config) -> ClipDataset:
    return ClipDataset(
        dataset.clips,
        dataset.data_root,
        pipeline=config.test_pipeline,
        classes=config.classes,
        item_shape=config.test_item_shape,
    )


def _training_steps(config: Config, samples: int) -> int:
    return config.train_cfg.max_epochs * math.ceil(samples / config.train_dataloader.batch_size)


def _speeds(
    config: Config, processes: int, steps: int, deadline: float
) -> tuple[float, float] | None:
    """Seconds of a step per clip and of a view; None where there is too little memory."""
    try:
        trial = _Trial(config, processes)
        return trial.step_sec(steps, deadline), trial.view_sec()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    _free_memory(torch.device(config.device))
    return None


class _Trial:
    """A model and its optimizer to be timed, on noise."""

    def __init__(self, config: Config, processes: int) -> None:
        self.config = config
        self.model = _model(config)
        self.optimizer = build_optim_wrapper(self.model, config.optim_wrapper)
        share = math.ceil(config.train_dataloader.batch_size / processes)
        self.clips = math.ceil(share / config.train_cfg.accumulation)

    def step_sec(self, steps: int, deadline: float) -> float:
        """Seconds of a training step per clip, with as many clips as in training if time allows.

        Args:
            steps: of the whole training.
            deadline: the monotonic clock's time at which to stop.
        """
        few = min(FEW_CLIPS, self.clips)
        self._step(few)  # much slower than all others
        few_sec = self._step(few)
        affordable = int((deadline - time.monotonic()) / 2 / few_sec * few)
        clips = min(self.clips, max(2 * few, affordable))
        seconds = [self._step(clips)]
        steady_sec = min(STEADY_SEC, STEADY_SHARE * steps * seconds[0])
        while time.monotonic() < deadline and (
            len(seconds) <= STEPS or sum(seconds[1:]) < steady_sec
        ):
            seconds.append(self._step(clips))
        each_sec = statistics.mean(seconds[1:] or seconds)
        # A clip takes less in a large step than in a small one: what is missing goes on evenly.
        more_sec = max(0.0, each_sec - few_sec) / max(clips - few, 1)
        return (each_sec + more_sec * (self.clips - clips)) / self.clips

    def view_sec(self) -> float:
        """Seconds of a forward pass per view."""
        self.model.eval()
        views = min(self.clips, VIEWS)
        batch = _noise(self.config, views)
        return min(self._view(batch) for _ in range(2)) / views

    def _step(self, clips: int) -> float:
        started = time.perf_counter()
        _one_step(self.model, _noise(self.config, clips), self.optimizer)
        return time.perf_counter() - started

    def _view(self, batch: dict) -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            self.model.test_step({"inputs": batch["inputs"], "labels": batch["labels"]})
        _wait_for_gpu(self.model)
        return time.perf_counter() - started


def _model(config: Config) -> torch.nn.Module:
    """The model of a config, on its device; not compiled, which takes longer than all trials."""
    model = copy.deepcopy(config.model)
    model.backbone.compile = False
    return MODELS.build(model).to(config.device)


def _noise(config: Config, clips: int) -> dict:
    _, *view = config.train_dataloader.dataset.item_shape
    head = config.model.cls_head
    labels = [() if TASKS[head.task].has_label_sets else 0] * clips
    return {
        "inputs": torch.zeros(clips, 1, *view, dtype=torch.uint8),
        "labels": torch.from_numpy(label_array(labels, head.num_classes)),
        "seeds": list(range(clips)),
    }


def _one_step(model: torch.nn.Module, batch: dict, optimizer: OptimWrapper | None = None) -> None:
    data = model.data_preprocessor(dict(batch), training=True)
    loss = model(**data, mode="loss")["loss_cls"]
    if optimizer is None:
        loss.backward()
    else:
        optimizer.backward(loss)
        optimizer.step(loss=loss)
        optimizer.zero_grad()
    _wait_for_gpu(model)


def _wait_for_gpu(model: torch.nn.Module) -> None:
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
