"""Trained weights over clips → one Prediction per clip, in listed order."""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import autox_video.mm_compat  # noqa: F401

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from autox_video.dataset.clips import ClipBatches, ClipDataset
from autox_video.dataset.listing import ClipList
from autox_video.engine.checkpoint import load_state, read_checkpoint
from autox_video.errors import CheckpointError, ConfigError
from autox_video.models import head, preprocess, swin3d  # noqa: F401 (registers them)
from autox_video.recipe import check_config
from autox_video.results import Prediction
from autox_video.stored_config import read_stored_config, refuse_incomplete

CONFIG = "config.py"


@dataclass(frozen=True, slots=True)
class Loading:
    """How clips reach the model; the scores do not depend on it."""

    batch_size: int
    """Videos at a time, each with all its views."""
    workers: int
    """Processes that decode."""
    device: str


def read_config(checkpoint: Path) -> Config:
    """The config that a checkpoint was trained by: config.py in the same folder, read as data.

    Raises:
        CheckpointError: there is none, or it is no config of ours, or of another version.
    """
    path = checkpoint.parent / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"{path}: missing; a checkpoint needs the {CONFIG} of its training run beside it."
        )
    config = read_stored_config(path)
    try:
        check_config(config)
    except ConfigError as error:
        raise CheckpointError(
            f"{path}: asks for what this version does not know ({error.problems[0]}) Test with the "
            "version that trained it."
        ) from error
    refuse_incomplete(config, path)
    return config


def build_model(config: Config) -> nn.Module:
    """The recogniser that a config describes, its weights not yet initialised."""
    with DefaultScope.overwrite_default_scope("mmaction"):
        return MODELS.build(config.model)


def load_model(config: Config, checkpoint: Path, device: str) -> nn.Module:
    """The trained recogniser in evaluation mode.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another model.
    """
    state = read_checkpoint(checkpoint)
    config = copy.deepcopy(config)
    config.model.backbone.compile = False  # takes longer than most tests
    model = build_model(config)
    load_state(model, state["state_dict"], checkpoint)
    model.eval()
    return model.to(device)


def predict(
    model: nn.Module,
    config: Config,
    clips: ClipList,
    *,
    data_root: str | Path,
    loading: Loading,
    on_done: Callable[[int], None] | None = None,
) -> list[Prediction]:
    """Class probabilities of every clip, averaged over its views.

    Args:
        model: as `load_model` gives it.
        config: its config, whose `test_pipeline` says how clips are sampled.
        clips: what to predict.
        data_root: folder that relative paths start from.
        loading: batch, workers, device.
        on_done: told the number of clips done so far after each batch.
    """
    with DefaultScope.overwrite_default_scope("mmaction"):
        dataset = ClipDataset(
            clips,
            str(data_root),
            pipeline=config.test_pipeline,
            classes=config.classes,
            item_shape=config.test_item_shape,
        )
    batches = ClipBatches(
        dataset,
        batch_size=loading.batch_size,
        workers=loading.workers,
        pin_memory=loading.device != "cpu",
    )
    scores: dict[int, tuple[float, ...]] = {}
    try:
        for batch in batches:
            scores.update(_score(model, batch))
            if on_done:
                on_done(batch["taken"])
    finally:
        batches.close()
    multi_label = bool(config.model.cls_head.get("multi_label", False))
    return [
        Prediction(
            clips.paths[position],
            None if clips.labels is None else clips.labels[position],
            scores.get(position),
            batches.broken.get(position),
            multi_label,
            None if clips.segments is None else clips.segments[position],
        )
        for position in range(len(clips))
    ]


def _score(model: nn.Module, batch: dict) -> dict[int, tuple[float, ...]]:
    """Probabilities of each class by position."""
    if not len(batch["inputs"]):
        return {}
    with torch.inference_mode():
        samples = model.test_step(batch)
    values = [tuple(sample.pred_score.cpu().double().tolist()) for sample in samples]
    return dict(zip(batch["positions"], values, strict=True))


def sha256(path: Path) -> str:
    """Checksum of a file, as sha256sum prints it."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
