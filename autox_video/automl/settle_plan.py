"""The plan of a run: the rules' choices, settled by measuring on this machine, and by time."""

import math
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autox_video.automl.prepare import Prepared, check_writable, prepare
from autox_video.automl.run_data import list_file
from autox_video.config.settings import AUTO, OFF, Settings
from autox_video.core.console import say
from autox_video.core.disk_cache import free_bytes
from autox_video.core.durations import duration
from autox_video.core.errors import ResourceError
from autox_video.core.sized_folder import read_sized_folder
from autox_video.data.inspection.coverage import mean_rounds
from autox_video.data.listing.listing import Listing
from autox_video.data.loading.frame_cache import default_folder
from autox_video.machine.allocator import keep_freed_memory
from autox_video.planning.cache_choice import Speeds, choose_cache
from autox_video.planning.evidence import evidence_of
from autox_video.planning.plan import COMPILING_SEC, SAVED_BY_COMPILING, Plan, choose
from autox_video.planning.predicted_time import Amount, Measured, Prediction, predict
from autox_video.planning.resume import same_budget, start_of_plan
from autox_video.planning.source import MEASUREMENT, Choice
from autox_video.planning.time_limit import (
    LARGEST_TEST_SHARE,
    MEASURED_SHARE,
    amount_of,
    choose_epochs,
    evidence_of_time,
    is_enough,
    smaller_sizes,
    with_early_clips,
    with_epochs,
)
from autox_video.run.clock import BudgetClock
from autox_video.run.work_dir import free_for_others_bytes
from autox_video.tasks.task import TASKS
from autox_video.video.files.remote import is_remote

if TYPE_CHECKING:
    from mmengine.config import Config

    from autox_video.training.config.build_config import TrainingData

PROBING_SHARE = 0.15
"""Of a budget, that probes of several weights may take."""
LIMIT_SEC = 15.0
"""What measuring may take where there is no budget."""
FIRST_SHARE, CACHED_SHARE = 0.5, 0.1
"""Of the time for measuring: for the first size of clips, and for reading from the cache."""

LEAST_IMPORTING_SEC = 1.0
"""Where all is imported already, starting and ending are as quick."""
GUESSED = Measured(0.1, 0.1, 0.1, 0.03, 0.1)
"""Where none of the clips that were tried can be read; training finds out what is true."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run is to do."""

    plan: Plan
    prepared: Prepared
    data: "TrainingData"
    prediction: Prediction | None
    """How long it takes; None where no clip could be read to find out, or an old run goes on."""
    test_clips: int
    """Clips to be tested at the end; 0: no test is made."""
    most_epochs: int
    """That are of use, though a budget may leave time for fewer."""


def plan_run(settings: Settings, work_dir: Path, clock: BudgetClock, *, resuming: bool) -> Planned:
    """Look at the data and this machine, and make every choice.

    Args:
        settings: what the user asked for.
        work_dir: that of the settings, as an absolute path.
        clock: what the run has used of its time.
        resuming: whether the work dir holds a run to go on with.

    Raises:
        AutoXVideoError: something that the user can mend.
    """
    prepared = prepare(settings, resuming=resuming)
    began = time.monotonic()
    data = training_data(prepared, settings, work_dir)  # brings torch and mmaction2
    importing_sec = max(time.monotonic() - began, LEAST_IMPORTING_SEC)
    prepared = _with_probes(prepared, settings, data, work_dir, clock)
    planner = _Planner(settings, prepared, data, work_dir, clock, importing_sec)
    return planner.probed() if prepared.plan.mode == "probe" else planner.planned()


def _with_probes(
    prepared: Prepared,
    settings: Settings,
    data: "TrainingData",
    work_dir: Path,
    clock: BudgetClock,
) -> Prepared:
    """Let probes decide which weights the run starts from, where there is a choice."""
    from autox_video.automl.probing.feature_leaderboard import is_wanted, probe_candidates

    if not is_wanted(prepared, settings, resuming=prepared.stored is not None):
        return prepared
    budget_sec = prepared.plan.time_budget_sec
    seconds = None if budget_sec is None else min(PROBING_SHARE * budget_sec, clock.left_sec)
    probed = probe_candidates(prepared, settings, data, work_dir, seconds=seconds)
    return replace(probed, pretrained=start_of_plan(probed.plan))


