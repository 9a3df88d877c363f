"""The refit, which retrains the best plan on both training and validation clips.

The validation clips of an automatic split are used to choose and to score the weights. Afterwards,
the best plan is trained once more with the validation clips included, as is usual after model
selection (`refit` in scikit-learn's searches). No clips are left to score the new weights, so the
score from before the refit is kept. The new weights are kept only if they do at least as well on
the validation clips, which by then have been used for training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autox_video.automl.finishing import FINETUNE_ID
from autox_video.automl.leaderboard import open_row, row_of
from autox_video.automl.prepare import Prepared
from autox_video.automl.search.side_run import (
    FAILURES,
    SideRun,
    TimeLeft,
    evaluated_at_the_end,
    peak_of,
    read_state,
    remove_weights,
    side_data,
    with_epochs,
    write_state,
)
from autox_video.config.settings import AUTO
from autox_video.core.console import complain, say
from autox_video.core.errors import CheckpointError
from autox_video.data.listing.written_list import read_list
from autox_video.distributed import processes
from autox_video.metrics.selection_score import main_score
from autox_video.planning.plan import Plan
from autox_video.planning.record import RunRecord, TrainingData
from autox_video.planning.search_space import applied, relative_cost
from autox_video.run.work_dir import BEST, REFIT, TRIALS
from autox_video.training.checkpoints.checkpoint import (
    ALL_CLIPS,
    ORIGIN,
    PARAMS,
    read_checkpoint,
    read_meta,
    write_best,
)

LEAST_SHARE = 0.8
"""Smallest number of epochs of a refit, relative to the run's number of epochs; the additional
clips make up for shorter training."""
KIND = "refit"


def can_refit(prepared: Prepared, plan: Plan) -> bool:
    """Return whether an automatic split has set aside validation clips that a refit can use."""
    asked = prepared.basis.settings
    set_aside_here = asked.ann_file_val == AUTO and len(prepared.listing.val) > 0
    chose = plan.evaluation > 0 and plan.time_budget_sec is not None
    return set_aside_here and chose and asked.search == AUTO


@dataclass(frozen=True, slots=True)
class Origin:
    """The training run that produced the best weights."""

    row_id: str
    plan: Plan
    cost: float
    """Cost of an epoch on all clips, relative to an epoch of the main run."""
    folder: Path
    """Folder of the training run."""


class Refit:
    """Trains the plan of the best weights on all clips, including `num_val` validation clips."""

    def __init__(self, plan: Plan, data: TrainingData, num_val: int, work_dir: Path) -> None:
        self.plan, self.data, self.num_val, self.work_dir = plan, data, num_val, work_dir
        self.num_clips = data.num_train + num_val
        self.more = self.num_clips / data.num_train
        """Ratio of the number of all clips to the number of training clips."""

    def reserved(self, left: TimeLeft) -> float:
        """Return the seconds to reserve for the refit; 0 if time is short or the refit is done."""
        needed_sec = self.more * left.of_a_run
        folders = (self.work_dir / REFIT).glob("*")
        is_done = any(read_state(folder).get("done") for folder in folders)
        return 0.0 if is_done or left.seconds() < LEAST_SHARE * needed_sec else needed_sec

    def run(self, left: TimeLeft, best: Mapping[str, float]) -> None:
        """Refit unless time is short or the refit is already finished.

        `best` contains the metrics of the best weights, which a refit does not change.
        """
        origin = processes.run_on_rank_zero(lambda: self._origin(best))
        if origin is None:
            return
        folder = self.work_dir / REFIT / origin.row_id
        state = processes.run_on_rank_zero(lambda: self._state(best, folder))
        epochs = state.get("epochs") or processes.run_on_rank_zero(
            lambda: self._epochs(origin, left)
        )
        if not epochs:
            say("No time left for a refit on train + validation. The best weights are unchanged.")
            return
        row_id = KIND if origin.row_id == FINETUNE_ID else f"{KIND}-{origin.row_id}"
        about = {"epochs": epochs, "clips": self.num_clips}
        try:
            row = row_of(row_id, KIND, origin.plan, about)
            with open_row(self.work_dir, row, anew=not state):
                if not state.get("done"):
                    state = {"epochs": epochs, "of": _identity(best)}
                    self._train(origin, folder, state, left, best)
        except FAILURES as error:
            say(f"The refit on train + validation failed: {error} The best weights are unchanged.")
        if processes.current().is_main:
            remove_weights(folder)

    def _state(self, best: Mapping[str, float], folder: Path) -> dict[str, Any]:
        """Return the refit's state, discarding the state of a refit of other best weights."""
        state = read_state(folder)
        if state.get("of") == _identity(best):
            return state
        remove_weights(folder)
        return {}

    def _origin(self, best: Mapping[str, float]) -> Origin | None:
        """Return the run that produced the best weights; None for a probe or an unknown run."""
        try:
            meta = read_meta(self.work_dir / BEST)
        except CheckpointError as error:
            complain(f"{error} The refit on train + validation is skipped.")
            return None
        row_id, params = meta.get(ORIGIN, FINETUNE_ID), meta.get(PARAMS)
        if row_id == FINETUNE_ID:
            # With early stopping, training beyond the best epoch would do harm.
            epochs = int(best["epoch"]) if self.plan.patience else self.plan.epochs
            epochs = peak_of(self.work_dir) or epochs
            return Origin(row_id, with_epochs(self.plan, epochs), self.more, self.work_dir)
        if params is None:
            return None
        folder = self.work_dir / TRIALS / row_id.removeprefix("trial-")
        point = {name: value for name, value in params.items() if name != "epochs"}
        plan = with_epochs(applied(self.plan, point), peak_of(folder) or params["epochs"])
        return Origin(row_id, plan, self.more * relative_cost(self.plan, point), folder)

    def _epochs(self, origin: Origin, left: TimeLeft) -> int:
        """Return the plan's number of epochs, or a smaller number if time is short."""
        run_sec = origin.cost * left.of_a_run * origin.plan.epochs / self.plan.epochs
        return left.epochs_of(origin.plan, run_sec, LEAST_SHARE)

    def _train(
        self,
        origin: Origin,
        folder: Path,
        state: Mapping[str, Any],
        left: TimeLeft,
        best: Mapping[str, float],
    ) -> None:
        epochs = state["epochs"]
        say(f"Refit on all {self.num_clips} clips (train + validation): {epochs} epochs.")
        write_state(folder, state)
        data = processes.run_on_rank_zero(lambda: self._all_clips(folder))
        record = RunRecord(evaluated_at_the_end(origin.plan, epochs), data)
        metrics = SideRun(record, folder, origin.cost).train(left)
        processes.run_on_rank_zero(lambda: self._keep(folder, metrics, best))
        write_state(folder, {**state, "done": True})

    def _all_clips(self, folder: Path) -> TrainingData:
        train, val = (read_list(path) for path in (self.data.train_list, self.data.val_list))
        return side_data(self.data, folder, train.with_those_of(val), val)

    def _keep(
        self, folder: Path, metrics: Mapping[str, float] | None, best: Mapping[str, float]
    ) -> None:
        """Save the refit weights as the best weights, keeping the metrics from before the refit."""
        key = main_score(best)
        if metrics is None or metrics[key] < best[key]:
            say(
                "The refit weights score worse on the validation clips. The best weights are "
                "unchanged."
            )
            return
        state, before = read_checkpoint(folder / BEST), read_meta(self.work_dir / BEST)
        about = {name: before[name] for name in ("metrics", ORIGIN, PARAMS) if name in before}
        write_best(self.work_dir, {**state, "meta": {**state["meta"], **about, ALL_CLIPS: True}})
        say(
            "The refit weights are now the best weights; their score is from before the refit, "
            f"without the {self.num_val} validation clips."
        )


def _identity(best: Mapping[str, float]) -> list[float | None]:
    """Return the epoch and the score, which identify the best weights before a refit."""
    return [best.get("epoch"), round(best[main_score(best)], 9)]
