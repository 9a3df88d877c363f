"""The main job: settings → a trained model in the work dir."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from autox_video.automl.prepare import check_work_dir, groups_of
from autox_video.automl.settle_plan import Planned, plan_run, show_plan
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import say
from autox_video.data.inspection.coverage import notes_on_long_clips
from autox_video.distributed import processes
from autox_video.distributed.launch import use_device
from autox_video.jobs.test import check_results_path, is_tested, transform
from autox_video.machine.allocator import keep_freed_memory
from autox_video.metrics.headline import IN_FOLDS, said
from autox_video.metrics.intervals import FEW_VALIDATION_CLIPS
from autox_video.metrics.peak import BEYOND_PEAK
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Prediction
from autox_video.planning.record import is_probe_run, write_plan
from autox_video.run.clock import BudgetClock, command_clock, counting, running_clock
from autox_video.run.lock import locked
from autox_video.run.work_dir import (
    BEST,
    CONFIG,
    FOR_PLAN,
    LATEST,
    PLAN,
    check_disk,
    has_checkpoint,
    make_ready,
)
from autox_video.tasks.task import TASKS

if TYPE_CHECKING:
    from mmengine.config import Config

    from autox_video.automl.search.crossvalidation import Fold
    from autox_video.automl.search.side_run import TimeLeft
    from autox_video.training.config.build_config import TrainingData

OVER_SHARE, OVER_SEC = 0.05, 30.0
"""A budget may be passed by that share of it or those seconds, whichever is more."""


def fit(settings: Settings, *, fresh: bool = False) -> dict[str, float] | None:
    """Train, or go on with the run in the work dir; give the best validation metrics, if any.

    With a time budget, the best weights are tested too, where there are clips for it.

    Args:
        settings: what the user asked for.
        fresh: whether a run that the work dir holds is moved aside, to train anew.

    Raises:
        AutoXVideoError: something that the user can mend.
        Stopped: a signal came; everything is saved.
    """
    me = processes.join()
    work_dir = Path(settings.work_dir).absolute()
    with ExitStack() as held:
        job = processes.run_on_rank_zero(lambda: _begin(settings, work_dir, held, fresh=fresh))
        # This brings torch and mmaction2, which take seconds: after all that can be wrong before.
        from autox_video.automl.finishing import finish_probe, keep_better, train_and_score
        from autox_video.training.config.config_check import check_config
        from autox_video.training.config.stored_config import config_from_text

        config = config_from_text(job.config, str(work_dir / CONFIG))
        check_config(config)
        config.device = use_device(me, config.device)
        if config.device == "cpu":
            keep_freed_memory()
        if job.plan.mode == "probe":
            best = processes.run_on_rank_zero(
                lambda: finish_probe(work_dir, config, all_clips=job.refits)
            )
        else:
            best = train_and_score(config, work_dir, job.val_groups)
            if best is not None and job.searches:
                best = _use_what_is_left(settings, job, work_dir, best, config)
            else:
                in_folds = (best or {}).get(IN_FOLDS, {}).get("score")
                best = processes.run_on_rank_zero(
                    lambda: keep_better(work_dir, best, config, in_folds)
                )
        _say_what_came_out(best, work_dir)
        if job.testing_sec is not None:
            _test_in_time(settings, work_dir, job.testing_sec)
        return best


def show(settings: Settings, *, fresh: bool = False) -> Plan:
    """Make the plan of the run that `fit` would do, show it, and write it to plan.json.

    Nothing else stays. Where the work dir holds a run, its files are not touched.

    Args:
        settings: what the user asked for.
        fresh: whether the plan is that of a new run, though the work dir holds one.

    Raises:
        AutoXVideoError: something that the user can mend.
    """
    processes.join()
    return processes.run_on_rank_zero(lambda: _show(settings, fresh=fresh))


def _show(settings: Settings, *, fresh: bool) -> Plan:
    work_dir = Path(settings.work_dir).absolute()
    check_work_dir(work_dir)
    there = _holds_run(work_dir)
    with ExitStack() as held:
        held.enter_context(locked(work_dir))
        place = work_dir
        if fresh or not there:
            # What a run writes before its first step would count for the next one.
            place = Path(held.enter_context(TemporaryDirectory(prefix=FOR_PLAN, dir=work_dir)))
        elsewhere = settings.model_copy(update={"work_dir": str(place)})
        budget_sec = None if settings.time_budget == AUTO else settings.time_budget
        clock = command_clock(work_dir if place == work_dir else place, budget_sec)
        planned = plan_run(elsewhere, place, clock, resuming=place == work_dir)
        show_plan(planned.plan, None if planned.prepared.stored_plan else planned.prediction)
        _say_what_is_seen(planned)
        if there:
            say(f"{work_dir} holds a run: its plan.json stays as it is.")
            return planned.plan
        prepared, figures = planned.prepared, planned.prediction and planned.prediction.to_json()
        write_plan(work_dir, planned.plan, prepared.fingerprint, prepared.data, figures)
        say(f"The plan is in {work_dir / PLAN}; without --plan, training begins.")
        return planned.plan


@dataclass(frozen=True, slots=True)
class _Job:
    """What all processes are to do."""

    config: str
    """Of the run, as text."""
    testing_sec: float | None
    """Predicted for the test of the best weights; None: none is made."""
    plan: Plan
    data: "TrainingData"
    prediction: Prediction | None
    """How long the run takes, where that could be found out."""
    searches: bool
    """Whether other plans are tried in what the time budget leaves."""
    folds: Sequence["Fold"]
    """With few clips, what takes their place: the parts of a cross-validation."""
    num_val: int
    refits: bool
    """Whether the best plan then learns from the validation clips too."""
    val_groups: np.ndarray | None = None
    """(N,) labels of the validation clips that belong together, where the choice is scored."""


def _use_what_is_left(
    settings: Settings, job: _Job, work_dir: Path, best: dict[str, float], config: "Config"
) -> dict[str, float]:
    """Spend the time that is left on better and surer weights; gives the metrics of the best."""
    from autox_video.automl.finishing import keep_better, keep_in_folds, use_all_clips
    from autox_video.automl.search.crossvalidation import CrossValidation
    from autox_video.automl.search.refit import Refit
    from autox_video.automl.search.search import Search
    from autox_video.automl.search.side_run import of_epochs

    left = _time_left(job, work_dir)
    peak = processes.run_on_rank_zero(lambda: _peak(work_dir))
    epochs = job.plan.epochs
    if peak is not None:
        # Folds score what the last training does; other plans may learn longer.
        epochs = min(epochs, peak if job.folds else BEYOND_PEAK * peak)
    plan = of_epochs(job.plan, epochs)
    refit = Refit(job.plan, job.data, job.num_val, work_dir) if job.refits else None
    beside = replace(left, share=epochs / job.plan.epochs)
    kept_sec = processes.run_on_rank_zero(lambda: refit.reserved(beside)) if refit else 0.0
    before = replace(beside, seconds=lambda: left.seconds() - kept_sec)
    if job.folds:
        folds = CrossValidation(plan, job.data.num_train, job.folds, work_dir)
        folds.run(before)
        in_folds = processes.run_on_rank_zero(lambda: (folds.summary(), folds.temperature()))
        best = processes.run_on_rank_zero(lambda: keep_in_folds(work_dir, best, *in_folds))
        best = processes.run_on_rank_zero(
            lambda: keep_better(work_dir, best, config, folds.score())
        )
    else:
        best = processes.run_on_rank_zero(lambda: keep_better(work_dir, best, config))
        storage = None if settings.storage == AUTO else settings.storage
        first = best
        best = Search(plan, job.data, work_dir, best=best, storage=storage).run(before)
        if best is not first and job.num_val < FEW_VALIDATION_CLIPS:
            say(
                f"Only {job.num_val} clips chose among all that was trained: the score of the best "
                "promises more than it would have on other clips."
            )
    if refit is not None and not best["epoch"]:
        processes.run_on_rank_zero(lambda: use_all_clips(work_dir))
    elif refit is not None:
        refit.run(left, best)
    return best


def _peak(work_dir: Path) -> int | None:
    """The epoch after which the training of the run did harm; the user is told."""
    from autox_video.automl.search.side_run import peak_of

    peak = peak_of(work_dir)
    if peak is not None:
        say(f"Validation fell clearly after epoch {peak}: what follows trains for fewer epochs.")
    return peak


def _time_left(job: _Job, work_dir: Path) -> "TimeLeft":
    from autox_video.automl.search.side_run import TimeLeft
    from autox_video.training.deadline import time_to_keep

    budget_sec = job.plan.time_budget_sec
    clock, kept_sec = running_clock(work_dir, budget_sec), time_to_keep(budget_sec, job.prediction)
    return TimeLeft(lambda: clock.left_sec - kept_sec, budget_sec, job.prediction)


def _begin(settings: Settings, work_dir: Path, held: ExitStack, *, fresh: bool) -> _Job:
    """Take the work dir for this run, until `held` is closed."""
    check_work_dir(work_dir)
    held.enter_context(locked(work_dir))
    goes_on = settings.only_probes and is_probe_run(work_dir)
    make_ready(work_dir, fresh=fresh, goes_on=goes_on)
    budget_sec = None if settings.time_budget == AUTO else settings.time_budget
    clock = held.enter_context(counting(work_dir, budget_sec))
    return _plan_and_write(settings, work_dir, clock)


def _plan_and_write(settings: Settings, work_dir: Path, clock: BudgetClock) -> _Job:
    """Look at the data, make every choice, write the files of the work dir."""
    planned = plan_run(settings, work_dir, clock, resuming=_holds_run(work_dir))
    from autox_video.automl.search.refit import is_of_use
    from autox_video.training.config.build_config import build_config, write_config
    from autox_video.training.config.stored_config import config_text
    from autox_video.training.deadline import keep_time

    plan, prepared, prediction = planned.plan, planned.prepared, planned.prediction
    show_plan(plan, None if prepared.stored_plan else prediction)
    _say_what_is_seen(planned)
    check_disk(work_dir, plan.disk_gib)
    if planned.test_clips:
        check_results_path(settings.results_file)
    figures = prediction and prediction.to_json()
    write_plan(work_dir, plan, prepared.fingerprint, prepared.data, figures)
    config = build_config(plan, planned.data, str(work_dir))
    if plan.mode != "probe" and plan.time_budget_sec is not None and prediction is not None:
        most = planned.most_epochs
        keep_time(config, plan.time_budget_sec, prediction, most_epochs=most)
    write_config(config, work_dir / CONFIG)
    compares = plan.mode != "probe" and settings.search == AUTO
    searches = compares and plan.time_budget_sec is not None and prediction is not None
    folds = _folds(settings, planned, work_dir) if searches else []
    _check_storage(settings, planned, searches=searches and not folds and plan.evaluation > 0)
    num_val = len(prepared.listing.val)
    refits = (searches or plan.mode == "probe") and is_of_use(settings, plan, num_val)
    if searches and plan.evaluation:
        say(_plans_for_the_rest(folds=bool(folds), refits=refits, num_val=num_val))
    testing_sec = prediction.testing_sec if planned.test_clips else None
    text = config_text(config)
    groups = None
    if (
        plan.evaluation
        and num_val < FEW_VALIDATION_CLIPS
        and TASKS[prepared.basis.stats.task].counts_right_clips
    ):
        groups = groups_of(prepared, prepared.listing.val)
    return _Job(
        *(text, testing_sec, plan, planned.data, prediction, searches, folds, num_val, refits),
        val_groups=groups,
    )


def _check_storage(settings: Settings, planned: Planned, *, searches: bool) -> None:
    """Find out before training whether the search can use its storage; say where there is none."""
    if settings.storage == AUTO:
        return
    if not searches:
        say("storage: not used, as this run does not search (see time_budget and search).")
        return
    from autox_video.automl.search.study import check_storage

    check_storage(settings.storage, planned.plan, planned.data)


def _say_what_is_seen(planned: Planned) -> None:
    """Say of which long clips a part is looked at only."""
    plan, splits = planned.plan, planned.prepared.inspected.splits
    span_sec = plan.clip_len * plan.frame_interval_sec
    probes = plan.mode == "probe"
    for note in notes_on_long_clips(splits, span_sec, num_clips=plan.test_clips, probes=probes):
        say(note)


def _folds(settings: Settings, planned: Planned, work_dir: Path) -> list["Fold"]:
    """The parts of a cross-validation, where there are too few clips to compare plans with."""
    from autox_video.automl.search.crossvalidation import are_few, make_folds

    prepared, clips = planned.prepared, len(planned.prepared.listing.val)
    if not are_few(settings, planned.plan, clips):
        return []
    return make_folds(prepared, planned.data, work_dir)


def _plans_for_the_rest(*, folds: bool, refits: bool, num_val: int) -> str:
    """What the time goes to that the training of the run leaves."""
    what = "What time_budget leaves goes to trials of other choices"
    if folds:
        what = (
            f"{num_val} clips are set aside for validation, too few to tell other choices apart: "
            "what time_budget leaves goes to a cross-validation"
        )
    last = ", and to a last training on all clips, these too" if refits else ""
    return f"{what}{last} (search: off ends before)."


def _holds_run(work_dir: Path) -> bool:
    return has_checkpoint(work_dir) or is_probe_run(work_dir)


def _test_in_time(settings: Settings, work_dir: Path, testing_sec: float) -> None:
    """Test the best weights, unless that was done before or would go far beyond the budget."""
    clock = running_clock(work_dir, settings.time_budget)
    if processes.run_on_rank_zero(lambda: _may_test(settings, clock, testing_sec)):
        transform(settings)


def _may_test(settings: Settings, clock: BudgetClock, testing_sec: float) -> bool:
    if is_tested(settings):
        say(f"The best weights were tested before: {settings.results_file}.")
        return False
    over_sec = max(OVER_SHARE * clock.budget_sec, OVER_SEC) / 2
    if testing_sec > clock.left_sec + over_sec:
        say("No time of time_budget is left for the test; autotest.py makes it.")
        return False
    return True


def _say_what_came_out(best: dict[str, float] | None, work_dir: Path) -> None:
    if best is None:
        say(f"Training is done; there was no evaluation. The weights are {work_dir / LATEST}.")
        return
    when = f"after epoch {best['epoch']}" if best["epoch"] else "of the probe"
    say(
        f"Training is done: best {said(best)} {when}. The weights are {work_dir / BEST}; "
        "autotest.py tests them."
    )
