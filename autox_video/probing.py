"""The feature leaderboard: which weights suit the data best, and a model that is ready in minutes.

For each file of weights that could be used, and for fixed descriptors, the features of the training
clips are computed once, heads are fitted on them and scored by cross-validation. The best weights
are those that the run starts from; the best of all, with its head on all training clips, is a model
of its own, kept as probe.pth.
"""

import gc
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import autox_video.mm_compat  # noqa: F401

import numpy as np
import torch
from mmengine.config import Config

from autox_video.console import complain, progress, say
from autox_video.dataset.listing import ClipList
from autox_video.engine.checkpoint import (
    CONFIG,
    SCHEMA,
    load_state,
    write_checkpoint,
)
from autox_video.engine.keeper import NEEDED_TO_TEST
from autox_video.errors import AutoXVideoError, CheckpointError, ResourceError
from autox_video.features import crossval, mirroring
from autox_video.features.crossval import LINEAR, ORDERED, Scored
from autox_video.features.extract import Extractor, Features, Reading, targets_of
from autox_video.features.samples import Samples, TooSlowError
from autox_video.features.store import FeatureStore, default_folder
from autox_video.finishing import HEAD_OF_ALL, IN_FOLDS, identity_of
from autox_video.leaderboard import (
    CROSS_VALIDATION,
    VALIDATION,
    Row,
    Trial,
    interval_text,
    read_rows,
    show_leaderboard,
    trial,
)
from autox_video.models.known_weights import find_all
from autox_video.plan.augmentation import GIVEN
from autox_video.plan.backbones import Pretrained
from autox_video.plan.choose import Plan, choose
from autox_video.predict import build_model
from autox_video.prepare import Prepared, groups_of, look_around, weight_folders
from autox_video.recipe import TrainingData, build_config
from autox_video.refit import is_of_use
from autox_video.results import MAIN_SCORES, main_score, main_score_of
from autox_video.run_files import PROBE
from autox_video.scores import score_interval
from autox_video.settings import AUTO, DESCRIPTORS, OFF, Settings
from autox_video.stored_config import config_text

SECONDS = 600.0
"""What the leaderboard may take where training follows and the caller sets no limit."""

SHARE_OF_THE_END = 0.2
"""Of a time limit, that is for the model of the best candidate and the validation clips."""

FEWEST_CLIPS = 10
"""With features of fewer, where time ran out, nothing is said of a candidate."""

