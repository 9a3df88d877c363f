"""Extract features for each feature leaderboard candidate, and score heads on the features."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autox_video.automl.leaderboard import OpenRow, open_row, row_of
from autox_video.automl.prepare import Prepared
from autox_video.automl.probing import crossval, flip_comparison
from autox_video.automl.probing.crossval import LINEAR, Scored
from autox_video.automl.probing.extract import Extractor, Features, Reading
from autox_video.automl.probing.feature_store import FeatureStore
from autox_video.automl.probing.samples import Samples, TooSlowError
from autox_video.config.choices import BACKBONES
from autox_video.core.console import progress, say_detail, working_on
from autox_video.core.errors import CheckpointError
from autox_video.data.clip_table import ClipTable
from autox_video.data.label_array import class_rows
from autox_video.distributed.processes import local_device
from autox_video.metrics.intervals import CROSS_VALIDATION, score_text
from autox_video.planning.choice import PROBE, Choice
from autox_video.planning.plan import Plan
from autox_video.planning.record import RunRecord, TrainingData
from autox_video.tasks.task import TASKS
from autox_video.training.config.build_config import build_config

SMALLEST_SHARE = 0.25
"""Share of the clips that must fit in the time limit for a candidate to be tried."""
FEW_CLIPS, ZOOMING_SHARE = 500, 0.5
"""Largest number of clips for which pretrained features are also extracted from enlarged views, and
largest share of the time limit that extracting all views may take."""
LONG_SEC = 20.0
"""Extraction time, in seconds, above which candidates are first compared on a subset of clips."""
SURE = 2.5
"""Deficit, in standard errors, above which a candidate compared on a subset is abandoned."""
FEWEST_CLIPS = 10
"""Smallest number of clips that must have features for a candidate to be scored."""


@dataclass(frozen=True, slots=True)
class Job:
    """The data and folders shared by all candidates."""

    prepared: Prepared
    data: TrainingData
    work_dir: Path
    store: FeatureStore
    groups: np.ndarray
    """Group of each training clip; a group is never split across folds."""
    pools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan and the best kind of head for its features."""

    plan: Plan
    reading: Reading
    scored: Scored
    positions: tuple[int, ...]
    """Rows of the training clips that have features and on which `scored` is based."""

    @property
    def is_random(self) -> bool:
        """Whether the features come from random weights."""
        return self.plan.pretrained is None and BACKBONES[self.plan.backbone].learns

    def beats(self, other: "Candidate") -> bool:
        """Return whether this candidate beats `other`; random weights lose to other features."""
        if self.is_random != other.is_random:
            return other.is_random
        return self.scored.score > other.scored.score


@dataclass(frozen=True, slots=True)
class Tried:
    """A scored candidate with its extractor and its features."""

    candidate: Candidate
    extractor: Extractor
    samples: Samples


def try_plan(job: Job, plan: Plan, seconds: float, rival: Tried | None = None) -> Tried | None:
    """Extract a candidate's features and score heads on them.

    Args:
        job: the data and the folders.
        plan: the candidate's plan.
        seconds: time limit.
        rival: the best candidate so far.

    Returns:
        None if a speed measurement shows that there is too little time, or if the candidate is
        clearly worse than `rival` on a subset of the clips.
    """
    end = time.monotonic() + seconds
    best: Tried | None = None
    taken: _Taken | None = None
    for pool in job.pools:
        with open_row(job.work_dir, row_of(row_id(plan, pool), "probe", plan)) as note:
            if taken is None:
                taken = _take(job, plan, note, seconds, rival)
                if taken is None:
                    return None
                left = end - time.monotonic()
                plan, known = _with_flip(job, plan, taken.samples, taken.found, seconds=left)
                taken = taken if plan.flip else taken.without_flips()
            samples, found = taken.samples, taken.found
            scored = known if pool == LINEAR else None
            scored = scored or _score(job, samples, found, pool, seconds=end - time.monotonic())
            if scored is None:
                note.note(state="stopped", config=about_samples(plan, samples))
                continue
            _note(note, plan, samples, scored, complete=found.complete)
        if best is None or scored.score > best.candidate.scored.score:
            one = Candidate(plan, taken.reading, scored, tuple(found.positions))
            best = Tried(one, taken.extractor, samples)
    return best


