"""The job that trains a model in the work dir."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autox_video.automl.plan_summary import show_plan, show_summary
from autox_video.automl.prepare import check_work_dir
from autox_video.automl.settle_plan import Planned, plan_run
from autox_video.automl.starting_weights import refuse_moving_weights
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import complain, say, short_path, showing, warn_of
from autox_video.core.errors import CheckpointError
from autox_video.core.run_log import log_file
from autox_video.data.inspection.coverage import notes_on_long_clips
from autox_video.distributed import processes
from autox_video.distributed.launch import use_device
from autox_video.jobs.next_steps import say_next_steps
from autox_video.jobs.test import check_results_path, is_tested, prepare_test, run_test
from autox_video.machine.allocator import keep_freed_memory
from autox_video.metrics.headline import MODELS, said
from autox_video.planning.plan import Plan
from autox_video.planning.record import (
    is_probe_run,
    load_stored,
    mark_finished,
    write_record,
    write_stored,
)
from autox_video.run.clock import BudgetClock, command_clock, counting, running_clock
from autox_video.run.lock import locked
from autox_video.run.work_dir import (
    BEST,
    FOR_PLAN,
    LATEST,
    LOG,
    PREVIOUS,
    RECORD,
    check_disk,
    has_checkpoint,
    make_ready,
)
from autox_video.tasks.task import TASKS

OVER_SHARE, OVER_SEC = 0.05, 30.0
"""Tolerance for exceeding a time budget: a share of it or a fixed time, whichever is more."""


def fit(settings: Settings, *, fresh: bool = False) -> dict[str, Any] | None:
    """Start or resume the run in the work dir; return the best validation metrics, if any.

    With a time budget, the best weights are also tested on the test clips, if any.

    Args:
        settings: the user's settings.
        fresh: whether to move an existing run in the work dir aside and start a new run.

    Raises:
        AutoXVideoError: there is a problem that the user can fix.
        Stopped: a signal stopped the run, and its state was saved.
    """
    me = processes.join()
    work_dir = Path(settings.work_dir).absolute()
    budget_sec = None if settings.time_budget == AUTO else settings.time_budget
    with ExitStack() as held:
        held.enter_context(showing(settings.verbose))

        def prepare() -> Any:
            check_work_dir(work_dir)
            held.enter_context(locked(work_dir))
            if fresh:
                refuse_moving_weights(settings.load_from, work_dir)
            resumes = settings.only_probes and is_probe_run(work_dir)
            make_ready(work_dir, fresh=fresh, resumes=resumes)
            held.enter_context(log_file(work_dir / LOG))
            _mend_record(work_dir)
            clock = held.enter_context(counting(work_dir, budget_sec))
            planned = plan_run(settings, work_dir, clock, resuming=_holds_run(work_dir))
            _warn_of_long_clips(planned)
            show_plan(planned.plan, planned.prediction, detail=True)
            prediction = None if planned.prepared.stored else planned.prediction
            show_summary(planned.prepared, planned.plan, prediction, work_dir)
            check_disk(work_dir, planned.plan.disk_gib)
            if planned.test_clips:
                check_results_path(settings.results_file)
            from autox_video.automl.run_plan import begin

            return begin(planned, work_dir)

        job = processes.run_on_rank_zero(prepare)
        # Importing torch and mmaction2 takes seconds, so everything that can fail early comes
        # first.
        from autox_video.automl.run_plan import run

        if use_device(me, job.record.plan.device) == "cpu":
            keep_freed_memory()
        best = run(job)
        _say_result(best, work_dir)
        tested = job.testing_sec is not None and _test_in_time(
            settings, running_clock(work_dir, budget_sec), job.testing_sec
        )
        processes.run_on_rank_zero(lambda: mark_finished(work_dir))
        if not tested:
            say_next_steps("test")
        return best


def _test_in_time(settings: Settings, clock: BudgetClock, testing_sec: float) -> bool:
    """Test the best weights if they are untested and time is left; return whether a test ran."""
    test = processes.run_on_rank_zero(lambda: prepare_test(settings))
    if processes.run_on_rank_zero(lambda: is_tested(test) or not _is_in_time(clock, testing_sec)):
        return False
    run_test(test)
    return True


def show(settings: Settings, *, fresh: bool = False) -> Plan:
    """Plan the run that `fit` would start, show the plan, and write it to record.json.

    No other files are kept. If the work dir already contains a run, its files are not changed.

    Args:
        settings: the user's settings.
        fresh: whether to plan a new run even if the work dir contains a run.

    Raises:
        AutoXVideoError: there is a problem that the user can fix.
    """
    processes.join()
    work_dir = Path(settings.work_dir).absolute()
    budget_sec = None if settings.time_budget == AUTO else settings.time_budget

    def plan() -> Plan:
        check_work_dir(work_dir)
        there = _holds_run(work_dir)
        with ExitStack() as held:
            held.enter_context(locked(work_dir))
            folder = work_dir
            if fresh or not there:
                # Files that a run writes before its first step would be taken for the next run's.
                folder = Path(held.enter_context(TemporaryDirectory(prefix=FOR_PLAN, dir=folder)))
            elsewhere = settings.model_copy(update={"work_dir": str(folder)})
            clock = command_clock(folder, budget_sec)
            planned = plan_run(elsewhere, folder, clock, resuming=folder == work_dir)
            _warn_of_long_clips(planned)
            stored = planned.prepared.stored
            show_plan(planned.plan, None if stored else planned.prediction, detail=False)
            if there:
                say(f"{short_path(work_dir)} holds a run; its {RECORD} is not changed.")
                return planned.plan
            from autox_video.automl.run_plan import record_of

            write_record(work_dir, record_of(planned))
            say(f"The plan is in {short_path(work_dir / RECORD)}. To train, leave out --plan.")
            return planned.plan

    with showing(settings.verbose):
        return processes.run_on_rank_zero(plan)


def _mend_record(work_dir: Path) -> None:
    """Restore record.json from a checkpoint if it is missing or damaged."""
    if not has_checkpoint(work_dir) or load_stored(work_dir) is not None:
        return
    from autox_video.training.checkpoints.checkpoint import RECORD_KEY, read_checkpoint

    for name in (LATEST, PREVIOUS):
        try:
            stored = read_checkpoint(work_dir / name)["meta"].get(RECORD_KEY)
        except CheckpointError:
            continue
        if isinstance(stored, dict):
            write_stored(work_dir, stored)
            complain(f"{work_dir / RECORD}: missing or damaged; restored from {name}.")
            return


def _warn_of_long_clips(planned: Planned) -> None:
    """Warn about clips that are too long for validation or testing to cover completely."""
    plan, splits = planned.plan, planned.prepared.inspected.splits
    if TASKS[planned.prepared.data.task].finds_segments:
        return  # the clips are parts of recordings, which are scanned as a whole later
    span_sec, probes = plan.clip_len * plan.frame_interval_sec, plan.mode == "probe"
    warn_of(notes_on_long_clips(splits, span_sec, num_clips=plan.test_clips, probes=probes))


def _holds_run(work_dir: Path) -> bool:
    return has_checkpoint(work_dir) or is_probe_run(work_dir)


def _is_in_time(clock: BudgetClock, testing_sec: float) -> bool:
    """Return whether the test fits into the time budget; warn if it does not."""
    over_sec = max(OVER_SHARE * clock.budget_sec, OVER_SEC) / 2
    if testing_sec <= clock.left_sec + over_sec:
        return True
    complain("time_budget: no time is left for the test; autotest.py can run it later.")
    return False


def _say_result(best: dict[str, Any] | None, work_dir: Path) -> None:
    """Print the score and the path to the best weights."""
    if best is None:
        say("Training is done, without an evaluation.")
        say(f"Weights: {short_path(work_dir / LATEST)}")
        return
    when = f"after epoch {best['epoch']}" if best["epoch"] else "of the probe"
    if MODELS in best:
        when = f"of an ensemble of {best[MODELS]} models"
    say(f"Training is done. Best {said(best)}, {when}.")
    say(f"Weights: {short_path(work_dir / BEST)}")
