"""Trained weights over clips → one Prediction per clip, in listed order."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from autox_video.core.console import say
from autox_video.core.errors import CheckpointError, ConfigError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.data.loading.clip_dataset import ClipBatches, ClipDataset
from autox_video.distributed import processes
from autox_video.metrics.calibration import with_temperature
from autox_video.metrics.results import Prediction
from autox_video.run.work_dir import CONFIG
from autox_video.training.checkpoints.checkpoint import load_state, own_config, read_checkpoint
from autox_video.training.config.config_check import check_config
from autox_video.training.config.stored_config import (
    config_from_text,
    read_stored_config,
    refuse_incomplete,
)
from autox_video.training.memory import is_out_of_memory
from autox_video.video.sampling import rounds_of, seen_share


@dataclass(frozen=True, slots=True)
class Loading:
    """How clips reach the model; the scores do not depend on it."""

    batch_size: int
    """Videos at a time, each with all its views."""
    workers: int
    """Processes that decode."""
    device: str


def read_config(checkpoint: Path) -> Config:
    """The config that a checkpoint was trained by, read as data.

    It is in the checkpoint where that came of another run than config.py in the same folder.

    Raises:
        CheckpointError: there is none, or it is no config of ours, or of another version.
    """
    path = checkpoint.parent / CONFIG
    own = own_config(checkpoint) if checkpoint.exists() else None
    if own is not None:
        path = checkpoint
        config = config_from_text(own, str(path))
    elif path.is_file():
        config = read_stored_config(path)
    else:
        raise CheckpointError(
            f"{path}: missing; a checkpoint needs the {CONFIG} of its training run beside it."
        )
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


def _built_as_stored(config: Config, checkpoint: Path) -> nn.Module:
    try:
        return build_model(config)
    except (TypeError, ValueError, LookupError, AssertionError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[-1][:150]
        raise CheckpointError(
            f"{checkpoint.parent / CONFIG}: no model can be made of it ({reason}). Put back the "
            "one that the training run wrote."
        ) from error


def load_model(config: Config, checkpoint: Path, device: str) -> nn.Module:
    """The trained recogniser in evaluation mode.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another model.
    """
    state = read_checkpoint(checkpoint)
    config = copy.deepcopy(config)
    config.model.backbone.compile = False  # takes longer than most tests
    model = _built_as_stored(config, checkpoint)
    load_state(model, state["state_dict"], checkpoint)
    model.eval()
    return model.to(device)


def predict(
    model: nn.Module,
    config: Config,
    clips: ClipTable,
    *,
    data_root: str | Path,
    loading: Loading,
    on_done: Callable[[int], None] | None = None,
) -> list[Prediction]:
    """Class probabilities of every clip, averaged over its views.

    A clip that is longer than its views span gets more of them, as `sampling.rounds_of` says.
    Several processes share the batches of one, each of which is computed as one would, and all
    give the predictions of all clips.

    Args:
        model: as `load_model` gives it.
        config: its config, whose `test_pipeline` says how clips are sampled.
        clips: what to predict.
        data_root: folder that relative paths start from.
        loading: batch, workers, device.
        on_done: told the number of clips done so far after each batch.

    Raises:
        ResourceError: there is not enough memory for one view of one clip.
    """
    multi_label = bool(config.model.cls_head.get("multi_label", False))
    score, read = Scorer(model, multi_label=multi_label), config.test_pipeline[0]
    job = _Job(config, data_root, loading, score)
    said, broken, seconds = job.scored(clips, [0] * len(clips), on_done)
    span_sec, num_clips = read.clip_len * read.frame_interval_sec, read.num_clips
    rounds = {p: rounds_of(seconds[p], span_sec, num_clips=num_clips) for p in said}
    # Of a long video there is more to look at; how long it is was found out in reading it.
    rest = [(p, number) for p in sorted(rounds) for number in range(1, rounds[p])]
    looks = {p: [said[p]] for p in said}
    if rest:
        say(f"Long clips, of which more parts are looked at: {len({p for p, _ in rest})}.")
        positions, numbers = map(list, zip(*rest, strict=True))
        more, _, _ = job.scored(clips.select(positions), numbers, None)
        for place, each in more.items():
            looks[positions[place]].append(each)
    whole = {p: _mean(looks[p], multi_label=multi_label) for p in looks}
    return [
        Prediction(
            clips.paths[p],
            None if clips.labels is None else clips.labels[p],
            _probabilities(whole.get(p), multi_label=multi_label),
            broken.get(p),
            multi_label,
            None if clips.segments is None else clips.segments[p],
            seen_share(seconds[p], span_sec, clips=len(looks[p]) * num_clips)
            if p in looks
            else 0.0,
            None if multi_label else whole.get(p),
        )
        for p in range(len(clips))
    ]


def _mean(looks: Sequence[tuple[float, ...]], *, multi_label: bool) -> tuple[float, ...]:
    """What a Scorer gives, of several rounds: the mean of their probabilities, or its logarithm."""
    if len(looks) == 1:
        return looks[0]
    if multi_label:
        return tuple(np.mean(looks, axis=0).tolist())
    return tuple((np.logaddexp.reduce(looks, axis=0) - math.log(len(looks))).tolist())


@dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for every round of test clips."""

    config: Config
    data_root: str | Path
    loading: Loading
    score: "Scorer"

    def scored(
        self, clips: ClipTable, rounds: Sequence[int], on_done: Callable[[int], None] | None
    ) -> tuple[dict[int, tuple[float, ...]], dict[int, str], dict[int, float]]:
        """Score a round of each clip; gives scores, errors and lengths by position, of all."""
        batches = self._batches(clips, rounds)
        scores: dict[int, tuple[float, ...]] = {}
        try:
            for batch in batches:
                scores.update(self.score(batch))
                if on_done:
                    on_done(batch["taken"])
        finally:
            batches.close()
        seconds = {position: float(batches.dataset.seconds[position]) for position in scores}
        mine = (scores, batches.broken, seconds)
        return tuple(map(_joined, zip(*processes.all_gather(mine), strict=True)))

    def _batches(self, clips: ClipTable, rounds: Sequence[int]) -> ClipBatches:
        with DefaultScope.overwrite_default_scope("mmaction"):
            dataset = ClipDataset(
                clips,
                str(self.data_root),
                pipeline=self.config.test_pipeline,
                classes=self.config.classes,
                item_shape=self.config.test_item_shape,
                rounds=rounds,
            )
        return ClipBatches(
            dataset,
            batch_size=self.loading.batch_size,
            workers=self.loading.workers,
            pin_memory=self.loading.device != "cpu",
            processes=processes.current(),
        )


