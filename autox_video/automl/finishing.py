"""What a run ends with: training against the probe, and the row of the run in the leaderboard."""

import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from autox_video.automl.leaderboard import Row, find_row, trial, try_to_put
from autox_video.core.console import complain, say
from autox_video.core.errors import CheckpointError
from autox_video.distributed import processes
from autox_video.metrics.headline import IN_FOLDS, cross_validated, row_fields
from autox_video.metrics.intervals import score_text
from autox_video.metrics.selection_score import main_score, score_label
from autox_video.run.work_dir import BEST, PROBE
from autox_video.training.checkpoints.checkpoint import (
    own_config,
    read_best,
    read_checkpoint,
    write_best,
)
from autox_video.training.checkpoints.checkpoint_hook import is_better
from autox_video.training.hooks.validation_outcomes import ValidationOutcomes
from autox_video.training.run_training import train

FINETUNE_ID = "finetune"
"""The row of the run's own training."""

HEAD_OF_ALL = "head_of_all"
"""Of probe.pth, beside its weights: the head that was fitted on the validation clips too."""

Figures = dict[str, float]


def train_and_score(
    config: Config, work_dir: Path, groups: np.ndarray | None = None
) -> Figures | None:
    """Train as the config says; gives the figures of the best weights, None without evaluation.

    Args:
        config: of the run.
        work_dir: of the run.
        groups: (N,) labels of validation clips that belong together, as in `dataset.groups`, where
            the choice of the best weights is to be scored; None: it is not.

    Raises:
        Stopped: a signal came; everything is saved.
        CheckpointError: what is in the work dir does not fit the config.
    """
    with ExitStack() as held:
        row = None
        if processes.current().is_main:
            row = held.enter_context(trial(work_dir, _row(config)))
        choice = None if groups is None else ValidationOutcomes(groups)
        best = train(config, () if choice is None else (choice,))
        is_own = best is not None and processes.run_on_rank_zero(lambda: _is_own(work_dir, best))
        if is_own and choice is not None:
            best = {**best, **choice.figures()}
        if is_own and row is not None:
            row.note(**row_fields(best, row.row.config))
    return best


def _is_own(work_dir: Path, best: Figures) -> bool:
    """Whether the best weights are of the run's training, not of a probe or a trial."""
    kept = work_dir / BEST
    return bool(best["epoch"]) and not (kept.exists() and own_config(kept) is not None)


def finish_probe(work_dir: Path, config: Config, *, all_clips: bool) -> Figures:
    """Make probe.pth the best weights of a run that trains no more; gives its figures.

    Where that is done already, the weights that there are stay, and are checked.

    Args:
        work_dir: of the run.
        config: of the run.
        all_clips: whether its head is to be the one fitted on all clips.

    Raises:
        CheckpointError: the weights are damaged.
        ResourceError: they cannot be written.
    """
    if (work_dir / BEST).is_file():
        figures, notes = read_best(work_dir, identity_of(config))
        for note in notes:
            say(note)
        if figures is None:
            raise CheckpointError(f"{work_dir / BEST}: damaged; make it anew with --fresh.")
    else:
        figures = _take_probe(work_dir)
    if all_clips:
        use_all_clips(work_dir)
    (work_dir / PROBE).unlink(missing_ok=True)
    return figures


def _take_probe(work_dir: Path) -> Figures:
    state = read_checkpoint(work_dir / PROBE)
    write_best(work_dir, {key: value for key, value in state.items() if key != HEAD_OF_ALL})
    return state["meta"]["metrics"]


