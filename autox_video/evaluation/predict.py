"""Predict the classes of clips with trained weights."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from autox_video.evaluation.loading import Loading
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
from autox_video.training.checkpoints.model_record import read_model_record
from autox_video.training.config.build_config import model_config
from autox_video.training.memory import is_out_of_memory
from autox_video.video.sampling import LEAST_SEEN_SHARE, rounds_of, seen_share


def record_of(checkpoint: Path) -> RunRecord:
    """Return the run record of a checkpoint, read from the checkpoint itself or from its folder.

    All paths in the record are empty.

    Raises:
        CheckpointError: the record is missing, damaged, or from another version of this package.
    """
    stored, source = read_meta(checkpoint).get(RECORD_KEY), checkpoint
    if stored is None:
        stored, source = load_stored(checkpoint.parent), checkpoint.parent / RECORD
    if not isinstance(stored, Mapping):
        raise CheckpointError(
            f"{checkpoint}: not a model of autox-video, or only its weights: there is no run "
            f"record in the file, and no intact {RECORD} in its folder."
        )
    return read_model_record(stored, source)


def read_config(checkpoint: Path) -> Config:
    """Return the config for testing a checkpoint; raise the same errors as `record_of`."""
    return model_config(for_testing(record_of(checkpoint)))


def for_testing(
    record: RunRecord, *, decoder: str | None = None, remote_cache: str | None = None
) -> RunRecord:
    """Return a copy of a run record with options changed for testing.

    The model is not compiled, since compiling takes longer than most tests.
    """
    plan, data = record.plan, record.data
    plan = replace(plan, compile=False, decoder=decoder or plan.decoder)
    return replace(
        record, plan=plan, data=replace(data, remote_cache=remote_cache or data.remote_cache)
    )


def build_model(config: Config) -> nn.Module:
    """Build the recognizer that a config describes, without initialising its weights."""
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
            f"{checkpoint}: the model cannot be built from its run record ({reason})."
        ) from error


def load_model(
    config: Config, checkpoint: Path, device: str, state: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """Return the trained recognizer in evaluation mode.

    Args:
        config: config of the model.
        checkpoint: path to the model file.
        device: device to move the model to.
        state: weights of the model; None to read them from the file.

    Raises:
        CheckpointError: the checkpoint is missing or damaged, or belongs to a different model.
    """
    state = read_checkpoint(checkpoint)["state_dict"] if state is None else state
    model = _built_as_stored(config, checkpoint)
    load_state(model, dict(state), checkpoint)
    model.eval()
    return model.to(device)


def predict(
    model: nn.Module,
    config: Config,
    clips: ClipTable,
    *,
    data_root: str | Path,
    loading: Loading,
    looks_at_long: bool = True,
    on_done: Callable[[int], None] | None = None,
) -> list[Prediction]:
    """Return one prediction per clip in list order, averaged over the views of the clip.

    If the views of a clip do not cover the whole clip, more views are added (`sampling.rounds_of`).
    Several processes share the batches, whose content does not depend on the number of processes,
    and each process returns the predictions for all clips.

    Args:
        model: the model, as returned by `load_model`.
        config: the config of the model; `test_pipeline` defines how clips are sampled.
        clips: the clips to predict.
        data_root: base folder for relative paths.
        loading: how the clips are loaded.
        looks_at_long: whether clips that are too long to be seen whole get more views, too.
        on_done: called after each batch with the number of clips done so far.

    Raises:
        ResourceError: there is not enough memory for one view of one clip.
    """
    task = TASKS[config.model.cls_head.task]
    score, read = Scorer(model, task), config.test_pipeline[0]
    job = _Job(config, data_root, loading, score)
    outputs, broken, seconds = job.scored(clips, [0] * len(clips), on_done)
    span_sec, num_clips = read.clip_len * read.frame_interval_sec, read.num_clips

    def rounds_for(p: int) -> int:
        rounds = rounds_of(seconds[p], span_sec, num_clips=num_clips)
        seen = seen_share(seconds[p], span_sec, clips=rounds * num_clips)
        return rounds if looks_at_long or seen >= LEAST_SEEN_SHARE else 1

    rounds = {p: rounds_for(p) for p in outputs}
    looks = {p: [output] for p, output in outputs.items()}
    for p, output in _later_rounds(job, clips, rounds):
        looks[p].append(output)

    def prediction(p: int) -> Prediction:
        label, segment = (
            None if column is None else column[p] for column in (clips.labels, clips.segments)
        )
        if p not in looks:
            return Prediction(clips.paths[p], label, None, broken.get(p), segment, 0.0)
        whole = task.mean_output(np.stack(looks[p]), np.ones(len(looks[p])))
        seen = seen_share(seconds[p], span_sec, clips=len(looks[p]) * num_clips)
        scores = tuple(task.probabilities(whole).tolist())
        return Prediction(
            *(clips.paths[p], label, scores, broken.get(p), segment, seen),
            outputs=tuple(whole.tolist()),
            seconds=seconds[p],
        )

    return [prediction(p) for p in range(len(clips))]


def _later_rounds(
    job: "_Job", clips: ClipTable, rounds: Mapping[int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the outputs of all rounds but the first; a clip's length is known only after it."""
    rest = [(p, number) for p in sorted(rounds) for number in range(1, rounds[p])]
    if not rest:
        return
    say(f"Predicting more segments of long clips: {len({p for p, _ in rest})} clips.")
    positions, numbers = map(list, zip(*rest, strict=True))
    more, _, _ = job.scored(clips.select(positions), numbers, None)
    for number, output in more.items():
        yield positions[number], output


