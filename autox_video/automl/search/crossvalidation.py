"""The score of a plan where clips are few: by runs on folds of them, instead of by a few set aside.

A handful of validation clips cannot tell two models apart, and says little of the one there is. In
repeated stratified k-fold cross-validation (Kohavi, IJCAI 1995) each clip is predicted by a model
that did not learn from it, so all of them count. Each fold is an ordinary training run in a folder
of its own: killed, it goes on from its checkpoint. No evaluation chooses its weights: the last ones
are scored.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.automl.leaderboard import Row, trial, try_to_put, try_to_read
from autox_video.automl.prepare import Prepared, groups_of
from autox_video.automl.search.side_run import (
    SHORTEST_SHARE,
    TimeLeft,
    config_beside,
    data_beside,
    read_state,
    remove_weights,
    try_to_write_state,
    write_beside,
)
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import say
from autox_video.core.errors import CheckpointError, ListingError, NumbersError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.formats.list_files import read_list
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
from autox_video.run.work_dir import FOLDS
from autox_video.tasks.task import TASKS
from autox_video.training.config.build_config import TrainingData
from autox_video.training.hooks.validation_logits import read_logits
from autox_video.training.run_training import train

MOST_FOLDS, MOST_REPEATS = 3, 3
KIND, SUMMARY_ID = "fold", "folds"


@dataclass(frozen=True, slots=True)
class Fold:
    """One part of a division: the clips that its run does not learn from."""

    repeat: int
    number: int
    data: TrainingData

    @property
    def id(self) -> str:
        """Its row in the leaderboard."""
        return f"fold-{self.repeat}-{self.number}"

    def folder(self, work_dir: Path) -> Path:
        """Of its run, in the work dir of the whole run."""
        return work_dir / FOLDS / f"{self.repeat}-{self.number}"


def are_few(settings: Settings, plan: Plan, val_clips: int) -> bool:
    """Whether too few clips were set aside by us to compare models with."""
    mine = settings.ann_file_val == AUTO and plan.evaluation > 0
    return mine and plan.time_budget_sec is not None and val_clips < FEW_VALIDATION_CLIPS


def make_folds(prepared: Prepared, data: TrainingData, work_dir: Path) -> list[Fold]:
    """Divide the clips of a run, and write the lists of each fold; the same whenever it is called.

    Where a clip may be of several classes, or all clips belong together, there are none.

    Raises:
        ResourceError: a list cannot be written.
    """
    clips = prepared.listing.train.with_those_of(prepared.listing.val)
    groups = groups_of(prepared, clips)
    count = min(MOST_FOLDS, len(set(groups.tolist())))
    if not TASKS[data.task].counts_right_clips or count < 2:
        return []
    divisions = repeated_folds(
        clips.labels, folds=count, repeats=MOST_REPEATS, seed=prepared.plan.seed, groups=groups
    )
    return [
        _write_fold(clips, data, work_dir, division == number, repeat, number)
        for repeat, division in enumerate(divisions, start=1)
        for number in range(count)
    ]


def _write_fold(
    clips: ClipTable,
    data: TrainingData,
    work_dir: Path,
    held_out: np.ndarray,
    repeat: int,
    number: int,
) -> Fold:
    fold = Fold(repeat, number + 1, data)
    train, val = (clips.select(np.flatnonzero(part)) for part in (~held_out, held_out))
    return replace(fold, data=data_beside(data, fold.folder(work_dir), train, val))


class CrossValidation:
    """Runs of a plan on folds, one after the other, while there is time.

    Args:
        plan: of the run.
        num_train: clips that the run itself learns from.
        folds: as `make_folds` gives them.
        work_dir: of the run.
    """

    def __init__(self, plan: Plan, num_train: int, folds: Sequence[Fold], work_dir: Path) -> None:
        self.plan, self.num_train, self.work_dir = plan, num_train, work_dir
        self.repeats = [
            [fold for fold in folds if fold.repeat == repeat]
            for repeat in sorted({fold.repeat for fold in folds})
        ]

    def run(self, left: TimeLeft) -> None:
        """Score the plan, division after division; each fold has a row in the leaderboard.

        Raises:
            Stopped: a signal came; the fold goes on at the next start.
        """
        for folds in self.repeats:
            epochs = processes.run_on_rank_zero(lambda these=folds: self._epochs(these, left))
            if epochs is None:
                return
            if not all(
                processes.run_on_rank_zero(lambda these=folds: list(map(self._is_done, these)))
            ):
                repeat = f"division {folds[0].repeat} of at most {len(self.repeats)}"
                say(f"Cross-validation, {repeat}: {len(folds)} runs of {epochs} epochs.")
            if not all(self._score(fold, epochs, left) for fold in folds):
                return
            processes.run_on_rank_zero(self._sum_up)

    def score(self) -> float | None:
        """What the plan scores in all whole divisions; None where there is none."""
        whole = self._whole()
        return _score_of(whole) if whole else None

    def summary(self) -> Row | None:
        """The row of all whole divisions; None where there is none."""
        whole = self._whole()
        if not whole:
            return None
        every = [state for states in whole for state in states]
        clips = sum(map(_count, every))
        once = sum(state["clips"] for state in every) // len(whole)
        about = {"folds": len(whole[0]), "repeats": len(whole), "clips": once}
        if self.plan.class_balance:
            about["effective_clips"] = round(clips / len(whole), 1)
        return self._row(SUMMARY_ID, about, **_figures(_score_of(whole), about))

    def temperature(self) -> dict[str, float]:
        """Figures of the temperature that clips call for that were not learnt from; {} without."""
        said: dict[tuple, list[np.ndarray]] = {}
        known: dict[tuple, tuple[int, bool]] = {}
        whole = [folds for folds in self.repeats if all(map(self._is_done, folds))]
        for fold in chain.from_iterable(whole):
            found = read_logits(fold.folder(self.work_dir))
            if found is None:
                return {}
            clips = read_list(fold.data.val_list)
            learnt = set(read_list(fold.data.train_list).labels)
            for position, logits, label in zip(*found.values(), strict=True):
                key = clips.paths[position], clips.segment(position)
                said.setdefault(key, []).append(logits)
                known[key] = label, label in learnt and known.get(key, (0, True))[1]
        kept = [key for key, each in said.items() if len(each) == len(whole)]
        if not kept:
            return {}
        logits = np.stack([said[key] for key in kept], axis=1)
        labels, learnt = (np.array(each) for each in zip(*map(known.get, kept), strict=True))
        return OutOfFold(logits, labels, learnt).figures(balanced=self.plan.class_balance)

    def _epochs(self, folds: Sequence[Fold], left: TimeLeft) -> int | None:
        """Epochs of each fold of a division, those of a division that was begun; None: no time."""
        begun = [state["epochs"] for state in map(self._state, folds) if state]
        if begun:
            return begun[0]
        whole_sec = sum(map(self._cost, folds)) * left.of_a_run
        share = min(1.0, left.seconds() / whole_sec)
        return math.floor(share * self.plan.epochs) if share >= SHORTEST_SHARE else None

    def _score(self, fold: Fold, epochs: int, left: TimeLeft) -> bool:
        """Run a fold, unless that was done before; gives whether it has a score."""
        done = processes.run_on_rank_zero(lambda: self._is_done(fold))
        if done:
            processes.run_on_rank_zero(lambda: self._mend_row(fold))
        else:
            try:
                done = self._train(fold, epochs, left)
            except (NumbersError, CheckpointError, ResourceError, ListingError) as error:
                say(f"{fold.id} failed: {error}")
        if done and processes.current().is_main:
            remove_weights(fold.folder(self.work_dir))
        return done

    def _state(self, fold: Fold) -> dict[str, Any]:
        """What is known of a fold's run: nothing where it was not begun, or with other clips.

        Nor where it is of a shorter plan, before there was more time: its score is not this one's.
        """
        state = read_state(fold.folder(self.work_dir)) or self._state_of_before(fold)
        is_mine = state.get("clips_of") == _digest(fold.data)
        is_long = state.get("epochs", 0) >= math.floor(SHORTEST_SHARE * self.plan.epochs)
        return state if is_mine and is_long else {}

    def _state_of_before(self, fold: Fold) -> dict[str, Any]:
        """The same of a run of before folds kept their own: of one that is done, by its row."""
        rows = (row for row in try_to_read(self.work_dir) if row.id == fold.id)
        row = next((row for row in rows if row.state == "done" and row.score is not None), None)
        if row is None:
            return {}
        return {"clips_of": _digest(fold.data), **row.config, "score": row.score}

    def _mend_row(self, fold: Fold) -> None:
        """Put the row of a fold that is done, where it was stopped before it said so."""
        before = next((row for row in try_to_read(self.work_dir) if row.id == fold.id), None)
        if before is not None and before.state == "done":
            return
        state = self._state(fold)
        about = {key: value for key, value in state.items() if key not in ("clips_of", "score")}
        cost_sec = 0.0 if before is None else before.cost_sec
        row = self._row(fold.id, about, cost_sec=cost_sec, **_figures(state["score"], about))
        try_to_put(self.work_dir, row)

    def _is_done(self, fold: Fold) -> bool:
        return "score" in self._state(fold)

    def _train(self, fold: Fold, epochs: int, left: TimeLeft) -> bool:
        with ExitStack() as held:
            row = None
            about = {"epochs": epochs, "clips": len(read_list(fold.data.val_list))}
            if processes.current().is_main:
                row = held.enter_context(trial(self.work_dir, self._row(fold.id, about)))
            processes.run_on_rank_zero(lambda: self._forget_others(fold))
            self._keep(fold, about)
            metrics = train(self._config(fold, epochs, left)) or {}
            clips = int(metrics.get("clips", 0))
            if clips:
                about |= {"clips": clips, **_effective(metrics)}
                score = metrics[main_score(metrics)]
                self._keep(fold, {**about, "score": score})
            if row is not None and clips:
                row.note(config=about, **_figures(score, about))
            elif row is not None:
                row.note(state="failed")
            return clips > 0

    def _forget_others(self, fold: Fold) -> None:
        """Remove the checkpoints of a run that was begun otherwise: it is not gone on with."""
        if not self._state(fold):
            remove_weights(fold.folder(self.work_dir))

    def _keep(self, fold: Fold, state: Mapping[str, Any]) -> None:
        """Keep what is known of a fold; where it cannot be written, all processes raise."""
        state = {"clips_of": _digest(fold.data), **state}
        told = processes.run_on_rank_zero(
            lambda: try_to_write_state(fold.folder(self.work_dir), state)
        )
        if told is not None:
            raise ResourceError(told)

    def _config(self, fold: Fold, epochs: int, left: TimeLeft):
        # Evaluated once, at the end: what is scored must not be chosen by what it is scored on.
        plan = replace(self.plan, evaluation=epochs, patience=0, soup=0)
        cost, folder = self._cost(fold), fold.folder(self.work_dir)
        config = config_beside(plan, fold.data, folder, left, epochs=epochs, cost=cost)
        config.custom_hooks.append({"type": "SaveLogits"})
        write_beside(config)
        return config

    def _cost(self, fold: Fold) -> float:
        """An epoch of a fold over one of the run."""
        return fold.data.num_train / self.num_train

    def _whole(self) -> list[list[dict[str, Any]]]:
        """What came of the folds of each division all of which have a score."""
        every = [list(map(self._state, folds)) for folds in self.repeats]
        return [states for states in every if all("score" in state for state in states)]

    def _sum_up(self) -> None:
        """Put the score over all whole divisions into the leaderboard, and say it."""
        summary = self.summary()
        rows = [row for row in try_to_read(self.work_dir) if row.kind == KIND]
        spent_sec = sum(row.cost_sec for row in rows if row.id != SUMMARY_ID)
        try_to_put(self.work_dir, replace(summary, cost_sec=spent_sec))
        about = summary.config
        key = TASKS[self.data.task].main_score(balanced=self.plan.class_balance)
        score, low, high = (
            score_text(one, about["clips"]) for one in (summary.score, summary.low, summary.high)
        )
        say(
            f"Cross-validation of the plan: {score_label(key)} {score} (95% interval {low} to "
            f"{high}, {about['clips']} clips in {about['folds']} folds; divisions: "
            f"{about['repeats']})."
        )

    def _row(self, identity: str, about: dict, **fields) -> Row:
        plan = self.plan
        return Row(identity, KIND, plan.backbone, plan.clip_len, plan.resolution, about, **fields)


def _effective(metrics: Mapping[str, float]) -> dict[str, float]:
    """How many clips count where classes weigh alike; nothing where each clip counts."""
    key = "effective_clips"
    return {key: round(metrics[key], 1)} if key in metrics else {}


def _count(about: Mapping[str, Any]) -> float:
    return about.get("effective_clips", about["clips"])


def _score_of(whole: Sequence[Sequence[Mapping[str, Any]]]) -> float:
    """The mean score of folds by what their clips count."""
    every = [state for states in whole for state in states]
    return sum(state["score"] * _count(state) for state in every) / sum(map(_count, every))


def _digest(data: TrainingData) -> str:
    """Of the clips that a fold learns from and is scored on."""
    lists = (Path(data.train_list).read_bytes(), Path(data.val_list).read_bytes())
    return hashlib.sha256(b"--".join(lists)).hexdigest()


def _figures(share: float, about: Mapping[str, Any]) -> dict[str, float | str]:
    """The fields of a row that say how good a plan is: on the same clips again, no surer."""
    clips = _count(about)
    low, high = wilson_interval(share * clips, clips)
    return {"score": share, "low": low, "high": high, "scored_on": CROSS_VALIDATION}
