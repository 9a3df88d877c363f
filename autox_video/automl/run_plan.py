"""Train the planned model, use the remaining time for side runs, and keep the best weights."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.automl.ensembles.ensembling import (
    Chosen,
    assemble,
    choose_ensemble,
    is_settled,
    member_files,
    outputs_of_file,
    read_choice,
    write_choice,
)
from autox_video.automl.ensembles.unseen_outputs import Unseen
from autox_video.automl.finishing import (
    finish_probe,
    keep_better,
    keep_in_folds,
    train_and_score,
    use_all_clips,
)
from autox_video.automl.prepare import Prepared, groups_of
from autox_video.automl.search.crossvalidation import (
    CrossValidation,
    Fold,
    has_few_validation_clips,
    make_folds,
)
from autox_video.automl.search.refit import Refit, can_refit
from autox_video.automl.search.search import Search
from autox_video.automl.search.side_run import TimeLeft, peak_of, with_epochs
from autox_video.automl.search.study import check_storage
from autox_video.automl.settle_plan import Planned
from autox_video.config.settings import AUTO
from autox_video.core.console import complain, say, say_detail
from autox_video.data.listing.listing import Listing
from autox_video.data.listing.written_list import read_list
from autox_video.distributed import processes
from autox_video.metrics.headline import IN_FOLDS
from autox_video.metrics.intervals import FEW_VALIDATION_CLIPS
from autox_video.metrics.peak import BEYOND_PEAK
from autox_video.planning.plan import Plan
from autox_video.planning.record import RunRecord, write_record
from autox_video.run.clock import running_clock
from autox_video.run.work_dir import CONFIG, PROBES, TRAINED
from autox_video.tasks.task import TASKS
from autox_video.training.config.build_config import Deadline, build_config, write_config
from autox_video.training.deadline import TEST_MARGIN, time_to_keep

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """The work of a run, shared by all of its processes."""

    work_dir: Path
    record: RunRecord
    deadline: Deadline | None
    testing_sec: float | None
    """Predicted time for testing the best weights, in seconds; None if there is no test."""
    searches: bool
    """Whether the time left after training is used for side runs."""
    storage: str | None
    """URL of the search's database; None for a file in the work dir."""
    folds: Sequence[Fold]
    """Folds for the cross-validation, which replaces the search if there are few clips."""
    refits: bool
    """Whether the run ends with a refit on training and validation clips."""
    groups: np.ndarray | None
    """Group of each training and validation clip, for choosing an ensemble; None if none is
    made."""
    num_val: int
    val_groups: np.ndarray | None
    """Group of each validation clip (N,); None if the choice of weights is not cross-validated."""
    listed: Listing
    """The clips as the user listed them, inspected."""


def begin(planned: Planned, work_dir: Path) -> Job:
    """Write record.json and config.py to the work dir, and return the job."""
    plan, prepared, prediction = planned.plan, planned.prepared, planned.prediction
    asked, num_val = prepared.basis.settings, len(prepared.listing.val)
    trains, record = plan.mode != "probe", record_of(planned)
    deadline = None
    if trains and plan.time_budget_sec is not None and prediction is not None:
        deadline = Deadline(plan.time_budget_sec, prediction, planned.most_epochs)
    write_record(work_dir, record)
    write_config(build_config(record, work_dir, deadline=deadline), work_dir / CONFIG)
    searches, folds = deadline is not None and asked.search == AUTO, []
    if searches and has_few_validation_clips(prepared, plan):
        folds = make_folds(prepared, prepared.data, work_dir)
    storage = None if asked.storage == AUTO else asked.storage
    if storage and not (searches and not folds and plan.evaluation > 0):
        complain("storage: not used, as this run does not search (see time_budget and search).")
    elif storage:
        check_storage(storage, plan, prepared.data)
    task = TASKS[record.data.task]
    # The temporal head is chosen on validation recordings, which the model must not have seen.
    refits = (searches or not trains) and not task.finds_segments and can_refit(prepared, plan)
    if searches and plan.evaluation:
        say_detail(_use_of_time_left(num_val, folds=bool(folds), refits=refits))
    counts, combines = task.counts_right_clips, not task.finds_segments
    scores_choice = plan.evaluation and num_val < FEW_VALIDATION_CLIPS and counts
    return Job(
        work_dir,
        record,
        deadline,
        testing_sec=prediction.testing_sec if planned.test_clips else None,
        searches=searches,
        storage=storage,
        folds=folds,
        refits=refits,
        groups=_groups(prepared) if combines and asked.ensemble == AUTO and num_val else None,
        num_val=num_val,
        val_groups=groups_of(prepared, prepared.listing.val) if scores_choice else None,
        listed=prepared.listed,
    )


