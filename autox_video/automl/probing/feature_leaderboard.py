"""The feature leaderboard, which finds the best starting weights and a first model in minutes.

For each candidate (a file of pretrained weights, or hand-crafted descriptors), features of the
training clips are extracted once, and heads on these features are scored by cross-validation.
Training starts from the best weights. The best candidate overall, with a head fitted on all
training clips, is saved as a separate model, probe.pth.
"""

import gc
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from autox_video.automl.finishing import HEAD_OF_ALL
from autox_video.automl.leaderboard import (
    interval_text,
    open_row,
    row_of,
    show_leaderboard,
    try_to_read,
)
from autox_video.automl.prepare import Prepared, groups_of
from autox_video.automl.probing import crossval
from autox_video.automl.probing.candidates import (
    Candidate,
    Job,
    Tried,
    about_samples,
    extract,
    row_id,
    samples_of,
    try_plan,
)
from autox_video.automl.probing.crossval import LINEAR, ORDERED, Scored
from autox_video.automl.probing.feature_store import FeatureStore, default_folder
from autox_video.automl.search.refit import can_refit
from autox_video.automl.starting_weights import weight_folders
from autox_video.backbones.weights.known_weights import Pretrained, find_all, find_packaged
from autox_video.config.choices import BACKBONES
from autox_video.config.settings import AUTO, OFF
from autox_video.core.console import complain
from autox_video.core.errors import AutoXVideoError, CheckpointError, ResourceError
from autox_video.evaluation.predict import build_model, for_testing
from autox_video.metrics.headline import cross_validated, row_fields
from autox_video.metrics.intervals import CROSS_VALIDATION, score_text
from autox_video.metrics.selection_score import score_label
from autox_video.planning.choice import PROBE as BY_PROBES
from autox_video.planning.choice import RULE, Choice, by_rule
from autox_video.planning.plan import Plan, choose
from autox_video.planning.record import RunRecord, TrainingData, of_weights
from autox_video.run.work_dir import FEATURES, PROBE
from autox_video.tasks.task import TASKS
from autox_video.training.checkpoints.checkpoint import (
    ORIGIN,
    RECORD_KEY,
    SCHEMA,
    load_state,
    write_checkpoint,
)
from autox_video.training.config.build_config import model_config

SECONDS = 600.0
"""Default time limit, in seconds, if training follows."""

SHARE_OF_THE_END = 0.2
"""Share of the time limit that is reserved for fitting and validating the best candidate."""

PROBE_ID = "probe"
"""Id of the leaderboard row for the model in probe.pth."""


def is_wanted(prepared: Prepared) -> bool:
    """Return whether to run probes, either for `mode: probe` or to compare several candidates.

    Probes are not run again when a run is resumed.
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
    best, start, usable = _best_of(job, _plans(job), enough)
    if not usable:
        prepared = replace(prepared, plan=choose(replace(prepared.basis, weights=None)))
        job = replace(job, prepared=prepared)
    if best is None:
        return prepared
    plan = best.candidate.plan if probing else _plan_to_train(job, best.candidate, start)
    _keep(job, best, plan, seconds=end - time.monotonic())
    show_leaderboard(try_to_read(work_dir), detail=not probing)
    return replace(prepared, plan=plan, probe_view_sec=best.extractor.view_sec())


def _plan_to_train(job: Job, best: Candidate, start: Candidate | None) -> Plan:
    """Return a plan that trains from the best weights, or from scratch if none are suitable."""
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

    If so, training a small model from scratch works better on a CPU than fine-tuning.
    """
    by_choice = _describes(job.prepared) and job.prepared.plan.device == "cpu"
    is_fixed = not BACKBONES[best.plan.backbone].learns
    return by_choice and is_fixed and best.scored.low > start.scored.high


def _job(prepared: Prepared, data: TrainingData, work_dir: Path) -> Job:
    folder = None if prepared.basis.settings.cache == OFF else default_folder()
    # Attentive heads take long to fit, so they are left out if training follows.
    pools = crossval.POOLS if prepared.plan.mode == "probe" else (LINEAR, ORDERED)
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
    return [first, *(other for other in others if other.path != first.path)]


def _describes(prepared: Prepared) -> bool:
    """Return whether to try descriptors, based on the keys `backbone` and `load_from`."""
    asked = prepared.basis.settings
    return asked.backbone == AUTO and asked.load_from in (AUTO, "none")


def _plans(job: Job) -> list[Plan]:
    """Return a plan for each candidate, with pretrained weights first and random weights last."""
    basis, weights = job.prepared.basis, _weights(job.prepared)
    plans = [choose(replace(basis, weights=each)) for each in weights]
    if _describes(job.prepared):
        plans += _fixed_plans(job)
    # Random weights are a baseline, or the only candidate.
    probing = job.prepared.plan.mode == "probe"
    if not plans or (probing and (basis.settings.load_from == AUTO or not weights)):
        plans.append(choose(replace(basis, weights=None)))
    return plans


