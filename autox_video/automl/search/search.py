"""The hyperparameter search, which tries one plan after another until time runs out.

Optuna proposes trials with TPE (Bergstra et al. 2011) and prunes them by successive halving
(Jamieson and Talwalkar 2016). The trials are stored in a file in the work dir, or in a database
shared by several machines. Each trial is a side run.
"""

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from mmengine.hooks import Hook
from optuna.trial import FrozenTrial, Trial, TrialState

from autox_video.automl.leaderboard import open_row, row_of
from autox_video.automl.search.side_run import (
    FAILURES,
    SHORTEST_SHARE,
    SideRun,
    TimeLeft,
    remove_weights,
    with_epochs,
)
from autox_video.automl.search.study import (
    open_study,
    storage_errors,
    study_name,
)
from autox_video.core.console import say
from autox_video.distributed import processes
from autox_video.metrics.headline import row_fields
from autox_video.metrics.intervals import score_text
from autox_video.metrics.selection_score import main_score, score_label, selection_score
from autox_video.planning.plan import Plan
from autox_video.planning.record import RunRecord, TrainingData
from autox_video.planning.search_space import (
    applied,
    neighbours,
    relative_cost,
    space_of,
    start_of,
)
from autox_video.run.work_dir import BEST, SEARCH, TRIALS
from autox_video.training.checkpoints.checkpoint import (
    ORIGIN,
    PARAMS,
    read_checkpoint,
    write_best,
)
from autox_video.training.checkpoints.checkpoint_hook import is_better

WHAT_NOW = "The best weights so far are kept. Run the same command again to resume the search."
WORK_DIR, START_OF, EPOCHS = "folder", "origin", "epochs"
"""Attribute names in a stored trial: its work dir, the work dir whose main run the trial
represents, and the number of epochs."""


@dataclass(frozen=True, slots=True)
class BegunTrial:
    """A trial to run or to resume."""

    number: int
    params: dict[str, Any]
    """The trial's point in the search space."""
    epochs: int
    folder: Path
    resuming: bool = False

    @property
    def row_id(self) -> str:
        """The id of the trial's leaderboard row."""
        return f"trial-{self.folder.name}"


class Pruned(Exception):  # noqa: N818 (the end of a trial, not an error)
    """Raised to stop a trial that does worse than other trials at the same epoch."""


