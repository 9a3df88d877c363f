"""Finish a run by scoring the trained weights and comparing them with the probe."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.automl.leaderboard import Row, find_row, open_row, put_row, row_of
from autox_video.core.console import complain, say
from autox_video.core.errors import CheckpointError
from autox_video.distributed import processes
from autox_video.metrics.headline import IN_FOLDS, cross_validated, row_fields
from autox_video.metrics.intervals import score_text
from autox_video.metrics.selection_score import main_score, score_label
from autox_video.planning.record import RunRecord
from autox_video.run.work_dir import BEST, PROBE, TRAINED
from autox_video.training.checkpoints.checkpoint import (
    ALL_CLIPS,
    ORIGIN,
    keep_copy,
    read_best,
    read_checkpoint,
    read_meta,
    write_best,
)
from autox_video.training.checkpoints.checkpoint_hook import is_better
from autox_video.training.config.build_config import Deadline, build_config
from autox_video.training.hooks.validation_outcomes import ValidationOutcomes
from autox_video.training.run_training import train

FINETUNE_ID, PROBE_ID = "finetune", "probe"
"""Ids of the leaderboard rows for the main training run and for the model in probe.pth."""

HEAD_OF_ALL = "head_of_all"
"""Key under which probe.pth stores the head that was refit on training and validation clips."""

Figures = dict[str, Any]


def train_and_score(
    record: RunRecord,
    work_dir: Path,
    *,
    deadline: Deadline | None = None,
    groups: np.ndarray | None = None,
) -> Figures | None:
    """Train, and return the metrics of the best weights, or None if nothing was evaluated.

    If `groups` (N,) gives the group of each validation clip, the choice of the best weights is
    cross-validated.
    """
    config = build_config(record, work_dir, deadline=deadline)
    outcomes = [] if groups is None else [ValidationOutcomes(groups)]
    with open_row(work_dir, _row(record)) as row:
        best = train(config, outcomes)
        if best and processes.run_on_rank_zero(lambda: _is_of_training(work_dir, best)):
            for hook in outcomes:
                best = {**best, **hook.figures()}
            row.note(**row_fields(best, row.row.config))
    return best


def origin_of(weights: Path) -> str:
    """Return the id of the leaderboard row for the given weights; may raise CheckpointError."""
    return read_meta(weights).get(ORIGIN, FINETUNE_ID)


def finish_probe(work_dir: Path, identity: dict[str, Any]) -> Figures:
    """In `mode: probe`, save the probe as the run's best weights and return its metrics.

    If the run already has best weights, they are checked and kept.
    """
    if not (work_dir / BEST).is_file():
        return _take_probe(work_dir)
    figures, notes = read_best(work_dir, identity)
    for note in notes:
        say(note)
    if figures is None:
        raise CheckpointError(f"{work_dir / BEST} is damaged. Run again with --fresh.")
    return figures


def keep_in_folds(
    work_dir: Path, best: Figures, whole: Row | None, temperature: Figures
) -> Figures:
    """Store the plan's cross-validated score with the best weights if they come from the main run.

    Returns:
        The metrics of the best weights, including any stored score and temperature.
    """
    if whole is None or not _is_of_training(work_dir, best):
        return best
    in_folds = cross_validated(whole.score, whole.low, whole.high, whole.config["clips"])
    figures = {**best, **in_folds, **temperature}
    if figures != best:
        state = read_checkpoint(work_dir / BEST)
        write_best(work_dir, {**state, "meta": {**state["meta"], "metrics": figures}})
    if row := find_row(work_dir, FINETUNE_ID):
        put_row(work_dir, replace(row, **row_fields(figures, row.config)))
    return figures


def keep_better(
    work_dir: Path,
    best: Figures | None,
    identity: dict[str, Any],
    in_folds: float | None = None,
) -> Figures | None:
    """Replace the best weights with the probe if the probe is better; return the metrics.

    The probe is compared with the plan's cross-validated score if there is one, otherwise with the
    score on the validation clips.
    """
    if best is None or not best["epoch"] or not (work_dir / PROBE).is_file():
        return best
    try:
        meta = read_checkpoint(work_dir / PROBE)["meta"]
    except CheckpointError as error:
        complain(f"{error} The probe is not compared with the trained weights.")
        return best
    key, probe = main_score(best), meta["metrics"]
    if meta.get("identity") != identity or key not in probe:
        return best
    if in_folds is None or IN_FOLDS not in probe:
        wins, on = is_better(probe, best), "on the validation clips"
        shown = [_score_and_loss(figures) for figures in (probe, best)]
    else:
        scores = (probe[IN_FOLDS]["score"], in_folds)
        wins, on = scores[0] > scores[1], "in cross-validation"
        shown = [f"{score:.3f}" for score in scores]  # each clip is scored several times
    if not wins:
        return best
    say(
        f"The probe beats training ({score_label(key)} {shown[0]} vs. {shown[1]} {on}): its "
        "weights are kept as the best."
    )
    return _take_probe(work_dir)


def use_all_clips(work_dir: Path) -> None:
    """If the probe was kept, replace its head with the head that was refit on all clips.

    The metrics still come from the head that was fitted without the validation clips. Nothing
    changes if there is no refit head, or if the refit head has already been stored. Raises
    ResourceError if writing fails.
    """
    try:
        best, probe = (read_checkpoint(work_dir / name) for name in (BEST, PROBE))
    except CheckpointError:
        return
    head, meta = probe.get(HEAD_OF_ALL), best["meta"]
    if head is None or ALL_CLIPS in meta or meta["metrics"] != probe["meta"]["metrics"]:
        return
    state = {**best["state_dict"], **{f"cls_head.{name}": head[name] for name in head}}
    write_best(work_dir, {**best, "state_dict": state, "meta": {**meta, ALL_CLIPS: True}})
    say(
        "The head of the probe has been refit on train + validation; its score is from before the "
        "refit."
    )


def _row(record: RunRecord) -> Row:
    plan = record.plan
    about = {
        "epochs": plan.epochs,
        "batch": plan.batch_size,
        "lr": plan.lr,
        "weights": plan.pretrained and Path(plan.pretrained).name,
    }
    return row_of(FINETUNE_ID, "finetune", plan, about)


def _is_of_training(work_dir: Path, best: Figures) -> bool:
    """Return whether the best weights come from the main run, not from a probe or a trial."""
    weights = work_dir / BEST
    return bool(best["epoch"]) and not (weights.exists() and origin_of(weights) != FINETUNE_ID)


def _take_probe(work_dir: Path) -> Figures:
    state = read_checkpoint(work_dir / PROBE)
    if (work_dir / BEST).is_file():
        keep_copy(work_dir / BEST, work_dir / TRAINED)  # an ensemble may include these weights
    write_best(work_dir, {key: state[key] for key in ("schema", "state_dict", "meta")})
    return state["meta"]["metrics"]


def _score_and_loss(figures: Figures) -> str:
    """Return the score and the loss as text; the loss breaks ties between equal scores."""
    loss = figures.get("calibrated_loss", figures["loss"])
    score = score_text(figures[main_score(figures)], figures.get("clips", math.inf))
    return f"{score} with a loss of {loss:.4f}"
