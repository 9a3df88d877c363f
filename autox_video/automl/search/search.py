"""The search: runs of other plans, tried one after the other while there is time.

Optuna asks and is told (TPE, Bergstra et al. 2011; pruned by successive halving, Jamieson and
Talwalkar 2016). Its storage is a file in the work dir or a database that several machines share. A
trial is an ordinary training run in a folder of its own: killed, it goes on from its checkpoint.
"""

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from mmengine.config import Config
from mmengine.hooks import Hook
from optuna.trial import FrozenTrial, Trial, TrialState

from autox_video.automl.leaderboard import Row, try_to_put
from autox_video.automl.search.side_run import (
    SHORTEST_SHARE,
    TimeLeft,
    config_beside,
    remove_weights,
    with_own_config,
    write_beside,
)
from autox_video.automl.search.study import (
    distributions,
    open_study,
    storage_errors,
    study_name,
    study_of_before,
)
from autox_video.core.console import say
from autox_video.core.errors import CheckpointError, ListingError, NumbersError, ResourceError
from autox_video.distributed import processes
from autox_video.metrics.headline import row_fields
from autox_video.metrics.intervals import score_text
from autox_video.metrics.selection_score import main_score, score_label, selection_score
from autox_video.planning.plan import Plan
from autox_video.planning.search_space import (
    applied,
    neighbours,
    relative_cost,
    space_of,
    start_of,
)
from autox_video.run.work_dir import BEST, SEARCH, TRIALS
from autox_video.training.checkpoints.checkpoint import read_checkpoint, write_best
from autox_video.training.checkpoints.checkpoint_hook import is_better
from autox_video.training.config.build_config import TrainingData
from autox_video.training.run_training import train

WHAT_NOW = (
    "The best weights so far are kept; the search goes on where it was when the same command runs "
    "again."
)


@dataclass(frozen=True, slots=True)
class Begun:
    """A trial that is to be run, or to go on."""

    number: int
    params: dict[str, Any]
    epochs: int

    @property
    def folder(self) -> str:
        """Its folder's name."""
        return f"{self.number:04d}"

    @property
    def row_id(self) -> str:
        """Its row in the leaderboard."""
        return f"trial-{self.folder}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial came to."""

    trial: Begun
    metrics: dict[str, float] | None
    """Of its best evaluation; None where it had none."""
    state: str
    """`done`, `pruned` or `failed`."""
    seconds: float


class Pruned(Exception):  # noqa: N818 (the end of a trial, not an error)
    """The trial is worse than others were at this point."""