def _fixed_plans(job: Job) -> list[Plan]:
    """Return the plans that use a packaged encoder or descriptors, which are not trained."""
    basis, plans = job.prepared.basis, []
    for packaged in find_packaged() if basis.settings.load_from == AUTO else ():
        fixed = {"mode": by_rule("probe", "only a head is fitted to its features")}
        plans.append(choose(replace(basis, weights=packaged), fixed))
    why = "only a head has to be trained"
    for backbone in (name for name in BACKBONES if not BACKBONES[name].learns):
        fixed = {"mode": by_rule("probe", why), "backbone": by_rule(backbone, why)}
        plans.append(choose(replace(basis, weights=None), fixed))
    return plans


def _best_of(
    job: Job, plans: Sequence[Plan], end: float
) -> tuple[Tried | None, Candidate | None, bool]:
    """Score the candidates one after the other.

    Returns:
        The best candidate; the best candidate with pretrained weights that training can start
        from; and whether training can use any of the weight files (True if there are no files).
        A candidate is None if none could be scored.
    """
    best: Tried | None = None
    start: Candidate | None = None
    errors: dict[int, AutoXVideoError] = {}
    probing, starts = job.prepared.plan.mode == "probe", len(_weights(job.prepared))
    for number, plan in enumerate(plans):
        left = (end - time.monotonic()) / (len(plans) - number)
        try:
            tried = try_plan(job, plan, left)
        except (CheckpointError, ResourceError) as error:
            errors[number] = error
            continue
        if tried is not None:
            one = tried.candidate
            if number < starts and (start is None or one.beats(start)):
                start = one
            if best is None or one.beats(best.candidate):
                best = tried
        del tried
        gc.collect()
    needed = range(len(plans) if probing else starts)
    if needed and errors.keys() >= set(needed) and (probing or _are_given(job, plans[:starts])):
        raise errors[needed[0]]
    for error in errors.values():
        complain(f"{error} This candidate is left out of the leaderboard.")
    if best is None and probing:
        raise ResourceError(
            "time_budget: too short to extract the features of enough clips. Set a longer one."
        )
    if best is not None:
        best = replace(best, candidate=_explained(job, best.candidate, len(plans)))
    usable = not starts or not errors.keys() >= set(range(starts))
    return best, start and _explained(job, start, starts), usable


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
    """Return a choice with `why` added to its reason, and a new source if `many` were compared."""
    source = BY_PROBES if many and choice.source == RULE else choice.source
    return replace(choice, source=source, reason=f"{choice.reason}; {why}")


def _keep(job: Job, best: Tried, run: Plan, *, seconds: float) -> None:
    """Fit the best head on all training clips, validate the head, and save it in probe.pth.

    If training follows and not all validation clips can be scored in time, probe.pth is not
    written.

    Args:
        job: the data and the folders.
        best: the best candidate.
        run: the plan of the run that the probe belongs to.
        seconds: time limit.
    """
    plan, setting = best.candidate.plan, best.candidate.scored.setting
    clips = job.prepared.listing.val
    refits = can_refit(job.prepared, run)
    reading = best.candidate.reading
    with open_row(job.work_dir, row_of(PROBE_ID, "probe", plan)) as note:
        head = crossval.fit_on_all(best.samples, setting)
        # Scoring uses a single view.
        reading = replace(reading, flipped=reading.flipped and refits)
        found = extract(job, best.extractor, reading, clips, seconds=seconds)
        if not found.positions or not (found.complete or plan.mode == "probe"):
            note.note(state="partial" if found.positions else "failed")
            return
        unseen = samples_of(job, plan, clips, found)
        scored = best.candidate.scored
        figures = {
            **crossval.measure(unseen, head, scored.in_folds),
            **cross_validated(scored.score, scored.low, scored.high, len(best.samples)),
        }
        about = {**about_samples(plan, best.samples), **setting.as_dict()}
        note.note(**row_fields(figures, about))
        of_all = None
        if refits:
            of_all = crossval.fit_on_all(best.samples.with_those_of(unseen), setting).state()
        _write(job, best, run, head.state(), of_all, {**figures, "epoch": 0})


def _write(
    job: Job,
    best: Tried,
    run: Plan,
    head: dict[str, torch.Tensor],
    of_all: dict[str, torch.Tensor] | None,
    figures: dict,
) -> None:
    record = RunRecord(best.candidate.plan, job.data)
    model = build_model(model_config(for_testing(record)))
    backbone = best.extractor.model.backbone.state_dict()
    state = {f"backbone.{name}": tensor.cpu() for name, tensor in backbone.items()}
    state |= {f"cls_head.{name}": tensor.cpu() for name, tensor in head.items()}
    load_state(model, state, job.work_dir / PROBE)
    meta = {
        "metrics": figures,
        "identity": RunRecord(run, job.data).identity,
        ORIGIN: PROBE_ID,
        # The probe's head may differ from the head in the run's plan.
        RECORD_KEY: of_weights(record.to_json()),
    }
    content = {"schema": SCHEMA, "state_dict": model.state_dict(), "meta": meta}
    if of_all is not None:
        content[HEAD_OF_ALL] = {name: tensor.cpu() for name, tensor in of_all.items()}
    write_checkpoint(job.work_dir / PROBE, content)