@dataclass(frozen=True, slots=True)
class _Taken:
    """A candidate's features, and how they were extracted."""

    extractor: Extractor
    reading: Reading
    found: Features
    samples: Samples

    def without_flips(self) -> "_Taken":
        """Return the features without the flipped views."""
        if not self.reading.flipped:
            return self
        reading = replace(self.reading, flipped=False)
        return replace(self, reading=reading, samples=self.samples.unflipped())


def _take(
    job: Job, plan: Plan, note: OpenRow, seconds: float, rival: Tried | None
) -> _Taken | None:
    """Extract a candidate's features; for the arguments and the result, see `try_plan`."""
    started, clips = time.monotonic(), job.prepared.listing.train
    record = RunRecord(replace(plan.for_probe(), head_grid=None, compile=False), job.data)
    extractor = Extractor(build_config(record, job.work_dir), plan.pretrained, job.store)
    view_sec = extractor.view_sec()
    all_views_sec = 2 * (1 + plan.flip) * len(clips) * view_sec
    zooms = plan.pretrained is not None and len(clips) <= FEW_CLIPS
    reading = Reading((1, 1, 1), plan.flip, zooms and all_views_sec <= ZOOMING_SHARE * seconds)
    reading = replace(reading, grid=extractor.grid(len(clips), reading.views))
    fewest = max(FEWEST_CLIPS, len(job.data.classes))
    enough = max(fewest, round(SMALLEST_SHARE * len(clips)))
    clip_sec = reading.views * view_sec
    new = extractor.count_new(clips, job.data.data_root, reading)
    needed_sec = (new - (len(clips) - enough)) * clip_sec
    if needed_sec > seconds - (time.monotonic() - started):
        say_detail(f"{plan.backbone}: no probe, since {enough} clips would take too long.")
        note.note(state="stopped")
        return None
    if rival is not None and new * clip_sec > LONG_SEC:
        part = np.sort(np.random.default_rng(0).permutation(len(clips))[:enough])
        found = extract(job, extractor, reading, clips.select(part))
        if _loses(job, plan, clips.select(part), part, found, rival):
            say_detail(
                f"{plan.backbone}: clearly worse than {rival.candidate.plan.backbone} on "
                f"{len(part)} clips, so the other clips are left out."
            )
            note.note(state="stopped")
            return None
    left_sec = seconds - (time.monotonic() - started)
    found = extract(job, extractor, reading, clips, seconds=left_sec)
    say_detail(
        f"Extracting features with {plan.backbone} took {time.monotonic() - started:.1f} s "
        f"({found.computed} new clips)."
    )
    samples = samples_of(job, plan, clips, found)
    if not found.complete and len(samples) < fewest:
        note.note(state="partial", config=about_samples(plan, samples))
        return None
    return _Taken(extractor, reading, found, samples)


def _loses(
    job: Job, plan: Plan, clips: ClipTable, part: np.ndarray, found: Features, rival: Tried
) -> bool:
    """Return whether linear heads on a subset of the clips are clearly worse than the rival's.

    Args:
        job: the data and the folders.
        plan: the candidate's plan.
        clips: the clips in the subset.
        part: rows of the training list that form the subset.
        found: the candidate's features for the subset.
        rival: the best candidate so far.
    """
    rows = {row: number for number, row in enumerate(rival.candidate.positions)}
    common = [n for n in found.positions if int(part[n]) in rows]
    if len(common) < FEWEST_CLIPS:
        return False
    mine = samples_of(job, plan, clips, found)
    mine = mine.select([found.positions.index(n) for n in common])
    theirs = rival.samples.select([rows[int(part[n])] for n in common])
    folds = crossval.make_folds(mine, job.groups[part[common]], seed=plan.seed)
    right = [crossval.cross_validate(each, LINEAR, folds).right for each in (mine, theirs)]
    lost = right[1] - right[0]
    return float(lost.mean()) > SURE * float(lost.std()) / math.sqrt(len(lost))


