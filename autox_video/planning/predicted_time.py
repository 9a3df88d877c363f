"""Pure functions that predict a run's duration from measurements on this machine."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from autox_video.planning.plan import Plan

STARTING_SHARE = 0.4
"""Time to start training and to exit, as a share of the import time."""
LOADING_SHARE = 0.3
"""Time to load the best weights and start workers for the test, as a share of the import time."""
WINDOWS_PER_SPAN = 2
"""Number of windows per clip span when a whole recording is scanned, as windows overlap."""
FITTING_SHARE = 0.015
"""Time to fit a temporal head, in seconds per second of the recordings."""
SAVING_SHARE = 0.01
"""Time spent on saving checkpoints, as a share of the training time."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Times in seconds, measured on this machine with the clips and the model of the run."""

    first_read_sec: float
    """Time that one process takes to read a training sample in the first epoch."""
    read_sec: float
    """Time that one process takes to read a training sample in later epochs; a cache reduces it."""
    step_sec: float
    """Time of a training step (forward, backward and optimizer), per sample."""
    view_sec: float
    """Time of a forward pass in evaluation, per view."""
    test_read_sec: float
    """Time that one process takes to read all views of a test clip."""
    importing_sec: float = 4.0
    """Time to import the modules for training, from which other start-up times are estimated."""
    probe_view_sec: float = 0.0
    """Time of a forward pass of the probe, per view; 0 without a probe."""
    took_sec: float = 0.0
    """Time taken by the measurement itself."""


@dataclass(frozen=True, slots=True)
class Clips:
    """The number of clips in each split."""

    train: int
    val: int
    test: int
    """Number of clips in the final test; 0 if there is no test."""
    test_rounds: float = 1.0
    """Mean number of rounds of views per test clip; long clips get more than one round."""
    recordings_sec: float = 0.0
    """Total length of the training and validation recordings in which segments are found; 0 for
    other tasks."""
    test_recordings_sec: float = 0.0
    """Total length of the test recordings in which segments are found."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted times of the parts of a run, in seconds."""

    preparing_sec: float
    training_sec: float
    evaluating_sec: float
    saving_sec: float
    testing_sec: float
    epoch_sec: float
    """Time of each epoch after the first, without evaluation."""
    first_epoch_sec: float
    evaluation_sec: float
    """Time of one evaluation."""
    bottleneck: str
    """The slower part of training, `decode` or `compute`."""
    early_share: float = 0.0
    """Share of training steps that use smaller clips (progressive resizing)."""
    early_cost: float = 1.0
    """Time of a step with smaller clips, relative to a step with full-size clips."""
    segments_sec: float = 0.0
    """Time after training to learn to find segments in recordings."""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Prediction":
        """Return the prediction stored by `to_json`."""
        return cls(**{name: value for name, value in stored.items() if name != "total_sec"})

    def to_json(self) -> dict[str, Any]:
        """Return the times and their total as plain JSON values."""
        figures = {"total_sec": self.total_sec, **asdict(self)}
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}

    @property
    def total_sec(self) -> float:
        """The time of the whole run, from the start of the command to its end."""
        training_sec = self.training_sec + self.evaluating_sec + self.saving_sec
        return self.preparing_sec + training_sec + self.segments_sec + self.testing_sec

    @property
    def mean_epoch_sec(self) -> float:
        """The mean time of an epoch, ignoring the longer time of the first epoch."""
        return self.epoch_sec * (1 - self.early_share * (1 - self.early_cost))

    def of_plan(self, plan: Plan) -> "Prediction":
        """Return the prediction updated for a plan's number of epochs."""
        training_sec = self.first_epoch_sec - self.epoch_sec + plan.epochs * self.mean_epoch_sec
        count = evaluations(0, plan.epochs, max(plan.evaluation, 1))
        count += min(_averages(plan), max(count - 1, 0))
        return replace(
            self,
            training_sec=training_sec,
            evaluating_sec=count * self.evaluation_sec,
            saving_sec=SAVING_SHARE * training_sec,
        )

    def epochs_within(self, left_sec: float, plan: Plan) -> int:
        """Return how many epochs fit into `left_sec`, along with evaluations and the test."""
        fixed_sec = (
            self.segments_sec + self.testing_sec + (1 + _averages(plan)) * self.evaluation_sec
        )
        fixed_sec += (self.first_epoch_sec - self.epoch_sec) * (1 + SAVING_SHARE)
        each_sec = self.mean_epoch_sec * (1 + SAVING_SHARE)
        each_sec += self.evaluation_sec / max(plan.evaluation, 1)
        return max(0, math.floor((left_sec - fixed_sec) / each_sec))

    def within(self, budget_sec: float) -> "Prediction":
        """Return the prediction with training cut short to keep the run within the budget."""
        excess_sec = max(0.0, self.total_sec - budget_sec)
        return replace(self, training_sec=max(0.0, self.training_sec - excess_sec))

    def scaled(self, cost: float) -> "Prediction":
        """Return the prediction for a model whose computation takes `cost` times as long."""
        times = ("training_sec", "evaluating_sec", "epoch_sec", "first_epoch_sec", "evaluation_sec")
        return replace(self, **{name: cost * getattr(self, name) for name in times})


