"""The feature leaderboard, which finds the best starting weights and a first model in minutes.

For each candidate (a file of pretrained weights, or hand-crafted descriptors), features of the
training clips are extracted once, and heads on these features are scored by cross-validation.
Training starts from the best weights. The best candidate overall, with a head fitted on all
training clips, is saved as a separate model, probe.pth.
"""

import gc
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autox_video.automl.leaderboard import (
    interval_text,
    show_leaderboard,
    try_to_read,
)
from autox_video.automl.prepare import Prepared, groups_of
from autox_video.automl.probing import crossval
from autox_video.automl.probing.candidates import (
    Candidate,
    Job,
    Tried,
    row_id,
    try_plan,
)
from autox_video.automl.probing.crossval import LINEAR, ORDERED, Scored
from autox_video.automl.probing.feature_store import FeatureStore, default_folder
from autox_video.automl.probing.kept_probes import keep_probes
from autox_video.automl.starting_weights import weight_folders
from autox_video.backbones.weights.known_weights import Pretrained, find_all, find_packaged
from autox_video.config.choices import BACKBONES
from autox_video.config.settings import AUTO, OFF
from autox_video.core.console import complain
from autox_video.core.errors import AutoXVideoError, CheckpointError, ResourceError
from autox_video.metrics.intervals import CROSS_VALIDATION, score_text
from autox_video.metrics.selection_score import score_label
from autox_video.planning.choice import PROBE as BY_PROBES
from autox_video.planning.choice import RULE, Choice, by_rule
from autox_video.planning.plan import Plan, choose
from autox_video.planning.record import TrainingData
from autox_video.run.work_dir import FEATURES
from autox_video.tasks.task import TASKS

SECONDS = 600.0
"""Default time limit, in seconds, if training follows."""

ATTENDED_CLIPS = 200
"""Smallest number of training clips for which attentive heads are tried."""

SHARE_OF_THE_END = 0.2
"""Share of the time limit that is reserved for fitting and validating the best candidate."""


def is_wanted(prepared: Prepared) -> bool:
    """Return whether to run probes, either for `mode: probe` or to compare several candidates.

    A resumed run does not run probes again.
    """
    plan = prepared.plan
    if prepared.stored is not None or plan.mode == "probe":
        return prepared.stored is None
    if prepared.data.head_rows:
        return False  # cross-validation would score clips that the weights were trained on
    weights = _weights(prepared)
    compared = bool(weights) or _describes(prepared)
    return len(weights) > 1 or (compared and plan.evaluation > 0)


def probe_candidates(
    prepared: Prepared, data: TrainingData, work_dir: Path, *, seconds: float | None = None
) -> Prepared:
    """Score all candidates, write the leaderboard and probe.pth, and update the plan.

    Args:
        prepared: the prepared run, with a plan made by the rules.
        data: the clips of the run.
        work_dir: the work dir.
        seconds: time limit; None for no limit in `mode: probe` and 10 min otherwise.

    Raises:
        CheckpointError: none of the weight files can be used.
        ResourceError: there is not enough memory or disk space for any candidate.
    """
    probing = prepared.plan.mode == "probe"
    limit = (math.inf if probing else SECONDS) if seconds is None else seconds
    end = time.monotonic() + limit
    enough = end - limit * SHARE_OF_THE_END if math.isfinite(limit) else end
    job = _job(prepared, data, work_dir)
    found = _best_of(job, _entries(job), enough)
    if not found.usable:
        prepared = replace(prepared, plan=choose(replace(prepared.basis, weights=None)))
        job = replace(job, prepared=prepared)
    if found.best is None:
        return prepared
    best = found.best.candidate
    plan = best.plan if probing else _plan_to_train(job, best, found.start)
    view_sec = keep_probes(job, found.best, found.others, plan, seconds=end - time.monotonic())
    show_leaderboard(try_to_read(work_dir), detail=not probing)
    return replace(prepared, plan=plan, probe_view_sec=view_sec)


def _plan_to_train(job: Job, best: Candidate, start: Candidate | None) -> Plan:
    """Return a plan for training from the best weights, or from scratch if none are suitable."""
    if start is not None and not _fits_badly(job, best, start):
        return replace(start.plan, head_grid=None)  # training uses the backbone's published head
    plan = job.prepared.plan if start is None else choose(replace(job.prepared.basis, weights=None))
    backbone = plan.choices["backbone"]
    why = f"{backbone.reason}; compared with a probe on {best.plan.backbone}, "
    why += f"{_figures(job, best.scored)}: the better one is kept"
    if start is not None:
        name = Path(start.plan.pretrained).name
        why += f"; the features of {name} fit worse: {_figures(job, start.scored)}"
    chosen = {"backbone": replace(backbone, reason=why), "flip": best.plan.choices["flip"]}
    return plan.with_choices(chosen)