class _Planner:
    """Settles what the rules leave open: the plan goes from hand to hand."""

    def __init__(
        self,
        settings: Settings,
        prepared: Prepared,
        data: "TrainingData",
        work_dir: Path,
        clock: BudgetClock,
        importing_sec: float,
    ) -> None:
        self.settings = settings
        self.prepared = prepared
        self.work_dir = work_dir
        self.clock = clock
        self.data = data
        self.importing_sec = importing_sec
        budget_sec = prepared.plan.time_budget_sec
        self.limit_sec = LIMIT_SEC if budget_sec is None else MEASURED_SHARE * budget_sec
        self.test_clips = 0 if budget_sec is None else prepared.stats.num_test
        self.sizes: dict[tuple[int, int], Prediction] = {}
        """How long a run takes with clips of a side in px and a number of frames."""

    def planned(self) -> Planned:
        plan = self.prepared.plan
        if plan.device == "cpu":
            keep_freed_memory()
        else:
            plan = self._with_parts(plan)
        plan, prediction = self._gone_on(plan) if self.prepared.stored else self._begun(plan)
        most = max(plan.epochs, self._by_rules(plan).epochs)
        return Planned(plan, self.prepared, self.data, prediction, self.test_clips, most)

    def probed(self) -> Planned:
        """The same for a plan that trains no more: what takes time still is the test, if any."""
        plan, known = self.prepared.plan, (self.prepared.stored or {}).get("prediction")
        prediction = None
        if self.test_clips and known and known["testing_sec"]:
            prediction = Prediction.of(known)
        elif self.test_clips:
            measured = self._measure(plan, self.limit_sec) or GUESSED
            self._drop_long_test(plan, measured)
            one = self._predict(plan, measured)
            prediction = replace(one, training_sec=0.0, evaluating_sec=0.0, saving_sec=0.0)
        return Planned(plan, self.prepared, self.data, prediction, self.test_clips, 0)

    def _begun(self, plan: Plan) -> tuple[Plan, Prediction | None]:
        from autox_video.training.measure import measure_cached

        share = 1.0 if plan.time_budget_sec is None else FIRST_SHARE
        measured = self._measure(plan, share * self.limit_sec)
        if plan.time_budget_sec is not None:
            measured = measured or GUESSED
            self._drop_long_test(plan, measured)
            plan, measured = self._with_size(plan, measured)
        plan = self._with_cache(plan, measured)
        if measured is None:
            return plan, None
        if plan.cache is not None:
            limit_sec = CACHED_SHARE * self.limit_sec
            measured = measure_cached(self._config(plan), measured, limit_sec=limit_sec)
        return self._in_time(plan, measured)

    def _gone_on(self, plan: Plan) -> tuple[Plan, Prediction | None]:
        if self.settings.cache != AUTO:
            plan = self._with_cache(plan, None)
        budget_sec, stored = plan.time_budget_sec, self.prepared.stored
        known = stored.get("prediction")
        if budget_sec is None:
            return plan, known and Prediction.of(known)
        say(
            f"time_budget: {duration(self.clock.before_sec)} of {duration(budget_sec)} were used "
            "by earlier starts."
        )
        if known is None or (self.test_clips and not known["testing_sec"]):
            measured = self._measure(plan, self.limit_sec) or GUESSED
            self._drop_long_test(plan, measured)
            prediction = self._predict(plan, measured)
        else:
            prediction = Prediction.of(known)
        if not same_budget(self.settings, stored["choices"]):
            whole_sec = budget_sec - prediction.preparing_sec
            plan = self._with_epochs(self._by_rules(plan), plan, prediction, whole_sec)
            prediction = prediction.of_epochs(plan.epochs, self._amount(plan)).within(budget_sec)
        return plan, prediction

    def _in_time(self, plan: Plan, measured: Measured) -> tuple[Plan, Prediction]:
        """Fit the epochs into the budget, if there is one, and say how long the run takes."""
        one = self._predict(plan, measured)
        evidence = evidence_of(plan, self.prepared.stats, self.prepared.hardware, measured)
        budget_sec = plan.time_budget_sec
        if budget_sec is not None:
            amount, left_sec = self._amount(plan), budget_sec - one.preparing_sec
            for place, found in evidence_of_time(one, amount, self.sizes, left_sec).items():
                evidence[place] = {**evidence.get(place, {}), **found}
            evidence["epochs"]["figures"]["asked"] = plan.epochs
            if self.settings.progressive == AUTO:
                plan = with_early_clips(plan, one, amount, left_sec=left_sec)
                one = self._predict(plan, measured)
            plan = self._with_epochs(plan, plan, one, left_sec)
        plan = replace(plan, evidence={**plan.evidence, **evidence})
        prediction = self._predict(plan, measured)
        return plan, prediction if budget_sec is None else prediction.within(budget_sec)

    def _with_epochs(self, most: Plan, plan: Plan, one: Prediction, left_sec: float) -> Plan:
        """The plan with as many epochs as fit, at most those of another."""
        epochs = choose_epochs(most, one, self._amount(plan), left_sec=left_sec)
        return with_epochs(plan, self._by_rules(plan, epochs=epochs))

    def _with_size(self, plan: Plan, measured: Measured) -> tuple[Plan, Measured]:
        """Make clips smaller as long as too few epochs fit into the budget."""
        whole, asked = plan, plan.epochs
        sizes = smaller_sizes(plan)
        while True:
            one = self._predict(plan, measured)
            self.sizes[plan.resolution, plan.clip_len] = one
            left_sec = plan.time_budget_sec - one.preparing_sec
            if is_enough(one, self._amount(plan), asked, left_sec):
                return plan, measured
            size = next(sizes, None)
            if size is None:
                return plan, measured
            plan = self._by_rules(plan, **size)
            measured = self._measure_smaller(plan, measured, whole)

    def _measure_smaller(self, plan: Plan, before: Measured, whole: Plan) -> Measured:
        """Measure a smaller size; where there is no time left for it, reckon by its pixels."""
        left_sec = (1 - CACHED_SHARE) * self.limit_sec - before.took_sec
        if left_sec > before.took_sec / 2:
            found = self._measure(plan, left_sec / 2)
            if found is not None:
                return replace(found, took_sec=before.took_sec + found.took_sec)
        place = max(self.sizes, key=lambda size: -size[0] * size[0] * size[1])
        share = plan.resolution**2 * plan.clip_len / (place[0] ** 2 * place[1])
        return replace(before, step_sec=share * before.step_sec, view_sec=share * before.view_sec)

    def _drop_long_test(self, plan: Plan, measured: Measured) -> None:
        testing_sec = self._predict(plan, measured).testing_sec
        if testing_sec > LARGEST_TEST_SHARE * plan.time_budget_sec:
            say(
                f"time_budget: testing {self.test_clips} clips would take {duration(testing_sec)} "
                "of it, more than half; they are left to autotest.py."
            )
            self.test_clips = 0

    def _amount(self, plan: Plan) -> Amount:
        stats, test = self.prepared.stats, self.prepared.probed.splits.get("test")
        facts, span_sec = (
            () if test is None else test.facts,
            plan.clip_len * plan.frame_interval_sec,
        )
        rounds = mean_rounds(facts, span_sec, num_clips=plan.test_clips)
        clips = {"train": stats.num_train, "val": stats.num_val, "test": self.test_clips}
        return amount_of(plan, **clips, test_rounds=rounds)

    def _predict(self, plan: Plan, measured: Measured) -> Prediction:
        used_sec = self.clock.used_sec
        if plan.compile:
            used_sec += COMPILING_SEC
            measured = replace(measured, step_sec=(1 - SAVED_BY_COMPILING) * measured.step_sec)
        return predict(measured, self._amount(plan), plan.epochs, used_sec=used_sec)

    def _by_rules(self, plan: Plan, **settled: Choice) -> Plan:
        """What the rules choose with the plan's own clips, and other choices that are settled."""
        size = {field: plan.choice(field) for field in ("resolution", "clip_len")}
        found = self.prepared
        made = choose(
            self.settings, found.stats, found.hardware, found.pretrained, {**size, **settled}
        )
        # What probes have settled stays, and what was tried on this GPU.
        kept = {field: found.plan.choice(field) for field in ("backbone", "pretrained", "flip")}
        if plan.device != "cpu":
            kept["accumulation"] = plan.choice("accumulation")
        return replace(made.with_choices(kept), evidence=found.plan.evidence)

    def _measure(self, plan: Plan, limit_sec: float) -> Measured | None:
        from autox_video.training.measure import measure

        config = self._config(replace(plan, cache=None))
        found = measure(config, processes=plan.processes, limit_sec=limit_sec)
        probe_sec = self.prepared.probe_view_sec
        return found and replace(found, importing_sec=self.importing_sec, probe_view_sec=probe_sec)

    def _config(self, plan: Plan) -> "Config":
        from autox_video.training.config.build_config import build_config

        return build_config(plan, self.data, str(self.work_dir))

    def _with_parts(self, plan: Plan) -> Plan:
        """Find out, by trying, in how many parts a GPU must do a step; or remember it."""
        from autox_video.training.measure import parts_that_fit
        from autox_video.training.memory import read_accumulation, write_accumulation

        if plan.strategy == "fsdp" and plan.processes > 1:
            return plan  # one alone cannot try what all share; a step that does not fit is cut
        clips, machine = math.ceil(plan.batch_size / plan.processes), self.prepared.hardware
        tried = " ".join(
            str(value)
            for value in (
                *(machine.device_name, machine.gpu_memory_gib, machine.local_processes),
                *(clips, plan.backbone, plan.clip_len, plan.resolution, plan.num_classes),
                *(plan.precision, plan.gradient_checkpointing, plan.compile),
            )
        )
        parts = read_accumulation(self.work_dir, tried)
        if parts is None:
            parts = parts_that_fit(self._config(plan), clips)
            write_accumulation(self.work_dir, parts, tried)
        why = f"{math.ceil(clips / parts)} clips at a time fit on this GPU, by trying"
        return plan.settle(MEASUREMENT, why, accumulation=parts)

    def _with_cache(self, plan: Plan, measured: Measured | None) -> Plan:
        """Decide whether decoded frames are kept; where that is left open, by what it saves."""
        folder = _cache_folder(self.settings)
        return choose_cache(
            plan,
            self.settings,
            self.prepared.stats,
            folder=None if folder is None else str(folder.absolute()),
            free_gib=_free_for_cache(folder or self.work_dir, self.work_dir, plan) / 2**30,
            speeds=measured and Speeds(measured.read_sec, measured.step_sec),
        )