PROBE_ID = "probe"
"""The row of the model in probe.pth."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What all candidates have in common."""

    prepared: Prepared
    settings: Settings
    data: TrainingData
    work_dir: Path
    store: FeatureStore
    groups: np.ndarray
    """Of the training clips: those of one group are never on both sides of a division."""
    pools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A plan with its best head."""

    plan: Plan
    reading: Reading
    scored: Scored

    @property
    def is_random(self) -> bool:
        """Whether its features are those of weights that have learnt nothing."""
        return self.plan.pretrained is None and self.plan.backbone != DESCRIPTORS

    def beats(self, other: "_Candidate") -> bool:
        """Whether it is better; random weights never are, beside what is made to describe clips."""
        if self.is_random != other.is_random:
            return other.is_random
        return self.scored.score > other.scored.score


@dataclass(frozen=True, slots=True)
class _Tried:
    """A candidate with its features."""

    candidate: _Candidate
    extractor: Extractor
    samples: Samples


def is_wanted(prepared: Prepared, settings: Settings, *, resuming: bool) -> bool:
    """Whether probes tell anything: where they are the job, or can be compared with training.

    A run that goes on has had its own.
    """
    plan = prepared.plan
    if resuming or plan.mode == "probe":
        return not resuming
    weights = _weights(prepared, settings)
    compared = bool(weights) or _describes(settings)
    return len(weights) > 1 or (compared and plan.evaluation > 0)


def probe_candidates(
    prepared: Prepared,
    settings: Settings,
    data: TrainingData,
    work_dir: Path,
    *,
    seconds: float | None = None,
) -> Prepared:
    """Try every candidate, write the leaderboard and probe.pth; the plan then is of the best one
    that can be trained.

    Args:
        prepared: with the plan of the candidate that the rules would take.
        settings: what the user asked for.
        data: the clips of the run.
        work_dir: of the run.
        seconds: what it may take; None: as long as it needs in `mode: probe`, otherwise 10 min.

    Raises:
        CheckpointError: none of the weights can be used.
        ResourceError: there is too little memory or disk for any.
    """
    probing = prepared.plan.mode == "probe"
    limit = (math.inf if probing else SECONDS) if seconds is None else seconds
    end = time.monotonic() + limit
    enough = end - limit * SHARE_OF_THE_END if math.isfinite(limit) else end
    job = _job(prepared, settings, data, work_dir, probing=probing)
    best, start = _best_of(job, _plans(job), enough)
    if best is None:
        return prepared
    plan = best.candidate.plan if probing else _plan_to_train(job, best.candidate, start)
    _keep(job, best, plan, seconds=end - time.monotonic())
    show_leaderboard(read_rows(work_dir))
    return replace(prepared, plan=plan, probe_view_sec=best.extractor.view_sec())


def _plan_to_train(job: _Job, best: _Candidate, start: _Candidate | None) -> Plan:
    """The plan of the best weights, or that of the rules where there are none."""
    if start is not None:
        return replace(start.plan, head_grid=None)  # training takes the head as published
    plan = job.prepared.plan
    why = f"{plan.reasons['backbone']}; beside it a probe on {best.plan.backbone}, "
    why += f"{_figures(job, best.scored)}: the better one is kept"
    return replace(
        plan,
        flip=best.plan.flip,
        reasons={**plan.reasons, "backbone": why, "flip": best.plan.reasons["flip"]},
        evidence=best.plan.evidence,
    )


def _job(
    prepared: Prepared, settings: Settings, data: TrainingData, work_dir: Path, *, probing: bool
) -> _Job:
    folder = None if settings.cache == OFF else default_folder()
    # Learnt attention takes long, and training follows.
    pools = crossval.POOLS if probing else (LINEAR, ORDERED)
    store = FeatureStore(folder or work_dir / "features")
    groups = groups_of(prepared, prepared.listing.train)
    return _Job(prepared, settings, data, work_dir, store, groups, pools)


def _weights(prepared: Prepared, settings: Settings) -> list[Pretrained]:
    """The files of weights that could be used, the one that the rules would take first."""
    plan = prepared.plan
    if plan.pretrained is None:
        return []
    source = plan.reasons["pretrained"]
    first = Pretrained(plan.pretrained, plan.backbone, source, plan.window_size)
    if settings.load_from != AUTO:
        return [first]
    wanted = None if settings.backbone == AUTO else settings.backbone
    others = find_all(weight_folders(), wanted)
    return [first, *(other for other in others if other.path != first.path)]


def _describes(settings: Settings) -> bool:
    """Whether fixed descriptors are a candidate: where no other backbone and no file is named."""
    return settings.backbone == AUTO and settings.load_from in (AUTO, "none")


def _plans(job: _Job) -> list[Plan]:
    """The plan of each candidate: of each file of weights, of descriptors, of random weights."""
    stats, settings = job.prepared.stats, job.settings
    hardware = look_around(settings)
    weights = _weights(job.prepared, settings)
    plans = [choose(settings, stats, hardware, each) for each in weights]
    if _describes(settings):
        fixed = choose(settings.model_copy(update={"backbone": DESCRIPTORS}), stats, hardware)
        why = "nothing has to be learnt but a head"
        plans.append(replace(fixed, reasons={**fixed.reasons, "backbone": why}))
    # To compare with, or because there is nothing else.
    probing = job.prepared.plan.mode == "probe"
    if not plans or (probing and (settings.load_from == AUTO or not weights)):
        plans.append(choose(settings, stats, hardware, None))
    return plans


def _best_of(
    job: _Job, plans: Sequence[Plan], end: float
) -> tuple[_Tried | None, _Candidate | None]:
    """Try candidates one after the other.

    Gives the best one, None where training has to do without, and the best of those with weights.
    """
    best: _Tried | None = None
    start: _Candidate | None = None
    errors: dict[int, AutoXVideoError] = {}
    probing = job.prepared.plan.mode == "probe"
    for number, plan in enumerate(plans):
        left = (end - time.monotonic()) / (len(plans) - number)
        try:
            tried = _try(job, plan, left)
        except (CheckpointError, ResourceError) as error:
            errors[number] = error
            continue
        if tried is not None:
            one = tried.candidate
            if plan.pretrained is not None and (start is None or one.beats(start)):
                start = one
            if best is None or one.beats(best.candidate):
                best = tried
        del tried
        gc.collect()
    of_weights = [number for number, plan in enumerate(plans) if plan.pretrained is not None]
    needed = range(len(plans)) if probing else of_weights
    if needed and errors.keys() >= set(needed):
        raise errors[needed[0]]
    for error in errors.values():
        complain(f"{error} The leaderboard goes on without it.")
    if best is None and probing:
        raise ResourceError("mode: there was no time for the features of enough clips; give more.")
    if best is not None:
        best = replace(best, candidate=_explained(job, best.candidate, len(plans)))
    return best, start and _explained(job, start, len(of_weights))


def _try(job: _Job, plan: Plan, seconds: float) -> _Tried | None:
    """Extract the features of a candidate and score its heads; None where time ran out."""
    end = time.monotonic() + seconds
    clips = job.prepared.listing.train
    best: _Tried | None = None
    config = build_config(replace(plan, head_grid=None), job.data, str(job.work_dir))
    for pool in job.pools:
        row = Row(_row_id(plan, pool), "probe", plan.backbone, plan.clip_len, plan.resolution)
        with trial(job.work_dir, row) as note:
            if best is None:
                started = time.monotonic()
                extractor = Extractor(config, plan.pretrained, job.store)
                views = 1 + plan.flip
                reading = Reading(extractor.grid(len(clips), views), plan.flip)
                found = _extract(job, extractor, reading, clips, seconds=end - time.monotonic())
                extraction_sec = time.monotonic() - started
                samples = _samples(job, plan, clips, found)
                if not found.complete and len(samples) < max(FEWEST_CLIPS, len(job.data.classes)):
                    note.note(state="partial", config=_about(plan, samples))
                    return None
                plan = _with_flip(job, plan, samples, found, seconds=end - time.monotonic())
                if reading.mirrored and not plan.flip:
                    reading, samples = replace(reading, mirrored=False), samples.first_views()
            scored = _score(job, samples, found, pool, seconds=end - time.monotonic())
            if scored is None:
                note.note(state="stopped", config=_about(plan, samples))
                continue
            _note(note, plan, samples, scored, complete=found.complete)
        if best is None or scored.score > best.candidate.scored.score:
            best = _Tried(_Candidate(plan, reading, scored), extractor, samples)
    say(f"Features of {plan.backbone} took {extraction_sec:.1f} s ({found.computed} clips new).")
    return best


def _with_flip(job: _Job, plan: Plan, samples: Samples, found: Features, *, seconds: float) -> Plan:
    """The plan without mirror images where heads that learn from them, too, are clearly worse."""
    if not plan.flip or GIVEN in plan.reasons["flip"]:
        return plan
    try:
        compared = mirroring.compare(samples, _folds(job, samples, found), seconds=seconds / 2)
    except TooSlowError:
        return plan
    with_images, without = compared.with_images.score, compared.without.score
    figures = f"probes with mirror images {with_images:.4f}, without {without:.4f}"
    why = f"{plan.reasons['flip']}; {figures}"
    if compared.harms:
        why = f"mirror images are of other classes: {figures}"
    alternatives = [{"value": True, "score": with_images}, {"value": False, "score": without}]
    return replace(
        plan,
        flip=not compared.harms,
        reasons={**plan.reasons, "flip": why},
        evidence={**plan.evidence, "flip": {"alternatives": alternatives}},
    )


def _row_id(plan: Plan, pool: str) -> str:
    weights = "random" if plan.pretrained is None else Path(plan.pretrained).stem
    return f"{pool}-{plan.backbone}-{weights}-{plan.clip_len}x{plan.resolution}"


def _about(plan: Plan, samples: Samples) -> dict[str, Any]:
    weights = None if plan.pretrained is None else Path(plan.pretrained).name
    return {"weights": weights, "clips": len(samples)}


def _note(note: Trial, plan: Plan, samples: Samples, scored: Scored, *, complete: bool) -> None:
    note.note(
        config={**_about(plan, samples), **scored.setting.as_dict()},
        score=scored.score,
        low=scored.low,
        high=scored.high,
        scored_on=CROSS_VALIDATION,
        state="done" if complete else "partial",
    )


def _extract(
    job: _Job, extractor: Extractor, reading: Reading, clips: ClipList, *, seconds: float = math.inf
) -> Features:
    with progress(f"Features of {extractor.config.experiment_name}", len(clips)) as show:
        return extractor.extract(
            clips,
            job.data.data_root,
            reading,
            seconds=seconds,
            workers=job.prepared.plan.workers,
            on_done=show,
        )


def _samples(job: _Job, plan: Plan, clips: ClipList, found: Features) -> Samples:
    if not np.isfinite(found.tokens).all():
        raise CheckpointError(
            f"{plan.pretrained}: the features that its weights give are no numbers; get it again."
        )
    targets = targets_of(clips, found.positions, len(job.data.classes))
    tokens = torch.from_numpy(np.ascontiguousarray(found.tokens))
    return Samples(
        tokens.to(plan.device),
        torch.from_numpy(targets).to(plan.device),
        job.data.multi_label,
        job.prepared.plan.class_balance,
    )


def _score(
    job: _Job, samples: Samples, found: Features, pool: str, *, seconds: float
) -> Scored | None:
    try:
        return crossval.cross_validate(samples, pool, _folds(job, samples, found), seconds=seconds)
    except TooSlowError:
        return None


def _folds(job: _Job, samples: Samples, found: Features) -> np.ndarray:
    groups = job.groups[found.positions]
    return crossval.make_folds(samples, groups, seed=job.prepared.plan.seed)


def _figures(job: _Job, scored: Scored) -> str:
    balanced = job.prepared.plan.class_balance
    name = MAIN_SCORES[main_score_of(multi_label=job.data.multi_label, balanced=balanced)]
    interval = interval_text(scored.low, scored.high)
    return f"{name} {scored.score:.4f} ({interval}) in cross-validation"


def _explained(job: _Job, best: _Candidate, count: int) -> _Candidate:
    """The winner, its plan with the figures for it."""
    plan, scored = best.plan, best.scored
    why = f"probe {_figures(job, scored)}"
    if count > 1:
        others = [r for r in read_rows(job.work_dir) if r.scored_on == CROSS_VALIDATION]
        mine = {_row_id(plan, pool) for pool in crossval.POOLS}
        rest = [f"{r.id} {r.score:.4f}" for r in others if r.id not in mine]
        why += f", the best of {count} candidates; others: {', '.join(rest)}"
    grid, reasons = None, dict(plan.reasons)
    for field in ("backbone", "pretrained"):
        reasons[field] = f"{reasons[field]}; {why}"
    if scored.setting.pool != LINEAR:
        grid = best.reading.grid
        if plan.mode == "probe":
            reasons["head_grid"] = f"parts of the clip are looked at: {why}"
    return replace(best, plan=replace(plan, head_grid=grid, reasons=reasons))


def _keep(job: _Job, best: _Tried, run: Plan, *, seconds: float) -> None:
    """Fit the best head on all training clips, measure it on the validation clips, write it.

    Where there is no time for all of these, it cannot be compared with what training gives.

    Args:
        job: what all candidates have in common.
        best: the candidate.
        run: the plan of the run that it belongs to.
        seconds: what it may take.
    """
    plan, settings = best.candidate.plan, best.candidate.scored.setting
    clips = job.prepared.listing.val
    refits = is_of_use(job.settings, run, len(clips))
    reading = best.candidate.reading
    row = Row(PROBE_ID, "probe", plan.backbone, plan.clip_len, plan.resolution)
    with trial(job.work_dir, row) as note:
        head = crossval.fit_on_all(best.samples, settings)
        # To be measured, one view is enough.
        reading = replace(reading, mirrored=reading.mirrored and refits)
        found = _extract(job, best.extractor, reading, clips, seconds=seconds)
        if not found.positions or not (found.complete or plan.mode == "probe"):
            note.note(state="partial" if found.positions else "failed")
            return
        unseen = _samples(job, plan, clips, found)
        figures = crossval.measure(unseen, head)
        low, high = score_interval(figures)
        about = {**_about(plan, best.samples), **settings.as_dict()}
        score = figures[main_score(figures)]
        note.note(config=about, score=score, low=low, high=high, scored_on=VALIDATION)
        of_all = None
        if refits:
            of_all = crossval.fit_on_all(best.samples.with_those_of(unseen), settings).state()
        _write(job, best, run, head.state(), of_all, {**figures, "epoch": 0})


def _write(
    job: _Job,
    best: _Tried,
    run: Plan,
    head: dict[str, torch.Tensor],
    of_all: dict[str, torch.Tensor] | None,
    figures: dict,
) -> None:
    config = build_config(best.candidate.plan, job.data, str(job.work_dir))
    config.model.backbone.compile = False
    model = build_model(config)
    backbone = best.extractor.model.backbone.state_dict()
    state = {f"backbone.{name}": tensor.cpu() for name, tensor in backbone.items()}
    state |= {f"cls_head.{name}": tensor.cpu() for name, tensor in head.items()}
    load_state(model, state, job.work_dir / PROBE)
    meta = {
        "metrics": figures,
        IN_FOLDS: best.candidate.scored.score,
        "identity": identity_of(build_config(run, job.data, str(job.work_dir))),
        "decoder": run.decoder,
    }
    # Its head may be another than that of the run whose best weights these become.
    meta[CONFIG] = config_text(Config({key: config[key] for key in NEEDED_TO_TEST}))
    content = {"schema": SCHEMA, "state_dict": model.state_dict(), "meta": meta}
    if of_all is not None:
        content[HEAD_OF_ALL] = {name: tensor.cpu() for name, tensor in of_all.items()}
    write_checkpoint(job.work_dir / PROBE, content)