def _fits_badly(job: Job, best: Candidate, start: Candidate) -> bool:
    """Return whether pretrained features are clearly worse than hand-crafted descriptors.

    If they are, training a small model from scratch on a CPU works better than fine-tuning. A user
    who asks for frozen stages or LoRA adapters wants fine-tuning.
    """
    basis = job.prepared.basis
    by_choice = _describes(job.prepared) and job.prepared.plan.device == "cpu"
    by_choice &= all(basis.asked(key) in (None, 0, OFF) for key in ("freeze", "lora"))
    is_fixed = not BACKBONES[best.plan.backbone].learns
    return by_choice and is_fixed and best.scored.low > start.scored.high


def _job(prepared: Prepared, data: TrainingData, work_dir: Path) -> Job:
    folder = None if prepared.basis.settings.cache == OFF else default_folder()
    # Attentive heads are slow to fit, so they are left out if training follows. On few clips, their
    # score is too noisy: the best of many candidates would win by chance.
    attends = prepared.plan.mode == "probe" and data.num_train >= ATTENDED_CLIPS
    pools = crossval.POOLS if attends else (LINEAR, ORDERED)
    store = FeatureStore(folder or work_dir / FEATURES)
    groups = groups_of(prepared, prepared.listing.train)
    return Job(prepared, data, work_dir, store, groups, pools)


def _weights(prepared: Prepared) -> list[Pretrained]:
    """Return the candidate weight files, starting with the file chosen by the rules."""
    first, asked = prepared.plan.weights, prepared.basis.settings
    if first is None or asked.load_from != AUTO:
        return [] if first is None else [first]
    wanted = None if asked.backbone == AUTO else asked.backbone
    others = find_all(weight_folders(), wanted, noncommercial=asked.noncommercial)
    if asked.lora not in (AUTO, OFF):
        others = [other for other in others if BACKBONES[other.backbone].linears]
    return [first, *(other for other in others if other.path != first.path)]


def _describes(prepared: Prepared) -> bool:
    """Return whether to try descriptors, based on the keys `backbone` and `load_from`."""
    asked = prepared.basis.settings
    return asked.backbone == AUTO and asked.load_from in (AUTO, "none")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A plan to try."""

    plan: Plan
    starts: bool
    """Whether training can start from the plan's weights."""

    @property
    def cost(self) -> float:
        """The cost of extracting a clip's features, relative to other entries."""
        plan, spec = self.plan, BACKBONES[self.plan.backbone]
        return spec.gmacs_per_clip * plan.clip_len * plan.resolution**2


def _entries(job: Job) -> list[_Entry]:
    """Return an entry for each candidate, cheapest first, with random weights last."""
    basis, weights = job.prepared.basis, _weights(job.prepared)
    entries = [_Entry(choose(replace(basis, weights=each)), True) for each in weights]
    if _describes(job.prepared):
        entries += [_Entry(plan, False) for plan in _fixed_plans(job)]
    entries.sort(key=lambda entry: entry.cost)
    # Random weights are a baseline, or the only candidate.
    probing = job.prepared.plan.mode == "probe"
    if not entries or (probing and (basis.settings.load_from == AUTO or not weights)):
        entries.append(_Entry(choose(replace(basis, weights=None)), False))
    return entries


def _fixed_plans(job: Job) -> list[Plan]:
    """Return the plans that use a packaged encoder or descriptors, neither of which is trained."""
    basis, plans = job.prepared.basis, []
    for packaged in find_packaged() if basis.settings.load_from == AUTO else ():
        fixed = {"mode": by_rule("probe", "only a head is fitted to its features")}
        plans.append(choose(replace(basis, weights=packaged), fixed))
    why = "only a head has to be trained"
    for backbone in (name for name in BACKBONES if not BACKBONES[name].learns):
        fixed = {"mode": by_rule("probe", why), "backbone": by_rule(backbone, why)}
        plans.append(choose(replace(basis, weights=None), fixed))
    return plans


@dataclass(frozen=True, slots=True)
class _Found:
    """The scored candidates."""

    best: Tried | None
    """The best candidate; None if no candidate could be scored."""
    others: list[Candidate]
    """The other candidates, best first."""
    start: Candidate | None
    """The best candidate with pretrained weights that training can start from."""
    usable: bool
    """Whether training can use any of the weight files; True if there are no files."""