def _groups(prepared: Prepared) -> np.ndarray:
    return groups_of(prepared, prepared.listing.train.with_those_of(prepared.listing.val))


def record_of(planned: Planned) -> RunRecord:
    """Return the record of a run that is about to start or resume."""
    prepared = planned.prepared
    return RunRecord(planned.plan, prepared.data, planned.prediction, prepared.lists)


def run(job: Job) -> Figures | None:
    """Run a job; return the metrics of the best weights, or None if nothing was evaluated."""
    best = _run(job)
    if best is not None and TASKS[job.record.data.task].finds_segments:
        processes.run_on_rank_zero(lambda: _find_segments(job))
    return best


def _find_segments(job: Job) -> None:
    """Complete the best weights so that they find segments in recordings."""
    from autox_video.automl.temporal_stage import fit_segments

    def left_sec() -> float:
        if job.deadline is None:
            return math.inf
        clock = running_clock(job.work_dir, job.deadline.budget_sec)
        return clock.left_sec - TEST_MARGIN * (job.testing_sec or 0.0)

    fit_segments(job.record, job.listed, job.work_dir, left_sec)


def _run(job: Job) -> Figures | None:
    work_dir, identity = job.work_dir, job.record.identity
    if job.record.plan.mode == "probe":
        return processes.run_on_rank_zero(lambda: _finish_probe(job))
    best = train_and_score(job.record, work_dir, deadline=job.deadline, groups=job.val_groups)
    if best is not None and job.searches:
        return _use_what_is_left(job, best)
    in_folds = (best or {}).get(IN_FOLDS, {}).get("score")
    best = processes.run_on_rank_zero(lambda: keep_better(work_dir, best, identity, in_folds))
    return _with_ensemble(job, best, None, None) if best is not None else None


def _finish_probe(job: Job) -> Figures:
    best = finish_probe(job.work_dir, job.record.identity)
    chosen = _choose(job, {})
    if chosen is not None:
        best = assemble(job.record, job.work_dir, chosen, all_clips=job.refits)
    elif job.refits:
        use_all_clips(job.work_dir)
    for file in PROBES:
        (job.work_dir / file).unlink(missing_ok=True)
    return best


def _choose(job: Job, trained: Mapping[str, Unseen | None]) -> Chosen | None:
    """Choose an ensemble of the probes and of any trained weights whose outputs are given."""
    if job.groups is None:
        return None
    return choose_ensemble(job.record, job.work_dir, trained, job.groups)


def _use_what_is_left(job: Job, best: Figures) -> Figures:
    """Use the remaining time for side runs; return the metrics of the best weights."""
    work_dir, plan = job.work_dir, job.record.plan
    left, epochs = _time_left(job), plan.epochs
    if peak := processes.run_on_rank_zero(lambda: peak_of(work_dir)):
        say(f"Validation scores fell clearly after epoch {peak}: side runs train for fewer epochs.")
        # Folds train for as many epochs as the refit; other plans may need more.
        epochs = min(epochs, peak if job.folds else BEYOND_PEAK * peak)
    refit = Refit(plan, job.record.data, job.num_val, work_dir) if job.refits else None
    side = replace(left, share=epochs / plan.epochs)
    refit_sec = processes.run_on_rank_zero(lambda: refit.reserved(side)) if refit else 0.0
    before = replace(side, seconds=lambda: left.seconds() - refit_sec)
    plan, folds = with_epochs(plan, epochs), None
    if job.folds:
        folds = CrossValidation(plan, job.record.data.num_train, job.folds, work_dir)
        best = _cross_validate(job, folds, best, before)
    else:
        best = _search(job, plan, best, before)
    return _with_ensemble(job, best, folds, lambda: _refit(job, refit, best, left))


def _refit(job: Job, refit: Refit | None, best: Figures, left: TimeLeft) -> None:
    """Retrain the best model on all clips, including validation clips, if the run does a refit."""
    if refit and best["epoch"]:
        refit.run(left, best)
    elif refit:
        processes.run_on_rank_zero(lambda: use_all_clips(job.work_dir))


