"""How long a run will take, from what was measured on this machine; pure arithmetic."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

STARTING_SHARE = 0.4
"""Of the time that importing took: to the first step, and from the end to the prompt."""
LOADING_SHARE = 0.3
"""Of the same: to read the best weights and start the workers for the test."""
SAVING_SHARE = 0.01
"""Of the training: what the checkpoint hook lets saving take."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds, on this machine, with the clips and the model of the run."""

    first_read_sec: float
    """One process, to read one training sample in the first epoch."""
    read_sec: float
    """The same in later epochs: less where decoded frames are kept."""
    step_sec: float
    """A training step on one sample: forward, backward, optimizer."""
    view_sec: float
    """A forward pass of one view in evaluation."""
    test_read_sec: float
    """One process, to read all views of one clip in testing."""
    importing_sec: float = 4.0
    """To import what training needs: how fast this machine starts programs, at the moment."""
    probe_view_sec: float = 0.0
    """A forward pass of the probe, which may be what is tested; 0: there is none."""
    took_sec: float = 0.0
    """The measuring itself."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there is to do, and with what."""

    train: int
    """Training clips in an epoch."""
    val: int
    """Validation clips of one evaluation; 0: none is made."""
    test: int
    """Clips of the test at the end; 0: none is made."""
    test_views: int
    """Views of one of them."""
    interval: int
    """Epochs between two evaluations."""
    workers: int
    """Processes that read, for each that trains."""
    processes: int
    """That train together."""
    shares_cores: bool
    """Whether model and workers compute on the same cores."""
    averages: int = 0
    """Averages of the best weights that are evaluated when training is over."""
    test_rounds: float = 1.0
    """How often as many views are taken of a test clip, on average: more where clips are long."""
    early_share: float = 0.0
    """Of the training steps, those on smaller clips."""
    early_size: float = 1.0
    """Of these, their pixels over those of the others."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds that the parts of a run take."""

    preparing_sec: float
    training_sec: float
    evaluating_sec: float
    saving_sec: float
    testing_sec: float
    epoch_sec: float
    """One epoch after the first, of training alone."""
    first_epoch_sec: float
    evaluation_sec: float
    """One evaluation."""
    bottleneck: str
    """`decode` or `compute`: what takes longer in training."""
    early_share: float = 0.0
    """Of the training steps, those that are quick."""
    early_cost: float = 1.0
    """Of one of them, over one of the others."""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Prediction":
        """What `to_json` gave."""
        return cls(**{name: value for name, value in stored.items() if name != "total_sec"})

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values, and their total."""
        figures = {"total_sec": self.total_sec, **asdict(self)}
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}

    @property
    def total_sec(self) -> float:
        """The whole run, from its command to its end."""
        training_sec = self.training_sec + self.evaluating_sec + self.saving_sec
        return self.preparing_sec + training_sec + self.testing_sec

    @property
    def mean_epoch_sec(self) -> float:
        """An epoch, over all but the first."""
        return self.epoch_sec * (1 - self.early_share * (1 - self.early_cost))

    def of_epochs(self, epochs: int, amount: Amount) -> "Prediction":
        """The same for another number of epochs."""
        first_sec = self.first_epoch_sec - self.epoch_sec
        training_sec = first_sec + epochs * self.mean_epoch_sec
        count = evaluations(0, epochs, amount.interval)
        count += min(amount.averages, max(count - 1, 0))
        return replace(
            self,
            training_sec=training_sec,
            evaluating_sec=count * self.evaluation_sec,
            saving_sec=SAVING_SHARE * training_sec,
        )

    def within(self, budget_sec: float) -> "Prediction":
        """The same with training cut short where it would go beyond a budget."""
        excess_sec = max(0.0, self.total_sec - budget_sec)
        return replace(self, training_sec=max(0.0, self.training_sec - excess_sec))

    def scaled(self, share: float) -> "Prediction":
        """The same where the model has so many times the work."""
        times = ("training_sec", "evaluating_sec", "epoch_sec", "first_epoch_sec", "evaluation_sec")
        return replace(self, **{name: share * getattr(self, name) for name in times})


def predict(measured: Measured, amount: Amount, epochs: int, *, used_sec: float) -> Prediction:
    """How long a run of so many epochs takes.

    Args:
        measured: on this machine.
        amount: what there is to do.
        epochs: in all.
        used_sec: what preparing has taken up to now.
    """
    step_sec, read_sec = measured.step_sec, measured.read_sec
    sample_sec = _together(amount, read_sec, step_sec)
    early_sec = _together(amount, read_sec, amount.early_size * step_sec)
    train, val = amount.train / amount.processes, amount.val / amount.processes
    decodes = read_sec / max(amount.workers, 1) > step_sec
    return Prediction(
        preparing_sec=used_sec + STARTING_SHARE * measured.importing_sec,
        training_sec=0.0,
        evaluating_sec=0.0,
        saving_sec=0.0,
        testing_sec=_testing_sec(measured, amount),
        epoch_sec=train * sample_sec,
        first_epoch_sec=train * _together(amount, measured.first_read_sec, step_sec),
        evaluation_sec=val * _together(amount, read_sec, measured.view_sec),
        bottleneck="decode" if decodes else "compute",
        early_share=amount.early_share,
        early_cost=early_sec / sample_sec,
    ).of_epochs(epochs, amount)


def evaluations(done: int, epochs: int, interval: int) -> int:
    """How many evaluations are made after so many epochs are done: the last epoch ends with one."""
    if epochs <= done:
        return 0
    return epochs // interval - done // interval + (epochs % interval != 0)


def epochs_that_fit(prediction: Prediction, amount: Amount, left_sec: float) -> int:
    """The most epochs of a run that ends within a time; 0 where not even one fits.

    Args:
        prediction: of any number of epochs.
        amount: what there is to do.
        left_sec: for training, evaluations and the test.
    """
    fixed_sec = prediction.testing_sec + (1 + amount.averages) * prediction.evaluation_sec
    fixed_sec += (prediction.first_epoch_sec - prediction.epoch_sec) * (1 + SAVING_SHARE)
    each_sec = prediction.mean_epoch_sec * (1 + SAVING_SHARE)
    each_sec += prediction.evaluation_sec / amount.interval
    return max(0, math.floor((left_sec - fixed_sec) / each_sec))


def _testing_sec(measured: Measured, amount: Amount) -> float:
    if not amount.test:
        return 0.0
    computing_sec = amount.test_views * max(measured.view_sec, measured.probe_view_sec)
    each_sec = amount.test_rounds * _together(amount, measured.test_read_sec, computing_sec)
    return LOADING_SHARE * measured.importing_sec + amount.test / amount.processes * each_sec


def _together(amount: Amount, read_sec: float, compute_sec: float) -> float:
    """Seconds of one clip where one is read while another is computed."""
    if not amount.workers:
        return read_sec + compute_sec
    reading_sec = read_sec / amount.workers
    # A core that decodes has its part of each step to compute too, and the step waits for it.
    return compute_sec + reading_sec if amount.shares_cores else max(compute_sec, reading_sec)
