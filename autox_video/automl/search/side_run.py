"""A run beside that of a work dir: in a folder of its own, quiet, in the time that is left."""

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from autox_video.automl.run_data import list_file
from autox_video.core.errors import ResourceError
from autox_video.core.files import write_json
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.formats.list_files import write_list
from autox_video.distributed import processes
from autox_video.metrics.peak import peak_epoch
from autox_video.metrics.selection_score import selection_score
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Prediction
from autox_video.run.work_dir import CHECKPOINTS, CONFIG, SOUP, STATE
from autox_video.training.config.build_config import TrainingData, build_config, write_config
from autox_video.training.deadline import keep_time
from autox_video.training.hooks.progress import read_evaluations

SHORTEST_SHARE = 0.5
"""Of the epochs of the run itself, below which one beside it says nothing."""


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """What runs beside the run may take."""

    seconds: Callable[[], float]
    """What is left now."""
    budget_sec: float
    """Of the whole run, which they keep to as it does."""
    prediction: Prediction
    """How long the run of the plan itself takes."""
    share: float = 1.0
    """Of its epochs, those that a run beside it has."""

    @property
    def of_a_run(self) -> float:
        """What training takes, in seconds."""
        one = self.prediction
        return self.share * (one.training_sec + one.evaluating_sec + one.saving_sec)


def peak_of(folder: Path) -> int | None:
    """The epoch after which the training in a folder did harm, by what its evaluations said.

    Raises:
        ResourceError: they cannot be read.
    """
    told = [each for each in read_evaluations(folder) if selection_score(each) > -math.inf]
    if not told:
        return None
    clips = told[-1].get("effective_clips", told[-1]["clips"])
    return peak_epoch([(each["epoch"], selection_score(each)) for each in told], clips)


def of_epochs(plan: Plan, epochs: int) -> Plan:
    """The plan with another number of epochs; its schedule keeps its shape."""
    share = epochs / plan.epochs
    return replace(
        plan,
        epochs=epochs,
        warmup_epochs=plan.warmup_epochs * share,
        flat_epochs=plan.flat_epochs * share,
    )


def config_beside(
    plan: Plan, data: TrainingData, folder: Path, left: TimeLeft, *, epochs: int, cost: float
) -> Config:
    """The config of a run beside, which is written into its folder.

    Args:
        plan: what it does, but for the epochs; its schedule keeps its shape.
        data: its clips.
        folder: its work dir.
        left: what it may take.
        epochs: how often it goes through the clips.
        cost: of an epoch of it, over one of the run.
    """
    config = build_config(of_epochs(plan, epochs), data, str(folder))
    for hook in config.custom_hooks:
        if hook["type"] == "Progress":
            hook["quiet"] = True
    keep_time(config, left.budget_sec, left.prediction.scaled(cost), most_epochs=epochs)
    return config


def data_beside(data: TrainingData, folder: Path, train: ClipTable, val: ClipTable) -> TrainingData:
    """The data of a run with other clips, whose lists are written into its folder.

    Raises:
        ResourceError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, clips in (("train", train), ("val", val)):
        write_list(list_file(folder, name), clips)
    counts = Counter(train.labels) if data.class_clips else {}
    return replace(
        data,
        train_list=str(list_file(folder, "train")),
        val_list=str(list_file(folder, "val")),
        num_train=len(train),
        class_clips=tuple(counts[label] for label in range(len(data.class_clips))),
    )


def with_own_config(config: Config) -> None:
    """Have its best weights carry their config with them: they may be of another shape."""
    for hook in config.custom_hooks:
        if hook["type"] == "ClipCheckpointHook":
            hook["with_config"] = True


def write_beside(config: Config) -> None:
    """Put a config into its folder, which is made."""
    if processes.current().is_main:
        folder = Path(config.work_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_config(config, folder / CONFIG)


def read_state(folder: Path) -> dict[str, Any]:
    """Give what `write_state` kept of the run beside in a folder; nothing where it kept none."""
    try:
        content = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def try_to_write_state(folder: Path, state: Mapping[str, Any]) -> str | None:
    """Keep what a run beside has come to; where it cannot be written, give why.

    The leaderboard tells people the same, and nothing rests on it.
    """
    try:
        write_json(folder / STATE, dict(state))
    except ResourceError as error:
        return str(error)
    return None


def remove_weights(folder: Path) -> None:
    """Remove the checkpoints of a run beside that is over; what it told stays."""
    for name in CHECKPOINTS:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / SOUP, ignore_errors=True)
