"""A side run: a training beside the run itself, in a folder of its own, quiet, in the time left.

Trials, folds and the last training are side runs. Each has a record, a config and its checkpoints
in its folder, resumes from these, and keeps in state.json what follows from it.
"""

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook

from autox_video.automl.run_data import list_file
from autox_video.core.errors import CheckpointError, ListingError, NumbersError, ResourceError
from autox_video.core.files import write_json
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.written_list import write_list
from autox_video.distributed import processes
from autox_video.metrics.peak import peak_epoch
from autox_video.metrics.selection_score import selection_score
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Prediction
from autox_video.planning.record import RunRecord, TrainingData, write_record
from autox_video.run.work_dir import CHECKPOINTS, CONFIG, SOUP, STATE
from autox_video.training.config.build_config import Deadline, build_config, write_config
from autox_video.training.hooks.metrics_file import read_evaluations
from autox_video.training.run_training import train

SHORTEST_SHARE = 0.5
"""Of the epochs of the run itself, below which a side run says nothing."""

FAILURES = (NumbersError, CheckpointError, ResourceError, ListingError)
"""What ends a side run, but not the run."""


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """What side runs may take."""

    seconds: Callable[[], float]
    """What is left now."""
    budget_sec: float
    """Of the whole run, which they keep to as it does."""
    prediction: Prediction
    """How long the run of the plan itself takes."""
    share: float = 1.0
    """Of its epochs, those that a side run has."""

    @property
    def of_a_run(self) -> float:
        """What training takes, in seconds."""
        whole = self.prediction
        return self.share * (whole.training_sec + whole.evaluating_sec + whole.saving_sec)

    def epochs_of(self, plan: Plan, run_sec: float, least_share: float) -> int:
        """The epochs of a plan that there is time for, of all that would take `run_sec`.

        0 where they are less than a share of them, and so of no use.
        """
        share = min(1.0, self.seconds() / run_sec)
        return math.floor(share * plan.epochs) if share >= least_share else 0


@dataclass(frozen=True, slots=True)
class SideRun:
    """What a side run is to do, and where."""

    record: RunRecord
    """Whose plan is followed to its last epoch."""
    folder: Path
    cost: float
    """Of one of its epochs, over one of the run."""
    save_logits: bool = False
    """Whether the logits of its evaluations are kept."""

    def config(self, left: TimeLeft) -> Config:
        """Its config, which ends it in the time that is left."""
        prediction = left.prediction.scaled(self.cost)
        deadline = Deadline(left.budget_sec, prediction, self.record.plan.epochs)
        return build_config(
            self.record, self.folder, deadline=deadline, quiet=True, save_logits=self.save_logits
        )

    def train(self, left: TimeLeft, hooks: Sequence[Hook] = ()) -> dict[str, float] | None:
        """Train, or resume; returns the best evaluation. All processes must call it."""
        config = self.config(left)
        if processes.current().is_main:
            write_record(self.folder, self.record)
            write_config(config, self.folder / CONFIG)
        return train(config, hooks)


def peak_of(folder: Path) -> int | None:
    """The epoch after which the training in a folder did harm, by what its evaluations said."""
    told = [e for e in read_evaluations(folder) if selection_score(e) > -math.inf]
    if not told:
        return None
    clips = told[-1].get("effective_clips", told[-1]["clips"])
    return peak_epoch([(e["epoch"], selection_score(e)) for e in told], clips)


def of_epochs(plan: Plan, epochs: int) -> Plan:
    """The plan with another number of epochs; its schedule keeps its shape."""
    share = epochs / plan.epochs
    return replace(
        plan,
        epochs=epochs,
        warmup_epochs=plan.warmup_epochs * share,
        flat_epochs=plan.flat_epochs * share,
    )


def evaluated_at_the_end(plan: Plan, epochs: int) -> Plan:
    """The plan with so many epochs and one evaluation, so that none can choose its weights."""
    return replace(of_epochs(plan, epochs), evaluation=epochs, patience=0, soup=0)


def side_data(data: TrainingData, folder: Path, train: ClipTable, val: ClipTable) -> TrainingData:
    """The data of a run with other clips, whose lists are written into its folder."""
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


def read_state(folder: Path) -> dict[str, Any]:
    """What `write_state` kept of a side run; nothing where it kept none."""
    try:
        content = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Keep what a side run has come to; all processes call it, and raise ResourceError together."""
    processes.run_on_rank_zero(lambda: write_json(folder / STATE, dict(state)))


def remove_weights(folder: Path) -> None:
    """Remove the checkpoints of a side run that is over; what it told stays."""
    for name in CHECKPOINTS:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / SOUP, ignore_errors=True)
