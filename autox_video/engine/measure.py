"""How long reading a clip and a training step on it take on this machine."""

import contextlib
import statistics
import time

import autox_video.mm_compat  # noqa: F401

import numpy as np
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from autox_video.dataset.clips import ClipDataset
from autox_video.errors import VideoError
from autox_video.plan.choose_cache import Speeds

CLIPS_READ = 12
CLIPS_IN_STEP = {"cpu": 2, "cuda": 8}
STEPS = 3


def measure(config: Config) -> Speeds | None:
    """Read a few clips spread over the training list, and train a model of the config on noise.

    Nothing of it is kept. None where none of these clips can be read.
    """
    with DefaultScope.overwrite_default_scope("mmaction"):
        read_sec = _read_sec(DATASETS.build(config.train_dataloader.dataset))
        return None if read_sec is None else Speeds(read_sec, _step_sec(config))


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
        _, *view = config.train_dataloader.dataset.item_shape
        batch = {
            "inputs": torch.zeros(clips, 1, *view, dtype=torch.uint8),
            "labels": _labels(config.model.cls_head, clips),
            "seeds": list(range(clips)),
        }
        seconds = [_one_step(model, batch) for _ in range(STEPS)]
    return min(seconds[1:]) / clips


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
