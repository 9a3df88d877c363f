"""Fit the best probes on all training clips, and save them as models.

The best probe is saved in probe.pth. An ensemble may also use the runners-up, which are saved in
separate files. Each file also contains its probe's predictions for clips that the probe was not
fitted on.

Shape letters: R repeats, n clips, K classes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autox_video.automl.ensembles.unseen_outputs import Unseen, stored
from autox_video.automl.finishing import HEAD_OF_ALL, PROBE_ID
from autox_video.automl.leaderboard import OpenRow, open_row, row_of
from autox_video.automl.probing import crossval
from autox_video.automl.probing.candidates import (
    Candidate,
    Job,
    Tried,
    about_samples,
    extract,
    row_id,
    samples_of,
)
from autox_video.automl.probing.extract import Extractor, Features
from autox_video.automl.search.refit import can_refit
from autox_video.config.settings import OFF
from autox_video.evaluation.predict import build_model, for_testing
from autox_video.metrics.headline import cross_validated, row_fields
from autox_video.planning.plan import Plan
from autox_video.planning.record import RunRecord
from autox_video.run.work_dir import PROBE, PROBES
from autox_video.training.checkpoints.checkpoint import (
    ORIGIN,
    RECORD_KEY,
    SCHEMA,
    load_state,
    write_checkpoint,
)
from autox_video.training.checkpoints.model_record import model_record
from autox_video.training.config.build_config import build_config, model_config


def keep_probes(
    job: Job, best: Tried, others: Sequence[Candidate], run: Plan, *, seconds: float
) -> float:
    """Save the best probe and, for an ensemble, the runners-up.

    Args:
        job: the data and the folders.
        best: the best candidate.
        others: the other candidates, best first.
        run: the plan of the run that the probes belong to.
        seconds: time limit; if it has passed, the runners-up are left out.

    Returns:
        The total time that the saved probes take per view, in seconds.
    """
    end = time.monotonic() + seconds
    for file in PROBES:
        (job.work_dir / file).unlink(missing_ok=True)
    with open_row(job.work_dir, row_of(PROBE_ID, "probe", best.candidate.plan)) as note:
        _keep(job, best, run, PROBE, seconds, note)
    view_sec = best.extractor.view_sec()
    if job.prepared.basis.settings.ensemble == OFF or not (job.work_dir / PROBE).is_file():
        return view_sec
    files = iter(PROBES[1:])
    for one in (one for one in others if not one.is_random):
        left, file = end - time.monotonic(), next(files, None)
        if file is None or left <= 0:
            break
        tried = _again(job, one, left)
        if tried is not None and _keep(job, tried, run, file, end - time.monotonic()):
            view_sec += tried.extractor.view_sec()
    return view_sec


def _again(job: Job, candidate: Candidate, seconds: float) -> Tried | None:
    """Return a scored candidate with its features; None if the features have changed."""
    plan = replace(candidate.plan.for_probe(), head_grid=None, compile=False)
    config = build_config(RunRecord(plan, job.data), job.work_dir)
    extractor = Extractor(config, plan.pretrained, job.store)
    clips = job.prepared.listing.train
    found = extract(job, extractor, candidate.reading, clips, seconds=seconds)
    if tuple(found.positions) != candidate.positions:
        return None
    return Tried(candidate, extractor, samples_of(job, plan, clips, found))


def _keep(
    job: Job, one: Tried, run: Plan, file: str, seconds: float, note: OpenRow | None = None
) -> bool:
    """Fit a head on all training clips, validate it, and save it; return whether it was saved.

    If training follows and not all validation clips can be scored in time, nothing is saved.

    Args:
        job: the data and the folders.
        one: the candidate.
        run: the plan of the run that the probe belongs to.
        file: name of the file in the work dir.
        seconds: time limit.
        note: the probe's leaderboard row, if any.
    """
    plan, scored, clips = one.candidate.plan, one.candidate.scored, job.prepared.listing.val
    refits = can_refit(job.prepared, run)
    head = crossval.fit_on_all(one.samples, scored.setting)
    reading = one.candidate.reading
    if not refits:  # scoring uses a single view
        reading = replace(reading, flipped=False, zoomed=False)
    found = extract(job, one.extractor, reading, clips, seconds=seconds)
    if not found.positions or not (found.complete or plan.mode == "probe"):
        if note is not None:
            note.note(state="partial" if found.positions else "failed")
        return False
    unseen = samples_of(job, plan, clips, found)
    figures = {
        **crossval.measure(unseen, head, scored.in_folds),
        **cross_validated(scored.score, scored.low, scored.high, len(one.samples)),
    }
    if note is not None:
        about = {**about_samples(plan, one.samples), **scored.setting.as_dict()}
        note.note(**row_fields(figures, about))
    of_all = None
    if refits:
        of_all = crossval.fit_on_all(one.samples.with_those_of(unseen), scored.setting).state()
    outputs = _unseen_outputs(one, crossval.logits_of(unseen, head), found)
    _write(job, one, run, file, _Fitted(head.state(), of_all, outputs, {**figures, "epoch": 0}))
    return True


def _unseen_outputs(one: Tried, logits: np.ndarray, val: Features) -> dict[str, Unseen]:
    """Return out-of-fold outputs for the training clips, and outputs for the validation clips."""
    candidate, task = one.candidate, one.samples.task

    def outputs(values: np.ndarray) -> np.ndarray:
        flat = torch.from_numpy(values).flatten(0, -2)
        return task.outputs(flat, 1).numpy().reshape(values.shape)

    return {
        "train": Unseen(np.array(candidate.positions), outputs(candidate.scored.unseen)),
        "val": Unseen(np.array(val.positions), outputs(logits[None])),
    }


@dataclass(frozen=True, slots=True)
class _Fitted:
    """The heads, predictions and metrics of a probe."""

    head: dict[str, Tensor]
    of_all: dict[str, Tensor] | None
    """The head that was refit on training and validation clips."""
    unseen: dict[str, Unseen]
    figures: dict[str, Any]


def _write(job: Job, one: Tried, run: Plan, file: str, fitted: _Fitted) -> None:
    record = RunRecord(one.candidate.plan.for_probe(), job.data)
    model = build_model(model_config(for_testing(record)))
    backbone = one.extractor.model.backbone.state_dict()
    state = {f"backbone.{name}": tensor.cpu() for name, tensor in backbone.items()}
    state |= {f"cls_head.{name}": tensor.cpu() for name, tensor in fitted.head.items()}
    load_state(model, state, job.work_dir / file)
    scored = one.candidate.scored
    meta = {
        "metrics": fitted.figures,
        "identity": RunRecord(run, job.data).identity,
        ORIGIN: PROBE_ID if file == PROBE else row_id(one.candidate.plan, scored.setting.pool),
        # The probe's head may differ from the head in the run's plan.
        RECORD_KEY: model_record(record.to_json()),
    }
    content = {"schema": SCHEMA, "state_dict": model.state_dict(), "meta": meta}
    if fitted.of_all is not None:
        content[HEAD_OF_ALL] = {name: tensor.cpu() for name, tensor in fitted.of_all.items()}
    write_checkpoint(job.work_dir / file, content | stored(fitted.unseen))
