"""Load the models in a weight file, and average their predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from mmengine.config import Config
from torch import nn

from autox_video.data.clip_table import ClipTable
from autox_video.evaluation.predict import (
    Loading,
    for_testing,
    load_model,
    predict,
)
from autox_video.evaluation.results import Prediction
from autox_video.metrics.mixture import Mixture
from autox_video.planning.record import RunRecord
from autox_video.tasks.task import TASKS
from autox_video.training.checkpoints.checkpoint import read_checkpoint
from autox_video.training.checkpoints.members import members_of
from autox_video.training.checkpoints.model_record import read_model_record
from autox_video.training.config.build_config import model_config


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to predict."""

    record: RunRecord
    config: Config
    model: nn.Module
    share: float
    """Share of the model in the mean of all outputs."""
    temperature: float
    """Temperature by which the model's outputs are divided before averaging."""


def load_models(checkpoint: Path, record: RunRecord, device: str) -> list[Loaded]:
    """Return the models in a weight file, starting with the main model.

    Args:
        checkpoint: the weight file.
        record: record of the main model, as returned by `for_testing`; the other models decode and
            cache clips in the same way.
        device: device to move the models to.

    Raises:
        CheckpointError: the file is missing or damaged, or a model does not match its record.
    """
    loaded, decoder = [], record.plan.decoder
    for number, one in enumerate(members_of(read_checkpoint(checkpoint), str(checkpoint))):
        if number:
            stored = read_model_record(one.record, checkpoint)
            cache = record.data.remote_cache
            record = for_testing(stored, decoder=decoder, remote_cache=cache)
        config = model_config(record)
        model = load_model(config, checkpoint, device, one.state)
        loaded.append(Loaded(record, config, model, one.share, one.temperature))
    return loaded


def predict_all(
    models: Sequence[Loaded],
    clips: ClipTable,
    *,
    data_root: str | Path,
    loading: Callable[[RunRecord], Loading],
    looks_at_long: bool = True,
    on_done: Callable[[int], None] | None = None,
) -> list[Prediction]:
    """Return one prediction per clip in list order, averaged over the models.

    Args:
        models: the models, as returned by `load_models`.
        clips: the clips to predict.
        data_root: base folder for relative paths.
        loading: function that returns how the clips are loaded for a model.
        looks_at_long: see `predict`.
        on_done: called with the number of clips done so far; a clip counts once for each model.

    Raises:
        ResourceError: there is not enough memory for one view of one clip.
    """
    each = []
    for number, one in enumerate(models):

        def show(done: int, before: int = number * len(clips)) -> None:
            on_done(before + done)

        each.append(
            predict(
                one.model,
                one.config,
                clips,
                data_root=data_root,
                loading=loading(one.record),
                looks_at_long=looks_at_long,
                on_done=show if on_done else None,
            )
        )
    if len(models) == 1:
        return each[0]
    mixture = mixture_of(models)
    return [_mean(of_clip, mixture) for of_clip in zip(*each, strict=True)]


def mixture_of(models: Sequence[Loaded]) -> Mixture:
    """Return how the outputs of an ensemble's models are averaged."""
    numbers = (np.array([getattr(one, name) for one in models]) for name in _NUMBERS)
    return Mixture(*numbers, TASKS[models[0].record.data.task])


_NUMBERS = ("temperature", "share")


def _mean(predictions: Sequence[Prediction], mixture: Mixture) -> Prediction:
    """Return the mean of all models' predictions for a clip."""
    missing = next((one for one in predictions if one.outputs is None), None)
    if missing is not None:
        return missing
    outputs = mixture.outputs(np.array([one.outputs for one in predictions]))
    return replace(
        predictions[0],
        scores=tuple(mixture.task.probabilities(outputs).tolist()),
        outputs=tuple(outputs.tolist()),
        seen=max(one.seen for one in predictions),
    )