def _with_ensemble(
    job: Job,
    best: Figures,
    folds: CrossValidation | None,
    refit: Callable[[], None] | None,
) -> Figures:
    """Choose an ensemble, refit the best weights, and assemble the ensemble.

    The members are chosen before the refit, because no clips are unseen after the refit.

    Args:
        job: the job.
        best: the metrics of the best weights.
        folds: the cross-validation of the plan, if any.
        refit: function that refits the best weights; None for no refit.
    """
    work_dir = job.work_dir
    chosen = _chosen_before_refit(job, folds)
    if refit is not None:
        refit()
    if chosen is not None:
        best = processes.run_on_rank_zero(
            lambda: assemble(job.record, work_dir, chosen, all_clips=job.refits)
        )
    if job.groups is not None:
        processes.run_on_rank_zero(lambda: (work_dir / TRAINED).unlink(missing_ok=True))
    return best


def _chosen_before_refit(job: Job, folds: CrossValidation | None) -> Chosen | None:
    """Choose an ensemble; after a refit, return the choice made before the run was interrupted."""
    work_dir = job.work_dir
    if job.groups is None:
        return None
    if processes.run_on_rank_zero(lambda: is_settled(work_dir)):
        return processes.run_on_rank_zero(lambda: read_choice(work_dir))
    files, chosen = processes.run_on_rank_zero(lambda: _members_in_time(job)), None
    if len(files) > 1:
        trained = _trained_outputs(job, files[0], folds)
        chosen = processes.run_on_rank_zero(lambda: _choose(job, trained))
    processes.run_on_rank_zero(lambda: write_choice(work_dir, chosen))
    return chosen


def _members_in_time(job: Job) -> list[str]:
    """Return the files of candidate members; [] if there is no time to compare the models."""
    if job.deadline is not None:
        needed_sec = job.deadline.prediction.evaluation_sec
        if _time_left(job).seconds() < needed_sec:
            say_detail("No time is left to compare ensembles.")
            return []
    return member_files(job.work_dir, job.record.identity)


def _trained_outputs(
    job: Job, file: str, folds: CrossValidation | None
) -> dict[str, Unseen | None]:
    """Return a trained model's outputs for clips it was not trained on, given its weight file."""
    if file in PROBES:
        return {}
    data = job.record.data
    trained: dict[str, Unseen | None] = {"val": outputs_of_file(job.record, job.work_dir / file)}
    if folds is not None:
        clips = read_list(data.train_list)
        trained["train"] = processes.run_on_rank_zero(lambda: folds.unseen(clips))
    return trained


def _time_left(job: Job) -> TimeLeft:
    budget_sec, prediction = job.deadline.budget_sec, job.deadline.prediction
    clock, later_sec = running_clock(job.work_dir, budget_sec), time_to_keep(budget_sec, prediction)
    return TimeLeft(lambda: clock.left_sec - later_sec, budget_sec, prediction)


def _cross_validate(job: Job, folds: CrossValidation, best: Figures, left: TimeLeft) -> Figures:
    folds.run(left)

    def keep() -> Figures:
        figures = keep_in_folds(job.work_dir, best, folds.summary(), folds.temperature())
        return keep_better(job.work_dir, figures, job.record.identity, folds.score())

    return processes.run_on_rank_zero(keep)


def _search(job: Job, plan: Plan, best: Figures, left: TimeLeft) -> Figures:
    first = processes.run_on_rank_zero(lambda: keep_better(job.work_dir, best, job.record.identity))
    data = job.record.data
    search = Search(plan, data, job.work_dir, best=first, storage=job.storage)
    best_of_all = search.run(left)
    if best_of_all != first and job.num_val < FEW_VALIDATION_CLIPS:
        say(
            f"The best trial was chosen on only {job.num_val} validation clips, so its score is "
            "optimistic: expect a lower score on other clips."
        )
    return best_of_all


def _use_of_time_left(num_val: int, *, folds: bool, refits: bool) -> str:
    """Return a sentence on how the time left after training is used."""
    use = "The rest of time_budget is spent on a search over other choices"
    if folds:
        use = (
            f"{num_val} validation clips are too few to compare other choices, so the rest of "
            "time_budget is spent on a cross-validation"
        )
    last = ", and on a refit on train + validation" if refits else ""
    return f"{use}{last} (search: off turns this off)."
