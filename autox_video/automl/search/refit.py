"""A last training on all clips, once those for validation have done their part.

Clips that we set aside ourselves choose the weights and say how good they are. After that, the plan
that was best learns once more, from these clips too, as is usual once a choice is made (`refit` in
scikit-learn's searches). Nothing is left then that could measure it: its weights keep the score of
the plan without those clips, and are kept if they know the clips, which they have seen now, at
least as well.
"""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from autox_video.automl.finishing import FINETUNE_ID
from autox_video.automl.leaderboard import Row, trial, try_to_put, try_to_read
from autox_video.automl.search.side_run import (
    TimeLeft,
    config_beside,
    data_beside,
    of_epochs,
    peak_of,
    read_state,
    remove_weights,
    try_to_write_state,
    with_own_config,
    write_beside,
)
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import complain, say
from autox_video.core.errors import CheckpointError, ListingError, NumbersError, ResourceError
from autox_video.data.listing.formats.list_files import read_list
from autox_video.distributed import processes
from autox_video.metrics.selection_score import main_score
from autox_video.planning.plan import Plan
from autox_video.planning.search_space import applied, relative_cost
from autox_video.run.work_dir import BEST, REFIT, TRIALS
from autox_video.training.checkpoints.checkpoint import (
    own_config,
    read_checkpoint,
    read_meta,
    write_best,
)
from autox_video.training.config.build_config import TrainingData
from autox_video.training.run_training import train

LEAST_SHARE = 0.8
"""Of the epochs of the run, below which more clips do not make up for less training."""
KIND = "refit"


def is_of_use(settings: Settings, plan: Plan, num_val: int) -> bool:
    """Whether there are clips that only chose so far, and that the user did not set aside."""
    mine = settings.ann_file_val == AUTO and plan.evaluation > 0 and num_val > 0
    return mine and settings.search == AUTO and plan.time_budget_sec is not None


