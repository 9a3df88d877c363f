"""Cross-validation of a plan, for data sets with few clips.

A few validation clips are not enough to compare models. In repeated stratified k-fold
cross-validation (Kohavi, IJCAI 1995), each clip is predicted by a model that was not trained on it,
so all clips contribute to the score. Each fold is a side run. The weights of the last epoch are
scored, so that the held-out clips do not influence the choice of weights.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.automl.ensembles.unseen_outputs import Unseen
from autox_video.automl.leaderboard import (
    Row,
    interval_text,
    open_row,
    put_row,
    row_of,
    try_to_read,
)
from autox_video.automl.prepare import Prepared, groups_of
from autox_video.automl.search.side_run import (
    FAILURES,
    SHORTEST_SHARE,
    SideRun,
    TimeLeft,
    evaluated_at_the_end,
    read_state,
    remove_weights,
    side_data,
    write_state,
)
from autox_video.config.settings import AUTO
from autox_video.core.console import say
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.written_list import read_list
from autox_video.data.splitting.folds import repeated_folds
from autox_video.distributed import processes
from autox_video.metrics.calibration import OutOfFold
from autox_video.metrics.intervals import (
    CROSS_VALIDATION,
    FEW_VALIDATION_CLIPS,
    score_text,
    wilson_interval,
)
from autox_video.metrics.selection_score import main_score, score_label
from autox_video.planning.plan import Plan
from autox_video.planning.record import RunRecord, TrainingData
from autox_video.run.work_dir import FOLDS
from autox_video.tasks.task import TASKS
from autox_video.training.hooks.validation_logits import read_logits

MOST_FOLDS, MOST_REPEATS = 3, 3
KIND, SUMMARY_ID = "fold", "folds"


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold, whose held-out clips are used to score a model trained on the other clips."""

    repeat: int
    number: int
    folder: Path
    data: TrainingData

    @property
    def id(self) -> str:
        """The id of the fold's leaderboard row."""
        return f"fold-{self.repeat}-{self.number}"


def has_few_validation_clips(prepared: Prepared, plan: Plan) -> bool:
    """Return whether an automatic split has too few validation clips to compare models."""
    set_aside_here = prepared.basis.settings.ann_file_val == AUTO
    compares = set_aside_here and plan.evaluation > 0 and plan.time_budget_sec is not None
    return compares and len(prepared.listing.val) < FEW_VALIDATION_CLIPS


def make_folds(prepared: Prepared, data: TrainingData, work_dir: Path) -> list[Fold]:
    """Make a run's folds, which are deterministic, and write their clip lists.

    The result is empty if the main score is not an accuracy, if all clips are in one group, or if
    the weights that training starts from were trained on some of the clips.
    """
    clips = prepared.listing.train.with_those_of(prepared.listing.val)
    groups = groups_of(prepared, clips)
    count = min(MOST_FOLDS, len(set(groups.tolist())))
    if not TASKS[data.task].counts_right_clips or count < 2 or data.head_rows:
        return []
    partitions = repeated_folds(
        clips.labels, folds=count, repeats=MOST_REPEATS, seed=prepared.plan.seed, groups=groups
    )
    return [
        _write_fold(clips, data, work_dir, fold_of == number, (repeat, number + 1))
        for repeat, fold_of in enumerate(partitions, start=1)
        for number in range(count)
    ]


def _write_fold(
    clips: ClipTable,
    data: TrainingData,
    work_dir: Path,
    held_out: np.ndarray,
    numbers: tuple[int, int],
) -> Fold:
    folder = work_dir / FOLDS / f"{numbers[0]}-{numbers[1]}"
    train, val = (clips.select(np.flatnonzero(part)) for part in (~held_out, held_out))
    return Fold(*numbers, folder, side_data(data, folder, train, val))