class Search:
    """Trials around the plan of a run.

    Args:
        plan: of the run.
        data: its clips.
        work_dir: its folder; its best weights become those of the best trial, which carry their
            config.
        best: the metrics of its best evaluation.
        storage: address of Optuna's database; None: a file in the work dir.

    Raises:
        ResourceError: the storage cannot be used; the methods raise this too.
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
        self.is_own = storage is None
        self.storage = storage or f"sqlite:///{work_dir / SEARCH}"
        self.study: optuna.Study | None = None
        if processes.current().is_main:
            with self._as_sentence():
                self.study = self._open()

    def run(self, left: TimeLeft) -> dict[str, float]:
        """Try until the time is over, or validation perfect; gives the best metrics of all.

        Each trial has a row in the leaderboard.

        Raises:
            Stopped: a signal came; the trial goes on at the next start.
        """
        while not self._is_perfect():
            begun = processes.run_on_rank_zero(lambda: self._next(left))
            if begun is None:
                return self.best
            outcome = self._try(begun, left)
            self.best = processes.run_on_rank_zero(lambda done=outcome: self._end(done))
        say("Validation is perfect and could tell no better choice: the rest of the time is left.")
        return self.best

    def _is_perfect(self) -> bool:
        return self.best[main_score(self.best)] >= 1.0

    def _open(self) -> optuna.Study:
        name = study_name(self.plan, self.space, self.data)
        if self.is_own and (self.work_dir / SEARCH).exists():
            name = study_of_before(self.storage, self.space, self.data, self.plan) or name
        study = open_study(self.storage, name)
        for trial in study.trials:
            if trial.state.is_finished() and trial.user_attrs.get("folder") == self._origin:
                remove_weights(self.work_dir / TRIALS / f"{trial.number:04d}")
        if not any(trial.user_attrs.get("origin") == self._origin for trial in study.trials):
            study.add_trial(
                optuna.trial.create_trial(
                    params=start_of(self.plan, self.space),
                    distributions=distributions(self.space),
                    value=selection_score(self.best),
                    user_attrs={"origin": self._origin},
                )
            )
        return study

    @property
    def _origin(self) -> str:
        """Names this work dir among those that share a storage."""
        return str(self.work_dir.absolute())

    def _next(self, left: TimeLeft) -> Begun | None:
        """The trial that a stop has cut off, or a new one; None where there is no time for one."""
        with self._as_sentence():
            for trial in self.study.get_trials(states=[TrialState.RUNNING]):
                if trial.user_attrs.get("folder") == self._origin:
                    return Begun(trial.number, trial.params, trial.user_attrs["epochs"])
            if left.seconds() < SHORTEST_SHARE * left.of_a_run:
                return None
            trial = self._ask(left)
            epochs = self._epochs_in(left, trial.params)
            if not epochs:
                self.study.tell(trial, state=TrialState.FAIL)  # too long for what is left
                return None
            trial.set_user_attr("epochs", epochs)
            begun = Begun(trial.number, trial.params, epochs)
            # Its number may have been that of a trial of another study.
            shutil.rmtree(self.work_dir / TRIALS / begun.folder, ignore_errors=True)
            trial.set_user_attr("folder", self._origin)
            return begun

    def _ask(self, left: TimeLeft) -> Trial:
        """A neighbour of the plan that nobody has tried yet, or what the sampler draws."""
        trials = self.study.get_trials(deepcopy=False)
        # Of a seed for each trial, so that a search that goes on draws what it would have.
        sampler = optuna.samplers.TPESampler(
            seed=1000 * self.plan.seed + len(trials), n_startup_trials=0, multivariate=True
        )
        point = self._neighbour(left, trials)
        # Not by Optuna's queue: of SQLite, two machines can take the same trial from it.
        self.study.sampler = sampler if point is None else _AtPoint(point)
        return self.study.ask(distributions(self.space))

    def _neighbour(self, left: TimeLeft, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
        """A neighbour that is left to try; machines that look at once take different ones."""
        untried = [
            point
            for point in neighbours(self.plan, self.space)
            if not any(_are_same(point, trial.params) for trial in trials)
            and self._epochs_in(left, point)
        ]
        origins = [t.user_attrs["origin"] for t in trials if "origin" in t.user_attrs]
        return untried[min(origins.index(self._origin), len(untried) - 1)] if untried else None

    def _epochs_in(self, left: TimeLeft, params: Mapping[str, Any]) -> int:
        """Epochs of a trial in the time that is left; 0 where they would be too few."""
        share = left.seconds() / (left.of_a_run * relative_cost(self.plan, params))
        epochs = math.floor(self.plan.epochs * min(1.0, share))
        return epochs if epochs >= max(1, SHORTEST_SHARE * self.plan.epochs) else 0

    def _try(self, begun: Begun, left: TimeLeft) -> Outcome:
        """Run a trial to its end, or until it is pruned."""
        started = time.monotonic()
        say(f"Trial {begun.number}: {_shown(begun.params)}.")
        report = TrialReport(lambda step, metrics: self._is_hopeless(begun, step, metrics))
        metrics, state = None, "done"
        try:
            metrics = train(self._config(begun, left), hooks=[report])
        except Pruned:
            metrics, state = report.best, "pruned"
        except (NumbersError, CheckpointError, ResourceError, ListingError) as error:
            say(f"Trial {begun.number} failed: {error}")
            state = "failed"
        return Outcome(begun, metrics, state, time.monotonic() - started)

    def _config(self, begun: Begun, left: TimeLeft) -> Config:
        """The config of a trial, in its folder."""
        plan, folder = applied(self.plan, begun.params), self.work_dir / TRIALS / begun.folder
        cost = relative_cost(self.plan, begun.params)
        config = config_beside(plan, self.data, folder, left, epochs=begun.epochs, cost=cost)
        with_own_config(config)
        write_beside(config)
        return config

    def _is_hopeless(self, begun: Begun, step: int, metrics: Mapping[str, float]) -> bool:
        """Tell Optuna of an evaluation; gives whether it prunes the trial."""

        def told() -> bool:
            with self._as_sentence():
                trial = self._trial(begun.number)
                trial.report(selection_score(metrics), step)
                return trial.should_prune()

        return processes.run_on_rank_zero(told)

    def _trial(self, number: int) -> Trial:
        found = next(t for t in self.study.get_trials(deepcopy=False) if t.number == number)
        return Trial(self.study, found._trial_id)

    def _end(self, outcome: Outcome) -> dict[str, float]:
        """Keep the weights if they are the best, tell of the end, and tidy up; gives the best."""
        folder = self.work_dir / TRIALS / outcome.trial.folder
        # Optuna is told last: a trial that was killed before that ends once more, in the same row.
        try_to_put(self.work_dir, self._row(outcome))
        better = outcome.metrics is not None and is_better(outcome.metrics, self.best)
        if better:
            state = read_checkpoint(folder / BEST)
            params = {**outcome.trial.params, "epochs": outcome.trial.epochs}
            meta = {**state["meta"], "trial": outcome.trial.row_id, "params": params}
            write_best(self.work_dir, {**state, "meta": meta})
        best = dict(outcome.metrics) if better else self.best
        with self._as_sentence():
            number = outcome.trial.number
            if outcome.metrics is None:
                self.study.tell(number, state=TrialState.FAIL)
            elif outcome.state == "pruned":  # its value is what it reported last
                self.study.tell(number, state=TrialState.PRUNED)
            else:
                self.study.tell(number, selection_score(outcome.metrics))
        remove_weights(folder)
        if outcome.metrics is not None:
            key = main_score(outcome.metrics)
            score = score_text(outcome.metrics[key], outcome.metrics.get("clips", math.inf))
            what = f"{score_label(key)} {score}"
            kept = "the best so far; its weights are kept" if better else outcome.state
            say(f"Trial {outcome.trial.number}: validation {what}, {kept}.")
        return best

    def _row(self, outcome: Outcome) -> Row:
        trial, figures = outcome.trial, outcome.metrics
        about = {**trial.params, "epochs": trial.epochs}  # by which the last training goes
        return Row(
            trial.row_id,
            "search",
            self.plan.backbone,
            trial.params.get("clip_len", self.plan.clip_len),
            trial.params.get("resolution", self.plan.resolution),
            cost_sec=outcome.seconds,
            state=outcome.state,
            **{**(row_fields(figures, {}) if figures else {}), "config": about},
        )

    def _as_sentence(self) -> AbstractContextManager[None]:
        return storage_errors(self.storage, WHAT_NOW)


class _AtPoint(optuna.samplers.BaseSampler):
    """Draws one point of the space."""

    def __init__(self, point: Mapping[str, Any]) -> None:
        self.point = point

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self.point[param_name]


class TrialReport(Hook):
    """Ends a run by Pruned where its evaluations are hopeless.

    Args:
        is_hopeless: is told the number of each evaluation and its metrics.
    """

    priority = "LOWEST"  # behind the keeper, which keeps the best weights

    def __init__(self, is_hopeless: Callable[[int, Mapping[str, float]], bool]) -> None:
        self.is_hopeless = is_hopeless
        self.best: dict[str, float] | None = None

    def after_resume(self, runner, best: dict[str, float] | None) -> None:
        """Know the best evaluation of before."""
        self.best = best

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Report an evaluation."""
        if not metrics or main_score(metrics) is None:
            return
        loop = runner.train_loop
        if is_better(metrics, self.best):
            self.best = {**metrics, "epoch": loop.epoch}
        last = loop.epoch >= loop.max_epochs
        if self.is_hopeless(loop.epoch, metrics) and not last:
            raise Pruned


def _are_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two points are one, but for digits that a database drops."""
    return one.keys() == other.keys() and all(
        math.isclose(value, other[name], rel_tol=1e-9)
        if isinstance(value, float)
        else value == other[name]
        for name, value in one.items()
    )


def _shown(params: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in params.items()
    )