def _best_of(job: Job, entries: Sequence[_Entry], end: float) -> _Found:
    """Score the candidates one after another, starting none after the time `end`."""
    best: Tried | None = None
    found: list[tuple[Candidate, bool]] = []
    errors: dict[int, AutoXVideoError] = {}
    for number, entry in enumerate(entries):
        left = (end - time.monotonic()) / (len(entries) - number)
        try:
            tried = try_plan(job, entry.plan, left, best)
        except (CheckpointError, ResourceError) as error:
            errors[number] = error
            continue
        if tried is not None:
            found.append((tried.candidate, entry.starts))
            if best is None or tried.candidate.beats(best.candidate):
                best = tried
        del tried
        gc.collect()
    usable = _report(job, entries, errors)
    if best is None and job.prepared.plan.mode == "probe":
        raise ResourceError(
            "time_budget: too short to extract the features of enough clips. Set a longer one."
        )
    others = [one for one, _ in found if best is not None and one is not best.candidate]
    others.sort(key=lambda one: (one.is_random, -one.scored.score))
    others = [_explained(job, one, 1) for one in others]
    starts = [one for one, can_start in found if can_start]
    start = min(starts, key=lambda one: (one.is_random, -one.scored.score), default=None)
    if best is not None:
        best = replace(best, candidate=_explained(job, best.candidate, len(entries)))
    count = sum(entry.starts for entry in entries)
    return _Found(best, others, start and _explained(job, start, count), usable)


def _report(job: Job, entries: Sequence[_Entry], errors: Mapping[int, AutoXVideoError]) -> bool:
    """Warn about candidates that could not be used; return whether any weight file is usable.

    Raises:
        AutoXVideoError: none of the candidates that the run needs can be used.
    """
    starts = [number for number, entry in enumerate(entries) if entry.starts]
    probing = job.prepared.plan.mode == "probe"
    needed = range(len(entries)) if probing else starts
    given = probing or _are_given(job, [entries[number].plan for number in starts])
    if needed and errors.keys() >= set(needed) and given:
        raise errors[needed[0]]
    for error in errors.values():
        complain(f"{error} This candidate is left out of the leaderboard.")
    return not starts or not errors.keys() >= set(starts)


def _are_given(job: Job, plans: Sequence[Plan]) -> bool:
    """Return whether the user set `load_from` or put weight files into a `checkpoints` folder."""
    folders = weight_folders()
    placed = any(Path(plan.pretrained).parent in folders for plan in plans)
    return job.prepared.basis.settings.load_from != AUTO or placed


def _figures(job: Job, scored: Scored) -> str:
    balanced = job.prepared.plan.class_balance
    name = score_label(TASKS[job.data.task].main_score(balanced=balanced))
    clips = job.data.num_train
    interval = interval_text(scored.low, scored.high, clips)
    return f"{name} {score_text(scored.score, clips)} ({interval}) in cross-validation"


def _explained(job: Job, best: Candidate, count: int) -> Candidate:
    """Return the best candidate, with the scores added to the reasons in its plan."""
    plan, scored = best.plan, best.scored
    why = f"probe {_figures(job, scored)}"
    if count > 1:
        others = [r for r in try_to_read(job.work_dir) if r.scored_on == CROSS_VALIDATION]
        mine = {row_id(plan, pool) for pool in crossval.POOLS}
        clips = job.data.num_train
        rest = [f"{r.id} {score_text(r.score, clips)}" for r in others if r.id not in mine]
        why += f", the best of {count} candidates; others: {', '.join(rest)}"
    fields = ("backbone", "pretrained")
    chosen = {field: _probed(plan.choices[field], why, many=count > 1) for field in fields}
    head = replace(plan.choices["head_grid"], value=None)
    if scored.setting.pool != LINEAR:
        head = replace(head, value=best.reading.grid)
        if plan.mode == "probe":
            head = Choice(head.value, BY_PROBES, f"the head attends to parts of the clip: {why}")
    return replace(best, plan=plan.with_choices({**chosen, "head_grid": head}))


def _probed(choice: Choice, why: str, *, many: bool) -> Choice:
    """Return the choice with `why` added to its reason, and its source changed if `many` is set."""
    source = BY_PROBES if many and choice.source == RULE else choice.source
    return replace(choice, source=source, reason=f"{choice.reason}; {why}")