class Search:
    """Searches around a run's plan; the weights of the best trial become the best weights.

    `best` contains the metrics of the run's best evaluation. `storage` is the URL of Optuna's
    database, or None for a file in the work dir. Every method raises ResourceError if the storage
    is unusable.
    """

    def __init__(
        self,
        plan: Plan,
        data: TrainingData,
        work_dir: Path,
        *,
        best: Mapping[str, float],
        storage: str | None = None,
    ) -> None:
        self.plan, self.data, self.work_dir = plan, data, work_dir
        self.best = dict(best)
        self.space = space_of(plan)
        self.storage = storage or f"sqlite:///{work_dir / SEARCH}"
        self.name = str(work_dir.absolute())
        """Absolute path that identifies the work dir in shared storage."""
        self.study: optuna.Study | None = None
        if processes.current().is_main:
            with self._storage_errors():
                self.study = self._open()

    def run(self, left: TimeLeft) -> dict[str, float]:
        """Run trials until time runs out or the score is perfect; return the best metrics."""
        while not self._is_perfect():
            trial = processes.run_on_rank_zero(lambda: self._next(left))
            if trial is None:
                return self.best
            self._try(trial, left)
        say("Search ended: the validation score is perfect, so no trial could score higher.")
        return self.best

    def _is_perfect(self) -> bool:
        return self.best[main_score(self.best)] >= 1.0

    def _open(self) -> optuna.Study:
        study = open_study(self.storage, study_name(self.plan, self.space, self.data))
        for trial in study.trials:
            if trial.state.is_finished() and trial.user_attrs.get(WORK_DIR) == self.name:
                remove_weights(self._folder(trial.number))
        if not any(trial.user_attrs.get(START_OF) == self.name for trial in study.trials):
            study.add_trial(
                optuna.trial.create_trial(
                    params=start_of(self.plan, self.space),
                    distributions=dict(self.space),
                    value=selection_score(self.best),
                    user_attrs={START_OF: self.name},
                )
            )
        return study

    def _next(self, left: TimeLeft) -> BegunTrial | None:
        """Return an interrupted trial or else a new trial; None if there is no time for a trial."""
        with self._storage_errors():
            for trial in self.study.get_trials(states=[TrialState.RUNNING]):
                if trial.user_attrs.get(WORK_DIR) == self.name:
                    return self._begun(trial, trial.user_attrs[EPOCHS], resuming=True)
            if left.seconds() < SHORTEST_SHARE * left.of_a_run:
                return None
            trial = self._ask(left)
            epochs = self._epochs(left, trial.params)
            if not epochs:
                self.study.tell(trial, state=TrialState.FAIL)  # there is not enough time
                return None
            trial.set_user_attr(EPOCHS, epochs)
            begun = self._begun(trial, epochs)
            # The folder may contain a trial with the same number from another study.
            shutil.rmtree(begun.folder, ignore_errors=True)
            trial.set_user_attr(WORK_DIR, self.name)
            return begun

    def _ask(self, left: TimeLeft) -> Trial:
        """Return a new trial at an untried neighbour of the plan, or else at a sampled point."""
        trials = self.study.get_trials(deepcopy=False)
        # One seed per trial, so that a resumed search draws the same trials.
        seed = 1000 * self.plan.seed + len(trials)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, multivariate=True)
        if point := self._neighbour(left, trials):
            # Optuna's queue is not used: with SQLite, two machines can take the same trial from it.
            sampler = optuna.samplers.PartialFixedSampler(point, sampler)
        self.study.sampler = sampler
        return self.study.ask(dict(self.space))

    def _neighbour(self, left: TimeLeft, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
        """Return an untried neighbour of the plan; each work dir begins with a different one."""
        untried = [
            point
            for point in neighbours(self.plan, self.space)
            if not any(_are_same(point, trial.params) for trial in trials)
            and self._epochs(left, point)
        ]
        starts = [t.user_attrs[START_OF] for t in trials if START_OF in t.user_attrs]
        return untried[min(starts.index(self.name), len(untried) - 1)] if untried else None

    def _epochs(self, left: TimeLeft, params: Mapping[str, Any]) -> int:
        """Return how many epochs of a trial fit in the time left, or 0 if too few fit."""
        run_sec = left.of_a_run * relative_cost(self.plan, params)
        return left.epochs_of(self.plan, run_sec, SHORTEST_SHARE)

    def _try(self, trial: BegunTrial, left: TimeLeft) -> None:
        """Run a trial until it ends or is pruned; its weights may become the best weights."""
        say(f"Trial {trial.number}: {_in_words(trial.params)}.")
        plan = with_epochs(applied(self.plan, trial.params), trial.epochs)
        cost = relative_cost(self.plan, trial.params)
        run = SideRun(RunRecord(plan, self.data), trial.folder, cost)
        report = TrialReport(lambda step, metrics: self._is_hopeless(trial, step, metrics))
        about = {**trial.params, "epochs": trial.epochs}
        row = row_of(trial.row_id, "search", plan, about)
        with open_row(self.work_dir, row, anew=not trial.resuming) as under_way:
            metrics, state = None, "done"
            try:
                metrics = run.train(left, [report])
            except Pruned:
                metrics, state = report.best, "pruned"
            except FAILURES as error:
                say(f"Trial {trial.number} failed: {error}")
                state = "failed"
            fields = row_fields(metrics, {}) if metrics else {}
            under_way.note(**{**fields, "config": about, "state": state})
        # Optuna is told last, so that a trial killed before then is resumed and updates its row.
        self.best = processes.run_on_rank_zero(lambda: self._end(trial, metrics, state))

    def _begun(
        self, trial: Trial | FrozenTrial, epochs: int, *, resuming: bool = False
    ) -> BegunTrial:
        folder = self._folder(trial.number)
        return BegunTrial(trial.number, trial.params, epochs, folder, resuming)

    def _folder(self, number: int) -> Path:
        return self.work_dir / TRIALS / f"{number:04d}"

    def _is_hopeless(self, trial: BegunTrial, step: int, metrics: Mapping[str, float]) -> bool:
        """Report an evaluation to Optuna; return whether Optuna prunes the trial."""

        def report() -> bool:
            with self._storage_errors():
                trials = self.study.get_trials(deepcopy=False)
                frozen = next(t for t in trials if t.number == trial.number)
                in_storage = Trial(self.study, frozen._trial_id)
                in_storage.report(selection_score(metrics), step)
                return in_storage.should_prune()

        return processes.run_on_rank_zero(report)

    def _end(
        self, trial: BegunTrial, metrics: Mapping[str, float] | None, state: str
    ) -> dict[str, float]:
        """End a trial, keep its weights if they are the best yet, and return the best metrics."""
        better = metrics is not None and is_better(metrics, self.best)
        if better:
            weights = read_checkpoint(trial.folder / BEST)
            params = {**trial.params, "epochs": trial.epochs}
            meta = {**weights["meta"], ORIGIN: trial.row_id, PARAMS: params}
            write_best(self.work_dir, {**weights, "meta": meta})
        with self._storage_errors():
            if metrics is None:
                self.study.tell(trial.number, state=TrialState.FAIL)
            elif state == "pruned":  # the trial's value is the last value reported
                self.study.tell(trial.number, state=TrialState.PRUNED)
            else:
                self.study.tell(trial.number, selection_score(metrics))
        remove_weights(trial.folder)
        if metrics is not None:
            key = main_score(metrics)
            score = score_text(metrics[key], metrics.get("clips", math.inf))
            outcome = "the best so far, weights kept" if better else state
            say(f"Trial {trial.number}: validation {score_label(key)} {score}, {outcome}.")
        return dict(metrics) if better else self.best

    def _storage_errors(self) -> AbstractContextManager[None]:
        return storage_errors(self.storage, WHAT_NOW)


class TrialReport(Hook):
    """Raises Pruned after an evaluation if `is_hopeless` returns true for the epoch and metrics."""

    priority = "LOWEST"  # after the checkpoint hook, which keeps the best weights

    def __init__(self, is_hopeless: Callable[[int, Mapping[str, float]], bool]) -> None:
        self.is_hopeless = is_hopeless
        self.best: dict[str, float] | None = None

    def after_resume(self, runner, best: dict[str, float] | None) -> None:
        """Restore the best evaluation so far."""
        self.best = best

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Report an evaluation."""
        if not metrics or main_score(metrics) is None:
            return
        loop = runner.train_loop
        if is_better(metrics, self.best):
            self.best = {**metrics, "epoch": loop.epoch}
        if self.is_hopeless(loop.epoch, metrics) and loop.epoch < loop.max_epochs:
            raise Pruned


def _are_same(point: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Return whether two points are equal within the precision of a database."""
    return point.keys() == params.keys() and all(
        math.isclose(value, params[name], rel_tol=1e-9)
        if isinstance(value, float)
        else value == params[name]
        for name, value in point.items()
    )


def _in_words(params: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in params.items()
    )