def training_data(prepared: Prepared, settings: Settings, work_dir: Path) -> "TrainingData":
    """The clips of a run as its config names them."""
    from autox_video.training.config.build_config import TrainingData

    listing, root = prepared.listing, prepared.listing.data_root
    return TrainingData(
        data_root=str(root if is_remote(root) else Path(root).absolute()),
        train_list=str(list_file(work_dir, "train")),
        val_list=str(list_file(work_dir, "val")),
        classes=listing.classes,
        num_train=len(listing.train),
        task=prepared.stats.task,
        class_clips=_class_clips(listing, prepared.stats.task),
        fingerprint=prepared.fingerprint,
        remote_cache=settings.remote_cache,
    )


def _class_clips(listing: Listing, task: str) -> tuple[int, ...]:
    """Training clips of each class; nothing where the loss cannot be balanced."""
    if not TASKS[task].balances_loss:
        return ()
    counts = Counter(listing.train.labels)
    return tuple(counts[label] for label in range(len(listing.classes)))


def _free_for_cache(folder: Path, work_dir: Path, plan: Plan) -> int:
    return free_for_others_bytes(folder, free_bytes(folder), work_dir, plan.disk_gib)


def _cache_folder(settings: Settings) -> Path | None:
    """The folder for decoded frames; None for none, or where the user's own cannot be written."""
    if settings.cache == OFF:
        return None
    if settings.cache != AUTO:
        given = Path(read_sized_folder(settings.cache)[0])
        check_writable("cache", given)
        return given
    folder = default_folder()
    try:
        if folder is not None:
            check_writable("cache", folder)
    except ResourceError as error:
        say(f"{error} Frames are not kept in this run.")
        return None
    return folder