class Refit:
    """Trains the plan of the best weights on all clips.

    Args:
        plan: of the run.
        data: its clips.
        num_val: how many of them choose.
        work_dir: its folder; its best weights become those of this training.
    """

    def __init__(self, plan: Plan, data: TrainingData, num_val: int, work_dir: Path) -> None:
        self.plan, self.data, self.num_val, self.work_dir = plan, data, num_val, work_dir
        self.num_clips = data.num_train + num_val
        self.more = self.num_clips / data.num_train
        """How many times the run's clips there are."""

    def reserved(self, left: TimeLeft) -> float:
        """Seconds to keep for it of what is left: none where they are too few, or it is done.

        Args:
            left: what it and all before it may take, with the epochs of the plans that may turn out
                to be the best.
        """
        needed_sec = self.more * left.of_a_run
        folders = (self.work_dir / REFIT).glob("*")
        kept = any(self._state(each, _row_id(each.name)).get("done") for each in folders)
        return 0.0 if kept or left.seconds() < LEAST_SHARE * needed_sec else needed_sec

    def run(self, left: TimeLeft, best: Mapping[str, float]) -> None:
        """Train, and keep the weights; nothing where there is no time, or it was done before.

        Args:
            left: what it may take.
            best: the metrics of the best weights.

        Raises:
            Stopped: a signal came; it goes on at the next start.
        """
        origin = processes.run_on_rank_zero(self._origin)
        if origin is None:
            return
        name = _row_id(origin)
        folder = self.work_dir / REFIT / origin
        state = processes.run_on_rank_zero(lambda: self._state_for(best, folder, name))
        if not state.get("done"):
            plan, cost = self._plan_of(origin, best)
            epochs = processes.run_on_rank_zero(lambda: self._epochs(plan, cost, state, left))
            if not epochs:
                say("No time is left for a last training on all clips: the weights stay.")
                return
            try:
                self._train(name, plan, folder, left, cost=cost, epochs=epochs, best=best)
            except (NumbersError, CheckpointError, ResourceError, ListingError) as error:
                say(f"The last training on all clips failed: {error} The weights before it stay.")
        if processes.current().is_main:
            remove_weights(folder)

    def _state(self, folder: Path, name: str) -> dict[str, Any]:
        """How far it is; of a run of before it kept this itself, by its row where that is done."""
        state = read_state(folder)
        row = next((row for row in try_to_read(self.work_dir) if row.id == name), None)
        if state.get("done") and row is not None and row.state != "done":
            try_to_put(self.work_dir, replace(row, state="done"))  # stopped before it said so
        if not state and row is not None and row.state == "done":
            return {**row.config, "done": True}
        return state

    def _state_for(self, best: Mapping[str, float], folder: Path, name: str) -> dict[str, Any]:
        """How far it is with these best weights: what was done with others begins anew."""
        state, chosen = self._state(folder, name), _chosen(best)
        if state.get("of", chosen) == chosen:
            return state
        remove_weights(folder)
        return {}

    def _origin(self) -> str | None:
        """The row of the leaderboard whose plan the best weights are of; None: of a probe."""
        kept = self.work_dir / BEST
        try:
            meta = read_meta(kept)
        except CheckpointError as error:
            complain(f"{error} There is no last training on all clips.")
            return None
        if "trial" in meta:
            return meta["trial"] if self._params_of(meta) is not None else None
        return FINETUNE_ID if own_config(kept) is None else None

    def _params_of(self, meta: Mapping[str, Any]) -> dict[str, Any] | None:
        """What the trial that weights are of chose; of older weights only the leaderboard says."""
        if "params" in meta:
            return dict(meta["params"])
        rows = (row for row in try_to_read(self.work_dir) if row.id == meta["trial"])
        return next((dict(row.config) for row in rows), None)

    def _plan_of(self, origin: str, best: Mapping[str, float]) -> tuple[Plan, float]:
        """The plan to train by, and the cost of its epochs over those of the run."""
        peak = processes.run_on_rank_zero(lambda: self._peak(origin))
        if origin == FINETUNE_ID:
            # Where it ended early, more epochs would have made it worse.
            epochs = int(best["epoch"]) if self.plan.patience else self.plan.epochs
            return of_epochs(self.plan, peak or epochs), self.more
        params = processes.run_on_rank_zero(
            lambda: self._params_of(read_meta(self.work_dir / BEST))
        )
        epochs = params.pop("epochs")
        cost = self.more * relative_cost(self.plan, params)
        return of_epochs(applied(self.plan, params), peak or epochs), cost

    def _peak(self, origin: str) -> int | None:
        """The epoch after which the training that the best weights are of did harm, if it did."""
        trial_folder = self.work_dir / TRIALS / origin.removeprefix("trial-")
        return peak_of(self.work_dir if origin == FINETUNE_ID else trial_folder)

    def _epochs(self, plan: Plan, cost: float, state: Mapping[str, Any], left: TimeLeft) -> int:
        """As many as the plan has, or those that there is time for, or that were begun with."""
        if "epochs" in state:
            return state["epochs"]
        whole_sec = cost * left.of_a_run * plan.epochs / self.plan.epochs
        share = min(1.0, left.seconds() / whole_sec)
        return math.floor(share * plan.epochs) if share >= LEAST_SHARE else 0

    def _train(
        self,
        name: str,
        plan: Plan,
        folder: Path,
        left: TimeLeft,
        *,
        cost: float,
        epochs: int,
        best: Mapping[str, float],
    ) -> None:
        with ExitStack() as held:
            if processes.current().is_main:
                about = {"epochs": epochs, "clips": self.num_clips}
                row = Row(name, KIND, plan.backbone, plan.clip_len, plan.resolution, about)
                held.enter_context(trial(self.work_dir, row))
                say(f"A last training, on all {self.num_clips} clips: {epochs} epochs.")
            _note(folder, {"epochs": epochs, "of": _chosen(best)})
            metrics = train(self._config(plan, folder, left, cost=cost, epochs=epochs))
            processes.run_on_rank_zero(lambda: self._keep(folder, metrics, best))
            _note(folder, {"epochs": epochs, "of": _chosen(best), "done": True})

    def _config(
        self, plan: Plan, folder: Path, left: TimeLeft, *, cost: float, epochs: int
    ) -> Config:
        data = processes.run_on_rank_zero(lambda: self._all_clips(folder))
        # Evaluated once, at the end: no evaluation can choose among its weights.
        quiet = replace(plan, evaluation=epochs, patience=0, soup=0)
        config = config_beside(quiet, data, folder, left, epochs=epochs, cost=cost)
        if folder.name != FINETUNE_ID:
            with_own_config(config)
        write_beside(config)
        return config

    def _all_clips(self, folder: Path) -> TrainingData:
        train, val = (read_list(path) for path in (self.data.train_list, self.data.val_list))
        return data_beside(self.data, folder, train.with_those_of(val), val)

    def _keep(
        self, folder: Path, metrics: Mapping[str, float] | None, best: Mapping[str, float]
    ) -> None:
        """Make its weights the best ones; the metrics stay those that chose the plan."""
        key = main_score(best)
        if metrics is None or metrics[key] < best[key]:
            say("The last training did not learn the clips as well: the weights before it stay.")
            return
        state, before = read_checkpoint(folder / BEST), read_meta(self.work_dir / BEST)
        about = {name: before[name] for name in ("metrics", "trial", "params") if name in before}
        write_best(self.work_dir, {**state, "meta": {**state["meta"], **about, KIND: True}})
        say(
            "The best weights are those of the last training now; their score is that of the same "
            f"plan without the {self.num_val} validation clips."
        )


def _chosen(best: Mapping[str, float]) -> list[float | None]:
    """What tells the best weights, before a last training, from others: epoch and score."""
    return [best.get("epoch"), round(best[main_score(best)], 9)]


def _row_id(origin: str) -> str:
    """Its row in the leaderboard."""
    return KIND if origin == FINETUNE_ID else f"{KIND}-{origin}"


def _note(folder: Path, state: Mapping[str, Any]) -> None:
    """Keep how far it is; where it cannot be written, all processes raise ResourceError."""
    told = processes.run_on_rank_zero(lambda: try_to_write_state(folder, state))
    if told is not None:
        raise ResourceError(told)
