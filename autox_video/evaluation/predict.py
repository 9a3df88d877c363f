"""Trained weights over clips → one Prediction per clip, in listed order."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from autox_video.core.console import say
from autox_video.core.errors import CheckpointError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.data.loading.clip_dataset import ClipBatches, ClipDataset
from autox_video.distributed import processes
from autox_video.evaluation.results import Prediction
from autox_video.planning.record import RunRecord, load_stored
from autox_video.run.work_dir import RECORD
from autox_video.tasks.task import TASKS, Task
from autox_video.training.checkpoints.checkpoint import (
    RECORD_KEY,
    load_state,
    read_checkpoint,
    read_meta,
)
from autox_video.training.config.build_config import model_config
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


def record_of(checkpoint: Path) -> RunRecord:
    """The record of the run that a checkpoint is of: in it, or else beside it.

    Raises:
        CheckpointError: there is none, or it is damaged or of another version of this project.
    """
    stored, source = read_meta(checkpoint).get(RECORD_KEY), checkpoint
    if stored is None:
        stored, source = load_stored(checkpoint.parent), checkpoint.parent / RECORD
    if not isinstance(stored, Mapping):
        raise CheckpointError(
            f"{source}: missing or damaged, and {checkpoint.name} does not say how it was trained. "
            f"Put the {RECORD} of its training run beside it, or test with the version of this "
            "project that trained it."
        )
    record = RunRecord.from_json(stored, checkpoint.parent, source)
    if record.data.task not in TASKS:
        raise CheckpointError(f"{source}: its run record makes no sense (task {record.data.task}).")
    return record


def read_config(checkpoint: Path) -> Config:
    """The config by which a checkpoint is tested; raises as `record_of` does."""
    return model_config(for_testing(record_of(checkpoint)))


def for_testing(
    record: RunRecord, *, decoder: str | None = None, remote_cache: str | None = None
) -> RunRecord:
    """The record with what is asked for in testing, and a model that is not compiled.

    Compiling takes longer than most tests.
    """
    plan, data = record.plan, record.data
    plan = replace(plan, compile=False, decoder=decoder or plan.decoder)
    return replace(
        record, plan=plan, data=replace(data, remote_cache=remote_cache or data.remote_cache)
    )


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
            f"{checkpoint}: no model can be made of its run record ({reason})."
        ) from error


def load_model(config: Config, checkpoint: Path, device: str) -> nn.Module:
    """The trained recogniser in evaluation mode.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another model.
    """
    state = read_checkpoint(checkpoint)
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
    task = TASKS[config.model.cls_head.task]
    score, read = Scorer(model, task), config.test_pipeline[0]
    job = _Job(config, data_root, loading, score)
    outputs, broken, seconds = job.scored(clips, [0] * len(clips), on_done)
    span_sec, num_clips = read.clip_len * read.frame_interval_sec, read.num_clips
    rounds = {p: rounds_of(seconds[p], span_sec, num_clips=num_clips) for p in outputs}
    # Of a long video there is more to look at; how long it is was found out in reading it.
    rest = [(p, number) for p in sorted(rounds) for number in range(1, rounds[p])]
    looks = {p: [output] for p, output in outputs.items()}
    if rest:
        say(f"Long clips, of which more parts are looked at: {len({p for p, _ in rest})}.")
        positions, numbers = map(list, zip(*rest, strict=True))
        more, _, _ = job.scored(clips.select(positions), numbers, None)
        for number, output in more.items():
            looks[positions[number]].append(output)

    def prediction(p: int) -> Prediction:
        label = None if clips.labels is None else clips.labels[p]
        segment = None if clips.segments is None else clips.segments[p]
        if p not in looks:
            return Prediction(clips.paths[p], label, None, broken.get(p), segment, 0.0)
        whole = task.mean_output(np.stack(looks[p]), np.ones(len(looks[p])))
        seen = seen_share(seconds[p], span_sec, clips=len(looks[p]) * num_clips)
        scores = tuple(task.probabilities(whole).tolist())
        return Prediction(
            clips.paths[p], label, scores, broken.get(p), segment, seen, tuple(whole.tolist())
        )

    return [prediction(p) for p in range(len(clips))]


@dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for every round of test clips."""

    config: Config
    data_root: str | Path
    loading: Loading
    score: "Scorer"

    def scored(
        self, clips: ClipTable, rounds: Sequence[int], on_done: Callable[[int], None] | None
    ) -> tuple[dict[int, np.ndarray], dict[int, str], dict[int, float]]:
        """Score a round of each clip; gives scores, errors and lengths by position, of all."""
        batches = self._batches(clips, rounds)
        scores: dict[int, np.ndarray] = {}
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


def _joined(parts: Iterable[dict]) -> dict:
    return {position: value for part in parts for position, value in part.items()}


class Scorer:
    """What a model says of batches; one too large for memory is halved, as are all after it.

    Args:
        model: as `load_model` gives it.
        task: what its outputs are.
    """

    def __init__(self, model: nn.Module, task: Task) -> None:
        self.model = model
        self.task = task
        self.views_that_fit = math.inf

    def __call__(self, batch: dict[str, Any]) -> dict[int, np.ndarray]:
        """The outputs (K,) of each clip, by its position."""
        if not len(batch["inputs"]):
            return {}
        return dict(zip(batch["positions"], self._outputs(batch["inputs"]), strict=True))

    def _outputs(self, inputs: Tensor) -> np.ndarray:
        """(B, K) float64 of clips (B, V, T, H, W, 3)."""
        clips, views = inputs.shape[:2]
        if clips * views <= self.views_that_fit:
            outputs = self._try(inputs)
            if outputs is not None:
                return outputs
            self._note_lack(clips * views)
        if clips > 1:
            return np.concatenate([self._outputs(part) for part in inputs.split((clips + 1) // 2)])
        parts = inputs.split((views + 1) // 2, 1)
        weights = np.array([part.shape[1] for part in parts])
        return self.task.mean_output(np.stack([self._outputs(part) for part in parts]), weights)

    def _try(self, inputs: Tensor) -> np.ndarray | None:
        """What the model says; None where there is not enough memory."""
        try:
            with torch.inference_mode():
                samples = self.model.test_step({"inputs": inputs, "labels": None})
                outputs = torch.stack([sample.pred_output for sample in samples])
                return outputs.cpu().double().numpy()
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
