"""Side runs: additional training runs of a job that use the time left after the main run.

Search trials, cross-validation folds and the refit are side runs. They print little. Each side run
has its own folder with a run record, a config, checkpoints to resume from, and its results in
state.json.
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
"""Smallest number of epochs, relative to the main run's, that gives a meaningful result."""

FAILURES = (NumbersError, CheckpointError, ResourceError, ListingError)
"""Errors that end a side run but not the job."""


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """The time that side runs may use."""

    seconds: Callable[[], float]
    """Function that returns the time left in seconds."""
    budget_sec: float
    """Time budget of the whole run in seconds, including side runs."""
    prediction: Prediction
    """Predicted time of the main run."""
    share: float = 1.0
    """Ratio of a side run's number of epochs to the number of epochs in the main run."""

    @property
    def of_a_run(self) -> float:
        """The predicted training time of a side run in seconds."""
        whole = self.prediction
        return self.share * (whole.training_sec + whole.evaluating_sec + whole.saving_sec)

    def epochs_of(self, plan: Plan, run_sec: float, least_share: float) -> int:
        """Return how many epochs of a plan fit in the time left if the full plan takes `run_sec`.

        The result is 0 if less than `least_share` of the epochs fit.
        """
        share = min(1.0, self.seconds() / run_sec)
        return math.floor(share * plan.epochs) if share >= least_share else 0


@dataclass(frozen=True, slots=True)
class SideRun:
    """A side run, defined by its run record and its folder."""

    record: RunRecord
    """The run record; its plan is trained to the last epoch."""
    folder: Path
    cost: float
    """Cost of an epoch, relative to an epoch of the main run."""
    save_logits: bool = False
    """Whether evaluations save the logits of the clips."""

    def config(self, left: TimeLeft) -> Config:
        """Return the config of the side run, with a deadline."""
        prediction = left.prediction.scaled(self.cost)
        deadline = Deadline(left.budget_sec, prediction, self.record.plan.epochs)
        return build_config(
            self.record, self.folder, deadline=deadline, quiet=True, save_logits=self.save_logits
        )

    def train(self, left: TimeLeft, hooks: Sequence[Hook] = ()) -> dict[str, float] | None:
        """Train or resume; return the best evaluation. All processes must call this."""
        config = self.config(left)
        if processes.current().is_main:
            write_record(self.folder, self.record)
            write_config(config, self.folder / CONFIG)
        return train(config, hooks)


def peak_of(folder: Path) -> int | None:
    """Return the epoch after which a run's validation score fell, or None if it never fell."""
    told = [e for e in read_evaluations(folder) if selection_score(e) > -math.inf]
    if not told:
        return None
    clips = told[-1].get("effective_clips", told[-1]["clips"])
    return peak_epoch([(e["epoch"], selection_score(e)) for e in told], clips)


def with_epochs(plan: Plan, epochs: int) -> Plan:
    """Return the plan with a new number of epochs, and with its schedule scaled to match."""
    share = epochs / plan.epochs
    return replace(
        plan,
        epochs=epochs,
        warmup_epochs=plan.warmup_epochs * share,
        flat_epochs=plan.flat_epochs * share,
    )


def evaluated_at_the_end(plan: Plan, epochs: int) -> Plan:
    """Return the plan with `epochs` epochs and a single evaluation, after the last epoch."""
    return replace(with_epochs(plan, epochs), evaluation=epochs, patience=0, soup=0)


def side_data(data: TrainingData, folder: Path, train: ClipTable, val: ClipTable) -> TrainingData:
    """Write lists of the given clips to the folder, and return the run's data with these clips."""
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
    """Return the state that `write_state` wrote for a side run, or {} if there is none."""
    try:
        content = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a side run's state; all processes must call this, so that errors reach all of them."""
    processes.run_on_rank_zero(lambda: write_json(folder / STATE, dict(state)))


def remove_weights(folder: Path) -> None:
    """Remove the checkpoints of a finished side run but keep its results."""
    for name in CHECKPOINTS:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / SOUP, ignore_errors=True)
