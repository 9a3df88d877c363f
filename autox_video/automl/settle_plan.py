"""Complete the plan made by the rules, using measurements on this machine."""

import math
import time
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from autox_video.automl.prepare import Prepared, check_writable, prepare
from autox_video.config.settings import AUTO, OFF, Settings
from autox_video.core.console import complain, say, working_on
from autox_video.core.disk_cache import free_bytes
from autox_video.core.durations import duration
from autox_video.core.errors import ResourceError
from autox_video.core.sized_folder import read_sized_folder
from autox_video.data.inspection.coverage import mean_rounds
from autox_video.data.loading.frame_cache import default_folder
from autox_video.machine.allocator import keep_freed_memory
from autox_video.planning.cache_choice import choose_cache
from autox_video.planning.choice import MEASUREMENT, Choice
from autox_video.planning.compute import COMPILING_SEC, SAVED_BY_COMPILING
from autox_video.planning.evidence import evidence_of
from autox_video.planning.optimization import TRAINING_KEYS
from autox_video.planning.plan import FIELDS, Plan, choose
from autox_video.planning.predicted_time import Clips, Measured, Prediction, predict
from autox_video.planning.record import RunRecord
from autox_video.planning.time_limit import (
    ENOUGH_SHARE,
    FOLLOW_EPOCHS,
    choose_epochs,
    evidence_of_sizes,
    fitting_epochs,
    smaller_sizes,
    with_progressive_resizing,
)
from autox_video.run.clock import BudgetClock
from autox_video.run.work_dir import free_for_others_bytes
from autox_video.tasks.task import TASKS

if TYPE_CHECKING:
    from mmengine.config import Config


PROBING_SHARE, MEASURED_SHARE = 0.3, 0.05
"""Largest shares of the time budget for probes and for measurements, respectively."""
LARGEST_TEST_SHARE = 0.5
"""Largest share of the time budget that the final test may use."""
LIMIT_SEC = 15.0
"""Time limit for measurements, in seconds, if there is no time budget."""
FIRST_SHARE, CACHED_SHARE = 0.5, 0.1
"""Shares of the measuring time for the first clip size and for cached clips, respectively."""
LEAST_IMPORTING_SEC = 1.0
"""Lower limit for the import time, from which start-up and exit times are estimated."""
GUESSED = Measured(0.1, 0.1, 0.1, 0.03, 0.1)
"""Times to assume if no sampled clip can be read; training corrects them later."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A run that is ready to start."""

    plan: Plan
    prepared: Prepared
    prediction: Prediction | None
    """Predicted time; None if no clip could be read for measuring."""
    test_clips: int
    """Number of clips in the final test; 0 for no test."""
    most_epochs: int
    """Number of epochs that the rules would choose without a time budget."""


def plan_run(settings: Settings, work_dir: Path, clock: BudgetClock, *, resuming: bool) -> Planned:
    """Inspect the clips, measure speed on this machine, and make every choice.

    `work_dir` is the absolute path of the work dir in the settings. `resuming` says whether the
    work dir contains a run.

    Raises:
        AutoXVideoError: there is a problem that the user can fix.
    """
    prepared = prepare(settings, resuming=resuming)
    began = time.monotonic()
    with working_on("Loading PyTorch"):
        import_module("autox_video.training.config.build_config")
    importing_sec = max(time.monotonic() - began, LEAST_IMPORTING_SEC)
    prepared = _with_probes(prepared, work_dir, clock)
    return _Planner(prepared, work_dir, clock, importing_sec).planned()


def _with_probes(prepared: Prepared, work_dir: Path, clock: BudgetClock) -> Prepared:
    """Run probes to choose the starting weights, if there are several candidates."""
    from autox_video.automl.probing.feature_leaderboard import is_wanted, probe_candidates

    if not is_wanted(prepared):
        return prepared
    budget_sec = prepared.plan.time_budget_sec
    seconds = None if budget_sec is None else min(PROBING_SHARE * budget_sec, clock.left_sec)
    probed = probe_candidates(prepared, prepared.data, work_dir, seconds=seconds)
    return replace(probed, basis=replace(probed.basis, weights=probed.plan.weights))