def _with_flip(
    job: Job, plan: Plan, samples: Samples, found: Features, *, seconds: float
) -> tuple[Plan, Scored | None]:
    """Return the plan, with flips turned off if they make linear heads clearly worse.

    Also return the score of the plan's linear heads; None if they have not been scored.
    """
    if not plan.flip or plan.is_given("flip"):
        return plan, None
    try:
        # Time must be left for the other heads.
        with working_on("Comparing heads with and without horizontal flips"):
            folds = _folds(job, samples, found)
            compared = flip_comparison.compare(samples, folds, seconds=seconds / 4)
    except TooSlowError:
        return plan, None
    with_flips, without = compared.with_flips.score, compared.without.score
    shown = [score_text(score, len(samples)) for score in (with_flips, without)]
    figures = f"probes with flips {shown[0]}, without {shown[1]}"
    why = f"{plan.choices['flip'].reason}; {figures}"
    if compared.harms:
        why = f"flipping changes the class: {figures}"
    alternatives = [{"value": True, "score": with_flips}, {"value": False, "score": without}]
    flip = Choice(not compared.harms, PROBE, why, {"alternatives": alternatives})
    plan = plan.with_choices({"flip": flip})
    return plan, compared.without if compared.harms else compared.with_flips


def row_id(plan: Plan, pool: str) -> str:
    """Return the leaderboard id for a plan's features and a kind of head."""
    name, family = plan.backbone, BACKBONES.family_of(plan.backbone)
    if family:  # a name such as timm:resnet18 identifies its weights
        name = name.removeprefix(f"{family}:").rpartition("/")[2]
    elif BACKBONES[name].learns:
        name += f"-{Path(plan.pretrained).stem}" if plan.pretrained else "-random"
    return f"{pool}-{name}-{plan.clip_len}x{plan.resolution}"


def about_samples(plan: Plan, samples: Samples) -> dict[str, Any]:
    """Return the weights and the number of clips, for a leaderboard row's `config`."""
    weights = None if plan.pretrained is None else Path(plan.pretrained).name
    return {"weights": weights, "clips": len(samples)}


def _note(note: OpenRow, plan: Plan, samples: Samples, scored: Scored, *, complete: bool) -> None:
    note.note(
        config={**about_samples(plan, samples), **scored.setting.as_dict()},
        score=scored.score,
        low=scored.low,
        high=scored.high,
        scored_on=CROSS_VALIDATION,
        state="done" if complete else "partial",
    )


def extract(
    job: Job, extractor: Extractor, reading: Reading, clips: ClipTable, *, seconds: float = math.inf
) -> Features:
    """Extract features of clips and show progress.

    Raises:
        ResourceError: there is not enough memory to process one clip.
    """
    with progress(f"Extracting features: {extractor.config.experiment_name}", len(clips)) as show:
        return extractor.extract(
            clips,
            job.data.data_root,
            reading,
            seconds=seconds,
            workers=job.prepared.plan.workers,
            on_done=show,
        )


def samples_of(job: Job, plan: Plan, clips: ClipTable, found: Features) -> Samples:
    """Return the extracted features together with the clips' labels.

    Raises:
        CheckpointError: the features are not finite.
    """
    if not np.isfinite(found.tokens).all():
        raise CheckpointError(
            f"{plan.pretrained}: the weights produce features that are not finite. Download the "
            "file again."
        )
    targets = class_rows([clips.labels[n] for n in found.positions], len(job.data.classes))
    tokens, device = torch.from_numpy(np.ascontiguousarray(found.tokens)), local_device(plan.device)
    return Samples(
        tokens.to(device),
        torch.from_numpy(targets).to(device),
        TASKS[job.data.task],
        job.prepared.plan.class_balance,
    )


def _score(
    job: Job, samples: Samples, found: Features, pool: str, *, seconds: float
) -> Scored | None:
    folds = _folds(job, samples, found)
    try:
        with working_on(f"Cross-validating {pool} heads"):
            return crossval.cross_validate(samples, pool, folds, seconds=seconds)
    except TooSlowError:
        return None


def _folds(job: Job, samples: Samples, found: Features) -> np.ndarray:
    groups = job.groups[found.positions]
    return crossval.make_folds(samples, groups, seed=job.prepared.plan.seed)
