"""The main job: settings → a trained model in the work dir."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autox_video.automl.prepare import check_work_dir
from autox_video.automl.settle_plan import Planned, plan_run, show_plan
from autox_video.automl.starting_weights import refuse_moving_weights
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import say
from autox_video.core.errors import CheckpointError
from autox_video.data.inspection.coverage import notes_on_long_clips
from autox_video.distributed import processes
from autox_video.distributed.launch import use_device
from autox_video.jobs.test import check_results_path, is_tested, prepare_test, run_test
from autox_video.machine.allocator import keep_freed_memory
from autox_video.metrics.headline import said
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
    PREVIOUS,
    RECORD,
    check_disk,
    has_checkpoint,
    make_ready,
)

OVER_SHARE, OVER_SEC = 0.05, 30.0
"""A budget may be passed by that share of it or those seconds, whichever is more."""


def fit(settings: Settings, *, fresh: bool = False) -> dict[str, Any] | None:
    """Train, or resume the run in the work dir; give the best validation metrics, if any.

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
    budget_sec = None if settings.time_budget == AUTO else settings.time_budget
    with ExitStack() as held:

        def prepare() -> Any:
            check_work_dir(work_dir)
            held.enter_context(locked(work_dir))
            if fresh:
                refuse_moving_weights(settings.load_from, work_dir)
            resumes = settings.only_probes and is_probe_run(work_dir)
            make_ready(work_dir, fresh=fresh, resumes=resumes)
            _mend_record(work_dir)
            clock = held.enter_context(counting(work_dir, budget_sec))
            planned = plan_run(settings, work_dir, clock, resuming=_holds_run(work_dir))
            _show(planned)
            check_disk(work_dir, planned.plan.disk_gib)
            if planned.test_clips:
                check_results_path(settings.results_file)
            from autox_video.automl.run_plan import begin

            return begin(planned, work_dir)

        job = processes.run_on_rank_zero(prepare)
        # This brings torch and mmaction2, which take seconds: after all that can be wrong before.
        from autox_video.automl.run_plan import run

        if use_device(me, job.record.plan.device) == "cpu":
            keep_freed_memory()
        best = run(job)
        _say_what_came_out(best, work_dir)
        if job.testing_sec is not None:
            test = processes.run_on_rank_zero(lambda: prepare_test(settings))
            clock = running_clock(work_dir, budget_sec)
            if processes.run_on_rank_zero(
                lambda: not is_tested(test) and _is_in_time(clock, job.testing_sec)
            ):
                run_test(test)
        processes.run_on_rank_zero(lambda: mark_finished(work_dir))
        return best


def show(settings: Settings, *, fresh: bool = False) -> Plan:
    """Make the plan of the run that `fit` would do, show it, and write it to record.json.

    Nothing else stays. Where the work dir holds a run, its files are not touched.

    Args:
        settings: what the user asked for.
        fresh: whether the plan is that of a new run, though the work dir holds one.

    Raises:
        AutoXVideoError: something that the user can mend.
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
                # What a run writes before its first step would count for the next one.
                folder = Path(held.enter_context(TemporaryDirectory(prefix=FOR_PLAN, dir=folder)))
            elsewhere = settings.model_copy(update={"work_dir": str(folder)})
            clock = command_clock(folder, budget_sec)
            planned = plan_run(elsewhere, folder, clock, resuming=folder == work_dir)
            _show(planned)
            if there:
                say(f"{work_dir} holds a run: its {RECORD} stays as it is.")
                return planned.plan
            from autox_video.automl.run_plan import record_of

            write_record(work_dir, record_of(planned))
            say(f"The plan is in {work_dir / RECORD}; without --plan, training begins.")
            return planned.plan

    return processes.run_on_rank_zero(plan)


def _mend_record(work_dir: Path) -> None:
    """Write record.json again from a checkpoint, where it is missing or damaged."""
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
            say(f"{work_dir / RECORD}: was missing or damaged; it is written again from {name}.")
            return


def _show(planned: Planned) -> None:
    """Show every choice, how long the run takes, and of which long clips a part is looked at."""
    plan, prepared = planned.plan, planned.prepared
    show_plan(plan, None if prepared.stored else planned.prediction)
    span_sec, probes = plan.clip_len * plan.frame_interval_sec, plan.mode == "probe"
    splits, num_clips = prepared.inspected.splits, plan.test_clips
    for note in notes_on_long_clips(splits, span_sec, num_clips=num_clips, probes=probes):
        say(note)


def _holds_run(work_dir: Path) -> bool:
    return has_checkpoint(work_dir) or is_probe_run(work_dir)


def _is_in_time(clock: BudgetClock, testing_sec: float) -> bool:
    """Whether the test goes not far beyond the budget; the user is told where it would."""
    over_sec = max(OVER_SHARE * clock.budget_sec, OVER_SEC) / 2
    if testing_sec <= clock.left_sec + over_sec:
        return True
    say("No time of time_budget is left for the test; autotest.py makes it.")
    return False


def _say_what_came_out(best: dict[str, Any] | None, work_dir: Path) -> None:
    if best is None:
        say(f"Training is done; there was no evaluation. The weights are {work_dir / LATEST}.")
        return
    when = f"after epoch {best['epoch']}" if best["epoch"] else "of the probe"
    say(
        f"Training is done: best {said(best)} {when}. The weights are {work_dir / BEST}; "
        "autotest.py tests them."
    )