class CrossValidation:
    """Trains the planned model on one fold after another until time runs out.

    `num_train` is the number of training clips of the main run.
    """

    def __init__(self, plan: Plan, num_train: int, folds: Sequence[Fold], work_dir: Path) -> None:
        self.plan, self.num_train, self.work_dir = plan, num_train, work_dir
        self.repeats = [
            [fold for fold in folds if fold.repeat == repeat]
            for repeat in sorted({fold.repeat for fold in folds})
        ]

    def run(self, left: TimeLeft) -> None:
        """Cross-validate the plan, one repeat after another; each fold gets a leaderboard row."""
        for number, folds in enumerate(self.repeats, start=1):
            epochs, is_over = processes.run_on_rank_zero(lambda f=folds: self._begin(f, left))
            if not epochs:
                return
            if not is_over:
                repeat = f"repeat {number} of up to {len(self.repeats)}"
                say(f"Cross-validation, {repeat}: {len(folds)} runs of {epochs} epochs.")
            if not all(self._score(fold, epochs, left) for fold in folds):
                return
            processes.run_on_rank_zero(self._sum_up)

    def score(self) -> float | None:
        """Return the plan's score over all complete repeats; None if no repeat is complete."""
        states = [state for repeat in self._whole().values() for state in repeat]
        if not states:
            return None
        return sum(s["score"] * _count(s) for s in states) / sum(map(_count, states))

    def summary(self) -> Row | None:
        """Return a leaderboard row for all complete repeats; None if no repeat is complete."""
        whole = list(self._whole().values())
        if not whole:
            return None
        states = [state for repeat in whole for state in repeat]
        clips = sum(state["clips"] for state in states) // len(whole)
        about = {"folds": len(whole[0]), "repeats": len(whole), "clips": clips}
        if self.plan.class_balance:
            about["effective_clips"] = round(sum(map(_count, states)) / len(whole), 1)
        row = row_of(SUMMARY_ID, KIND, self.plan, about)
        return replace(row, **_figures(self.score(), about))

    def temperature(self) -> dict[str, float]:
        """Return the temperature and ECE of out-of-fold predictions, or {} if there are none."""
        found = self._predictions()
        return {} if found is None else found[1].figures(balanced=self.plan.class_balance)

    def unseen(self, clips: ClipTable) -> Unseen | None:
        """Return outputs for a list's clips from models that were not trained on those clips."""
        found = self._predictions()
        if found is None:
            return None
        column = {clip: number for number, clip in enumerate(found[0])}
        rows = [n for n, path in enumerate(clips.paths) if (path, clips.segment(n)) in column]
        columns = [column[clips.paths[n], clips.segment(n)] for n in rows]
        return Unseen(np.array(rows, dtype=np.int64), found[1].logits[:, columns])

    def _predictions(self) -> tuple[list[tuple], OutOfFold] | None:
        """Return the clips with a prediction in each complete repeat, and the predictions."""
        logits_of: dict[tuple, list[np.ndarray]] = {}
        label_of: dict[tuple, int] = {}
        unlearnt: set[tuple] = set()
        whole = self._whole()
        for fold in (fold for number in whole for fold in self.repeats[number]):
            saved = read_logits(fold.folder)
            if saved is None:
                return None
            clips = read_list(fold.data.val_list)
            learnt = set(read_list(fold.data.train_list).labels)
            for position, logits, label in zip(*saved.values(), strict=True):
                clip = clips.paths[position], clips.segment(position)
                logits_of.setdefault(clip, []).append(logits)
                label_of[clip] = label
                if label not in learnt:
                    unlearnt.add(clip)
        every = [clip for clip, logits in logits_of.items() if len(logits) == len(whole)]
        if not every:
            return None
        logits = np.stack([logits_of[clip] for clip in every], axis=1)
        labels = np.array([label_of[clip] for clip in every])
        is_learnt = np.array([clip not in unlearnt for clip in every])
        return every, OutOfFold(logits, labels, is_learnt)

    def _begin(self, folds: Sequence[Fold], left: TimeLeft) -> tuple[int, bool]:
        """Return the number of epochs per fold of a repeat, and whether all its folds have scores.

        The number of epochs is 0 if there is too little time. A repeat that has already started
        keeps its number of epochs.
        """
        states = [self._state(fold) for fold in folds]
        begun = [state["epochs"] for state in states if state]
        if begun:
            return begun[0], all("score" in state for state in states)
        run_sec = sum(map(self._cost, folds)) * left.of_a_run
        return left.epochs_of(self.plan, run_sec, SHORTEST_SHARE), False

    def _score(self, fold: Fold, epochs: int, left: TimeLeft) -> bool:
        """Train on a fold unless the fold is finished; return whether it has a score."""
        state = processes.run_on_rank_zero(lambda: self._state(fold))
        row = row_of(fold.id, KIND, self.plan, {"epochs": epochs})
        try:
            with open_row(self.work_dir, row, anew=not state) as under_way:
                if "score" not in state:
                    state = self._train(fold, epochs, left, resuming=bool(state))
                if "score" not in state:
                    under_way.note(state="failed")
                    return False
                about = {key: state[key] for key in state if key not in ("clips_of", "score")}
                under_way.note(config=about, **_figures(state["score"], about))
        except FAILURES as error:
            say(f"{fold.id} failed: {error}")
            return False
        if processes.current().is_main:
            remove_weights(fold.folder)
        return True

    def _train(self, fold: Fold, epochs: int, left: TimeLeft, *, resuming: bool) -> dict[str, Any]:
        """Train on a fold; return its state, with a score if any held-out clip was readable."""
        if not resuming and processes.current().is_main:
            remove_weights(fold.folder)  # weights of an earlier, different run
        state = {"clips_of": _digest(fold.data), "epochs": epochs}
        write_state(fold.folder, state)
        record = RunRecord(evaluated_at_the_end(self.plan, epochs), fold.data)
        run = SideRun(record, fold.folder, self._cost(fold), save_logits=True)
        metrics = run.train(left) or {}
        if not metrics.get("clips"):
            return state
        state["clips"] = int(metrics["clips"])
        if "effective_clips" in metrics:
            state["effective_clips"] = round(metrics["effective_clips"], 1)
        state["score"] = metrics[main_score(metrics)]
        write_state(fold.folder, state)
        return state

    def _state(self, fold: Fold) -> dict[str, Any]:
        """Return the state of a fold; {} if the fold must be trained from the start.

        A fold starts over if it has no state, was started with different clips, or was trained for
        too few epochs for lack of time.
        """
        state = read_state(fold.folder)
        is_of_clips = state.get("clips_of") == _digest(fold.data)
        is_long = state.get("epochs", 0) >= math.floor(SHORTEST_SHARE * self.plan.epochs)
        return state if is_of_clips and is_long else {}

    def _cost(self, fold: Fold) -> float:
        """Return the cost of an epoch on this fold, relative to an epoch of the main run."""
        return fold.data.num_train / self.num_train

    def _whole(self) -> dict[int, list[dict[str, Any]]]:
        """Return the fold states of each complete repeat, keyed by the index of the repeat."""
        states = [[self._state(fold) for fold in folds] for folds in self.repeats]
        return {n: part for n, part in enumerate(states) if all("score" in s for s in part)}

    def _sum_up(self) -> None:
        """Write the score over all complete repeats to the leaderboard and print it."""
        summary = self.summary()
        rows = [r for r in try_to_read(self.work_dir) if r.kind == KIND and r.id != SUMMARY_ID]
        put_row(self.work_dir, replace(summary, cost_sec=sum(row.cost_sec for row in rows)))
        about = summary.config
        task = TASKS[self.repeats[0][0].data.task]
        key = task.main_score(balanced=self.plan.class_balance)
        score = score_text(summary.score, about["clips"])
        interval = interval_text(summary.low, summary.high, about["clips"])
        say(
            f"Cross-validation of the plan: {score_label(key)} {score} (95% interval {interval}, "
            f"{about['clips']} clips, {about['folds']} folds, repeats: {about['repeats']})."
        )


def _count(about: Mapping[str, Any]) -> float:
    """Return the effective sample size; class balancing reduces it."""
    return about.get("effective_clips", about["clips"])


def _digest(data: TrainingData) -> str:
    """Return a digest of the training and held-out clips of a fold."""
    lists = (Path(data.train_list).read_bytes(), Path(data.val_list).read_bytes())
    return hashlib.sha256(b"--".join(lists)).hexdigest()


def _figures(score: float, about: Mapping[str, Any]) -> dict[str, float | str]:
    """Return the score fields of a row, with an interval that ignores the number of repeats."""
    clips = _count(about)
    low, high = wilson_interval(score * clips, clips)
    return {"score": score, "low": low, "high": high, "scored_on": CROSS_VALIDATION}