class _Planner:
    """Completes the plan step by step."""

    def __init__(
        self, prepared: Prepared, work_dir: Path, clock: BudgetClock, importing_sec: float
    ) -> None:
        self.prepared, self.basis, self.stored = prepared, prepared.basis, prepared.stored
        self.work_dir, self.clock, self.importing_sec = work_dir, clock, importing_sec
        self.budget_sec, self.test_clips = prepared.plan.time_budget_sec, 0
        self.limit_sec = LIMIT_SEC
        if self.budget_sec is not None:
            self.limit_sec = MEASURED_SHARE * self.budget_sec
            self.test_clips = self.basis.stats.num_test

    def planned(self) -> Planned:
        plan = self.prepared.plan
        if plan.mode == "probe":  # nothing is left to train: only the test takes time
            unused = [key for key in TRAINING_KEYS if self.basis.asked(key) is not None]
            if unused:
                complain(
                    f"{', '.join(unused)}: no effect, since only a head is fitted (mode: probe)."
                )
            prediction = self._known_prediction(plan) if self.test_clips else None
            trains = {"training_sec": 0.0, "evaluating_sec": 0.0, "saving_sec": 0.0}
            prediction = prediction and replace(prediction, **trains)
            return Planned(plan, self.prepared, prediction, self.test_clips, 0)
        if plan.device == "cpu":
            keep_freed_memory()
        else:
            plan = self._with_parts(plan)
        plan, prediction = self._resumed(plan) if self.stored else self._begun(plan)
        most = max(plan.epochs, self._by_rules(plan).epochs)
        return Planned(plan, self.prepared, prediction, self.test_clips, most)

    def _begun(self, plan: Plan) -> tuple[Plan, Prediction | None]:
        """Return a new run's plan, with epochs that fit the budget and a cache if one helps."""
        from autox_video.training.measure import measure_cached

        limited, sizes = self.budget_sec is not None, {}
        measured = self._measure(plan, (FIRST_SHARE if limited else 1.0) * self.limit_sec)
        if limited:
            measured = measured or GUESSED
            self._drop_long_test(self._predict(plan, measured))
            plan, measured, sizes = self._with_size(plan, measured)
        plan = self._with_cache(plan, measured)
        if measured is None:
            return plan, None
        if plan.cache is not None:
            limit_sec = CACHED_SHARE * self.limit_sec
            measured = measure_cached(self._config(plan), measured, limit_sec=limit_sec)
        stats, hardware = self.basis.stats, self.basis.hardware
        plan = plan.with_evidence(evidence_of(plan.backbone, stats, hardware, measured))
        prediction = self._predict(plan, measured)
        if not limited:
            return plan, prediction
        plan = plan.with_evidence(evidence_of_sizes(plan, sizes))
        if not plan.is_given("early_side"):
            plan = with_progressive_resizing(plan, prediction)
            prediction = self._predict(plan, measured)
        plan = self._in_epochs(plan, choose_epochs(plan, prediction, plan.choices["epochs"]))
        return plan, self._predict(plan, measured).within(self.budget_sec)

    def _resumed(self, plan: Plan) -> tuple[Plan, Prediction | None]:
        """Return the plan of a resumed run, whose time budget may have changed."""
        if self.basis.asked("cache") is not None:
            plan = self._with_cache(plan, None)
        if self.budget_sec is None:
            return plan, self.stored.prediction
        say(
            f"time_budget: earlier starts of this run used {duration(self.clock.before_sec)} of "
            f"{duration(self.budget_sec)}."
        )
        prediction = self._known_prediction(plan)
        if self.budget_sec != self.stored.plan.time_budget_sec:
            most = self._by_rules(plan).choices["epochs"]
            plan = self._in_epochs(plan, choose_epochs(plan, prediction, most))
            prediction = prediction.of_plan(plan).within(self.budget_sec)
        return plan, prediction

    def _known_prediction(self, plan: Plan) -> Prediction:
        """Return the stored prediction, or a new prediction if the test's time is missing."""
        known = self.stored and self.stored.prediction
        if known is not None and (known.testing_sec or not self.test_clips):
            return known
        measured = self._measure(plan, self.limit_sec) or GUESSED
        self._drop_long_test(self._predict(plan, measured))
        return self._predict(plan, measured)

    def _in_epochs(self, plan: Plan, epochs: Choice) -> Plan:
        """Return the plan with the given number of epochs, updating all dependent choices."""
        settled = {
            name: choice
            for name, choice in plan.choices.items()
            if name not in FOLLOW_EPOCHS
            or (plan.is_given(name) and self.basis.asked(FIELDS[name].key) is None)
        }
        return choose(self.basis, {**settled, "epochs": epochs})

    def _by_rules(self, plan: Plan, **settled: Choice) -> Plan:
        """Return the plan made by the rules, keeping settled choices such as the clip size."""
        names = ["backbone", "pretrained", "flip", "resolution", "clip_len"]
        names += ["accumulation"] if plan.device != "cpu" else []
        return choose(self.basis, {**{n: plan.choices[n] for n in names}, **settled})

    def _with_size(
        self, plan: Plan, measured: Measured
    ) -> tuple[Plan, Measured, dict[tuple[int, int], Prediction]]:
        """Shrink clips until enough epochs fit; also return the prediction for each clip size."""
        smaller, tried = smaller_sizes(plan), {}
        while True:
            prediction = self._predict(plan, measured)
            tried[plan.resolution, plan.clip_len] = prediction
            enough = fitting_epochs(plan, prediction) >= ENOUGH_SHARE * plan.epochs
            size = None if enough else next(smaller, None)
            if size is None:
                return plan, measured, tried
            whole, plan = plan, self._by_rules(plan, **size)
            measured = self._measure_smaller(plan, whole, measured)

    def _measure_smaller(self, plan: Plan, whole: Plan, before: Measured) -> Measured:
        """Measure a smaller clip size; if time is short, scale the times by the pixel count."""
        left_sec = (1 - CACHED_SHARE) * self.limit_sec - before.took_sec
        if left_sec > before.took_sec / 2 and (measured := self._measure(plan, left_sec / 2)):
            return replace(measured, took_sec=before.took_sec + measured.took_sec)
        size = plan.resolution**2 * plan.clip_len / (whole.resolution**2 * whole.clip_len)
        return replace(before, step_sec=size * before.step_sec, view_sec=size * before.view_sec)

    def _drop_long_test(self, prediction: Prediction) -> None:
        if prediction.testing_sec > LARGEST_TEST_SHARE * self.budget_sec:
            complain(
                f"time_budget: testing {self.test_clips} clips would take "
                f"{duration(prediction.testing_sec)}, more than half of the budget, so the test "
                "is left out; autotest.py can run it later."
            )
            self.test_clips = 0

    def _predict(self, plan: Plan, measured: Measured) -> Prediction:
        used_sec, stats = self.clock.used_sec, self.basis.stats
        if plan.compile:
            used_sec += COMPILING_SEC
            measured = replace(measured, step_sec=(1 - SAVED_BY_COMPILING) * measured.step_sec)
        test = self.prepared.inspected.test
        span_sec = plan.clip_len * plan.frame_interval_sec
        rounds = mean_rounds(test.facts if test else (), span_sec, num_clips=plan.test_clips)
        task, listed = TASKS[stats.task], self.prepared.listed
        clips = Clips(
            *(stats.num_train, stats.num_val, self.test_clips, rounds),
            recordings_sec=task.recordings_sec(listed, ("train", "val")),
            test_recordings_sec=task.recordings_sec(listed, ("test",)) * (self.test_clips > 0),
        )
        return predict(measured, plan, clips, used_sec=used_sec)

    def _measure(self, plan: Plan, limit_sec: float) -> Measured | None:
        from autox_video.training.measure import measure

        config, probe_sec = self._config(replace(plan, cache=None)), self.prepared.probe_view_sec
        size = f"{plan.clip_len} frames of {plan.resolution}x{plan.resolution} px"
        with working_on(f"Measuring speed with {size}"):
            measured = measure(config, processes=plan.processes, limit_sec=limit_sec)
        if measured is None:
            return None
        if probe_sec and plan.mode != "probe" and self.basis.settings.ensemble != OFF:
            probe_sec += measured.view_sec  # an ensemble may predict with all models
        return replace(measured, importing_sec=self.importing_sec, probe_view_sec=probe_sec)

    def _config(self, plan: Plan) -> "Config":
        from autox_video.training.config.build_config import build_config

        # Compiling would take longer than the measurement.
        plan = replace(plan, compile=False)
        return build_config(RunRecord(plan, self.prepared.data), self.work_dir)

    def _with_parts(self, plan: Plan) -> Plan:
        """Return the plan with enough gradient accumulation parts for a step to fit on the GPU."""
        from autox_video.training.measure import parts_that_fit
        from autox_video.training.memory import read_accumulation, write_accumulation

        if plan.strategy == "fsdp" and plan.processes > 1:
            return plan  # one process cannot test this; a step that does not fit is divided later
        clips, machine = math.ceil(plan.batch_size / plan.processes), self.basis.hardware
        conditions = (
            *(machine.device_name, machine.gpu_memory_gib, machine.local_processes),
            *(clips, plan.backbone, plan.clip_len, plan.resolution, plan.num_classes, plan.freeze),
            *(plan.lora, plan.precision, plan.gradient_checkpointing, plan.compile),
        )
        tried = " ".join(map(str, conditions))
        parts = read_accumulation(self.work_dir, tried)
        if parts is None:
            with working_on("Measuring how many clips fit on the GPU at a time"):
                parts = parts_that_fit(self._config(plan), clips)
            write_accumulation(self.work_dir, parts, tried)
        why = f"tried: {math.ceil(clips / parts)} clips at a time fit on this GPU"
        return plan.settle(MEASUREMENT, why, accumulation=parts)

    def _with_cache(self, plan: Plan, measured: Measured | None) -> Plan:
        """Return the plan, with a frame cache if the user wants one or it saves enough time."""
        asked = self.basis.settings.cache
        folder = _cache_folder(asked)
        disk = folder or self.work_dir
        free = free_for_others_bytes(disk, free_bytes(disk), self.work_dir, plan.disk_gib)
        return choose_cache(
            plan,
            self.basis.stats,
            asked=asked,
            folder=None if folder is None else str(folder.absolute()),
            free_gib=free / 2**30,
            measured=measured,
        )


def _cache_folder(asked: str) -> Path | None:
    """Return the folder of the frame cache, or None if caching is off or impossible."""
    if asked == OFF:
        return None
    if asked != AUTO:
        folder = Path(read_sized_folder(asked)[0])
        check_writable("cache", folder)
        return folder
    folder = default_folder()
    try:
        if folder is not None:
            check_writable("cache", folder)
    except ResourceError as error:
        complain(f"{error} This run does not cache frames.")
        return None
    return folder