def _probabilities(
    said: tuple[float, ...] | None, *, multi_label: bool
) -> tuple[float, ...] | None:
    """What a Scorer gives as probabilities."""
    if said is None or multi_label:
        return said
    return tuple(with_temperature(np.array(said), 1.0).tolist())


def _joined(parts: Iterable[dict]) -> dict:
    return {position: value for part in parts for position, value in part.items()}


class Scorer:
    """What a model says of batches; one too large for memory is halved, as are all after it.

    Log-probabilities, the logarithm of the mean over the views; where a clip may be of several
    classes, probabilities.

    Args:
        model: as `load_model` gives it.
        multi_label: whether a clip may be of several classes.
    """

    def __init__(self, model: nn.Module, *, multi_label: bool = False) -> None:
        self.model = model
        self.multi_label = multi_label
        self.views_that_fit = math.inf

    def __call__(self, batch: dict[str, Any]) -> dict[int, tuple[float, ...]]:
        """What it says of each class, by position of the clip."""
        if not len(batch["inputs"]):
            return {}
        scores = self._score(batch["inputs"], batch["labels"])
        values = map(tuple, scores.cpu().double().tolist())
        return dict(zip(batch["positions"], values, strict=True))

    def _score(self, inputs: Tensor, labels: Tensor | None) -> Tensor:
        """(B, K) for clips (B, V, T, H, W, 3)."""
        clips, views = inputs.shape[:2]
        if clips * views <= self.views_that_fit:
            scores = self._try(inputs, labels)
            if scores is not None:
                return scores
            self._note_lack(clips * views)
        if clips > 1:
            half = (clips + 1) // 2
            labels = (None, None) if labels is None else (labels[:half], labels[half:])
            parts = zip((inputs[:half], inputs[half:]), labels, strict=True)
            return torch.cat([self._score(*part) for part in parts])
        half = (views + 1) // 2
        first, second = (
            self._score(part, labels) for part in inputs.split([half, views - half], 1)
        )
        if self.multi_label:
            return (first * half + second * (views - half)) / views
        share = half / views
        return torch.logaddexp(first + math.log(share), second + math.log1p(-share))

    def _try(self, inputs: Tensor, labels: Tensor | None) -> Tensor | None:
        """What the model says; None where there is not enough memory."""
        try:
            with torch.inference_mode():
                samples = self.model.test_step({"inputs": inputs, "labels": labels})
                name = "pred_score" if self.multi_label else "pred_logit"
                return torch.stack([getattr(sample, name).float() for sample in samples])
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _note_lack(self, views: int) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if views == 1:
            raise ResourceError(
                "There is not enough memory to test one view of one clip; end other programs, or "
                "test on a machine with more."
            )
        self.views_that_fit = views // 2
        say(f"There was not enough memory for {views} views at a time; going on with fewer.")