def predict(measured: Measured, plan: Plan, clips: Clips, *, used_sec: float) -> Prediction:
    """Return the predicted time of a run whose preparation has taken `used_sec` so far."""

    def clip_sec(read_sec: float, compute_sec: float) -> float:
        """Return the time per clip; workers, if any, read clips while the model computes."""
        if not plan.workers:
            return (read_sec + compute_sec) / plan.processes
        reading_sec = read_sec / plan.workers
        # The workers share the CPU cores with the model, and each step waits for the slowest core.
        shares_cores = plan.device == "cpu"
        both_sec = compute_sec + reading_sec if shares_cores else max(compute_sec, reading_sec)
        return both_sec / plan.processes

    read_sec, step_sec = measured.read_sec, measured.step_sec
    samples, val = clips.train, clips.val if plan.evaluation else 0
    early_size = (plan.early_side / plan.resolution) ** 2
    views_sec = plan.test_clips * 3 * max(measured.view_sec, measured.probe_view_sec)
    testing_sec = clips.test * clips.test_rounds * clip_sec(measured.test_read_sec, views_sec)
    span_sec = plan.clip_len * plan.frame_interval_sec
    windows_sec = WINDOWS_PER_SPAN * measured.view_sec
    scan_share = clip_sec(measured.test_read_sec / plan.test_clips, windows_sec) / span_sec
    if clips.test_recordings_sec:
        testing_sec = clips.test_recordings_sec * scan_share
    return Prediction(
        preparing_sec=used_sec + STARTING_SHARE * measured.importing_sec,
        training_sec=0.0,
        evaluating_sec=0.0,
        saving_sec=0.0,
        testing_sec=testing_sec + LOADING_SHARE * measured.importing_sec * (clips.test > 0),
        epoch_sec=samples * clip_sec(read_sec, step_sec),
        first_epoch_sec=samples * clip_sec(measured.first_read_sec, step_sec),
        evaluation_sec=val * clip_sec(read_sec, measured.view_sec),
        bottleneck="decode" if read_sec / max(plan.workers, 1) > step_sec else "compute",
        early_share=plan.early_share,
        early_cost=clip_sec(read_sec, early_size * step_sec) / clip_sec(read_sec, step_sec),
        segments_sec=clips.recordings_sec * (scan_share + FITTING_SHARE),
    ).of_plan(plan)


def _averages(plan: Plan) -> int:
    """Return how many model soups may be evaluated after training."""
    return max(plan.soup - 1, 0)


def evaluations(done: int, epochs: int, interval: int) -> int:
    """Return the number of evaluations after `done` epochs, including one after the last epoch."""
    if epochs <= done:
        return 0
    return epochs // interval - done // interval + (epochs % interval != 0)