def single_view_outputs(
    model: nn.Module, config: Config, clips: ClipTable, *, data_root: str, loading: Loading
) -> dict[int, np.ndarray]:
    """Return the outputs (K,) for the centre view of each readable clip, keyed by position.

    All processes must call this; for the arguments, see `predict`.
    """
    config = Config(config.to_dict())
    read, crop = config.test_pipeline
    config.test_pipeline = [{**read, "num_clips": 1}, {**crop, "crop": "centre"}]
    config.test_item_shape = (1, *config.test_item_shape[1:])
    score = Scorer(model, TASKS[config.model.cls_head.task])
    return _Job(config, data_root, loading, score).scored(clips, [0] * len(clips), None)[0]


@dataclass(frozen=True, slots=True)
class _Job:
    """The inputs that are the same in all rounds of a test."""

    config: Config
    data_root: str | Path
    loading: Loading
    score: "Scorer"

    def scored(
        self, clips: ClipTable, rounds: Sequence[int], on_done: Callable[[int], None] | None
    ) -> tuple[dict[int, np.ndarray], dict[int, str], dict[int, float]]:
        """Score one round of views for each clip, sharing the work among all processes.

        Returns the clips' outputs, errors and lengths in seconds, each keyed by position.
        """
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
    """Computes the outputs for batches; if memory runs out, this and later batches are split.

    Args:
        model: the model, as returned by `load_model`.
        task: the task of the model.
    """

    def __init__(self, model: nn.Module, task: Task) -> None:
        self.model = model
        self.task = task
        self.views_that_fit = math.inf

    def __call__(self, batch: dict[str, Any]) -> dict[int, np.ndarray]:
        """Return the output (K,) for each clip, keyed by position."""
        if not len(batch["inputs"]):
            return {}
        return dict(zip(batch["positions"], self._outputs(batch["inputs"]), strict=True))

    def _outputs(self, inputs: Tensor) -> np.ndarray:
        """Return float64 outputs (B, K) for clips (B, V, T, H, W, 3)."""
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
        """Return the outputs; None if there is not enough memory."""
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
                "There is not enough memory to test even one view of one clip. Close other "
                "programs, or test on a machine with more memory."
            )
        self.views_that_fit = views // 2
        say(f"Out of memory with {views} views at a time; continuing with fewer.")