def keep_in_folds(
    work_dir: Path, best: Figures, whole: Row | None, temperature: Figures
) -> Figures:
    """Note what a cross-validation of the plan says of the weights of the run's own training.

    Args:
        work_dir: of the run.
        best: figures of the best weights.
        whole: the leaderboard's row of the cross-validation; None: there was none.
        temperature: figures of the one that its clips call for; {}: that of validation stays.

    Gives the figures with the score and the temperature.

    Raises:
        ResourceError: the weights cannot be written.
    """
    if whole is None or not _is_own(work_dir, best):
        return best
    clips = whole.config["clips"]
    in_folds = cross_validated(whole.score, whole.low, whole.high, clips)
    figures = {**best, **in_folds, **temperature}
    if figures != best:
        state = read_checkpoint(work_dir / BEST)
        write_best(work_dir, {**state, "meta": {**state["meta"], "metrics": figures}})
    row = find_row(work_dir, FINETUNE_ID)
    if row is not None:
        try_to_put(work_dir, replace(row, **row_fields(figures, row.config)))
    return figures


def keep_better(
    work_dir: Path, best: Figures | None, config: Config, in_folds: float | None = None
) -> Figures | None:
    """After training: the probe's weights are the best ones where they are better.

    Args:
        work_dir: of the run, with probe.pth where there was a probe.
        best: figures of the best evaluation in training; None: none was made, nothing changes.
        config: of the run.
        in_folds: what the plan scores in cross-validation, which the probe then is held against;
            None: the validation clips decide.

    Gives the figures of what is best now.
    """
    if best is None or not best["epoch"] or not (work_dir / PROBE).is_file():
        return best
    try:
        meta = read_checkpoint(work_dir / PROBE)["meta"]
    except CheckpointError as error:
        complain(f"{error} It is not compared with what training gave.")
        return best
    key, mine = main_score(best), meta["metrics"].get(IN_FOLDS)
    if meta.get("identity") != identity_of(config) or key not in meta["metrics"]:
        return best
    if in_folds is None or mine is None:
        figures = [_score_and_loss(each) for each in (meta["metrics"], best)]
        on = "on the validation clips"
        wins = is_better(meta["metrics"], best)
    else:
        # Each clip counts several times.
        figures = [f"{each:.3f}" for each in (mine["score"], in_folds)]
        on, wins = "in cross-validation", mine["score"] > in_folds
    if not wins:
        return best
    say(
        f"The probe is better than what training gave ({score_label(key)} {figures[0]} against "
        f"{figures[1]} {on}): its weights are kept as the best."
    )
    return _take_probe(work_dir)


def _score_and_loss(figures: Figures) -> str:
    """Both count: scores may be equal."""
    loss = figures.get("calibrated_loss", figures["loss"])
    score = score_text(figures[main_score(figures)], figures.get("clips", math.inf))
    return f"{score} with a loss of {loss:.4f}"


def use_all_clips(work_dir: Path) -> None:
    """Where the best weights are the probe's, give them the head that was fitted on all clips.

    Its figures stay those of the head without the validation clips. Nothing changes where there is
    none, or it is done already.

    Raises:
        ResourceError: the weights cannot be written.
    """
    try:
        best, probe = (read_checkpoint(work_dir / name) for name in (BEST, PROBE))
    except CheckpointError:
        return
    head, meta = probe.get(HEAD_OF_ALL), best["meta"]
    if head is None or HEAD_OF_ALL in meta or meta["metrics"] != probe["meta"]["metrics"]:
        return
    state = {**best["state_dict"], **{f"cls_head.{name}": head[name] for name in head}}
    write_best(work_dir, {**best, "state_dict": state, "meta": {**meta, HEAD_OF_ALL: True}})
    say("The head of the probe is the one fitted on all clips now; its score is that without them.")


def identity_of(config: Config) -> dict[str, Any]:
    """What weights must have been made for to belong to the run of a config."""
    keeper = next(h for h in config.custom_hooks if h["type"] == "ClipCheckpointHook")
    return dict(keeper["identity"])


def _row(config: Config) -> Row:
    _, frames, size, *_ = config.test_item_shape
    keeper = next(h for h in config.custom_hooks if h["type"] == "ClipCheckpointHook")
    about = {
        "epochs": config.train_cfg.max_epochs,
        "batch": config.train_dataloader.batch_size,
        "lr": config.optim_wrapper.optimizer.lr,
        "weights": keeper.get("pretrained") and Path(keeper["pretrained"]).name,
    }
    return Row(FINETUNE_ID, "finetune", config.experiment_name, frames, size, about)
