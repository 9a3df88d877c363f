"""How long reading a clip and a training step on it take on this machine."""

import contextlib
import gc
import math
import statistics
import time

import autox_video.mm_compat  # noqa: F401

import numpy as np
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from autox_video.dataset.clips import ClipDataset
from autox_video.engine.memory import NOT_EVEN_ONE, is_out_of_memory
from autox_video.errors import ResourceError, VideoError
from autox_video.plan.choose_cache import Speeds

CLIPS_READ = 12
CLIPS_IN_STEP = {"cpu": 2, "cuda": 8}
STEPS = 3
MOST_OF_MEMORY = 0.9  # of a GPU, that a trial may take: what is left is lost between blocks


def measure(config: Config) -> Speeds | None:
    """Read a few clips spread over the training list, and train a model of the config on noise.

    Nothing of it is kept. None where none of these clips can be read.
    """
    with DefaultScope.overwrite_default_scope("mmaction"):
        read_sec = _read_sec(DATASETS.build(config.train_dataloader.dataset))
        return None if read_sec is None else Speeds(read_sec, _step_sec(config))


def parts_that_fit(config: Config, clips: int) -> int:
    """In how many parts a training step on so many clips must be done to fit in memory.

    Found by doing it, on noise, with what the optimizer will take allocated; twice as many parts
    each time that it does not fit.

    Raises:
        ResourceError: not even one clip fits.
    """
    with DefaultScope.overwrite_default_scope("mmaction"), torch.random.fork_rng():
        model = MODELS.build(config.model).to(config.device)
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
    gc.collect()
    if next(model.parameters()).is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return fits


def _is_nearly_full(model: torch.nn.Module) -> bool:
    device = next(model.parameters()).device
    if device.type != "cuda":
        return False
    whole = torch.cuda.get_device_properties(device).total_memory
    return torch.cuda.max_memory_allocated(device) > MOST_OF_MEMORY * whole


def _read_sec(dataset: ClipDataset) -> float | None:
    positions = np.linspace(0, len(dataset) - 1, min(CLIPS_READ, len(dataset))).astype(int)
    out = np.empty(dataset.item_shape, np.uint8)
    seconds = []
    for position in positions.tolist():
        started = time.perf_counter()
        with contextlib.suppress(VideoError):  # training will name it
            dataset.read(position, out)
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) / dataset.samples_per_clip if seconds else None


def _step_sec(config: Config) -> float:
    """Median seconds of a training step per clip, without the optimiser's part."""
    with torch.random.fork_rng():
        model = MODELS.build(config.model).to(config.device)
        most = CLIPS_IN_STEP[config.device.partition(":")[0]]
        clips = min(most, config.train_dataloader.batch_size)
        batch = _noise(config, clips)
        seconds = [_one_step(model, batch) for _ in range(STEPS)]
    return min(seconds[1:]) / clips


def _noise(config: Config, clips: int) -> dict:
    _, *view = config.train_dataloader.dataset.item_shape
    return {
        "inputs": torch.zeros(clips, 1, *view, dtype=torch.uint8),
        "labels": _labels(config.model.cls_head, clips),
        "seeds": list(range(clips)),
    }


def _one_step(model: torch.nn.Module, batch: dict) -> float:
    started = time.perf_counter()
    data = model.data_preprocessor(dict(batch), training=True)
    losses = model(**data, mode="loss")
    losses["loss_cls"].backward()
    if next(model.parameters()).is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _labels(head: dict, clips: int) -> torch.Tensor:
    if head.get("multi_label"):
        return torch.zeros(clips, head["num_classes"])
    return torch.zeros(clips, dtype=torch.int64)
