"""Prepare the work dir, the clips and the plan for training, without importing torch."""

import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.automl.clip_review import readable_listing, say_equal
from autox_video.automl.fetched_weights import Terms
from autox_video.automl.repeat import data_keys, with_plan
from autox_video.automl.run_data import (
    begin_run,
    lists_of_run,
    notes_on_reading,
    split_as_begun,
)
from autox_video.automl.starting_weights import (
    clips_of_weights,
    find_weights,
    head_rows,
    say_seen,
    weights_to_resume,
)
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import complain, progress, say, short_path, table, warn_of
from autox_video.core.errors import CheckpointError, ResourceError
from autox_video.core.files import write_text
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.demo import demo_clips, demo_is_complete, make_demo
from autox_video.data.inspection.dataset_stats import summarize
from autox_video.data.inspection.facts_cache import default_cache_path
from autox_video.data.inspection.inspected_listing import inspect_listing, shared_recordings
from autox_video.data.listing.listing import Listing, read_listing, split_listing
from autox_video.data.splitting import changes
from autox_video.data.splitting.known_clips import KnownClips, known_clips
from autox_video.data.splitting.recordings import kept_together
from autox_video.distributed import processes
from autox_video.machine.hardware import (
    Hardware,
    detect,
    device_to_find,
    make_cublas_deterministic,
    usable_cores,
)
from autox_video.planning.draft import Basis
from autox_video.planning.plan import Plan, choose
from autox_video.planning.record import WAYS_ON, RunRecord, TrainingData, read_record
from autox_video.planning.resume import compare, resume
from autox_video.run.work_dir import UNREADABLE, is_for_plan
from autox_video.tasks.task import CLASSIFICATION, TASKS, task_of
from autox_video.video.files.remote import full_root
from autox_video.video.open_video import check_decoder

NAMED_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that training needs."""

    plan: Plan
    basis: Basis
    """What the plan is based on: the settings, the clip statistics, the hardware and the
    weights."""
    listing: Listing
    """The clips that the run uses, as listed in train.csv and val.csv in its work dir."""
    inspected: Listing
    """All clips that are currently listed, with their inspection results."""
    data: TrainingData
    """Description of the clips, as stored in the run record."""
    lists: Mapping[str, Any]
    """Entries of the run record that describe the clip lists and the skipped clips."""
    listed: Listing
    """The clips as the user listed them, inspected but not split."""
    stored: RunRecord | None = None
    """The stored record of the run being resumed; None for a new run."""
    probe_view_sec: float = 0.0
    """Total time that the saved probes take per view, in seconds; 0 if there are no probes."""


def prepare(settings: Settings, *, resuming: bool) -> Prepared:
    """Check the work dir, the clip lists and every clip, and make all planning choices.

    A resumed run keeps its clips and its choices, except for choices that the user changes.

    Raises:
        AutoXVideoError: there is a problem that the user can fix.
    """
    work_dir = Path(settings.work_dir)
    check_work_dir(work_dir)
    check_decoder(settings.decoder)
    stored = read_record(work_dir) if resuming else None
    listing = read_data(settings)
    warn_of(listing.notes)
    inspected = inspect(listing, workers=settings.workers, remote_cache=settings.remote_cache)
    task = task_of(inspected.train, str(inspected.data_root), settings.task)
    listed = task.labelled_clips(inspected)
    inspected = task.training_clips(listed)
    weights = None
    if stored is None:
        weights = clips_of_weights(settings.load_from, settings.data_root)
        inspected = split_listing(_with_sides_of(weights, inspected))
    else:
        inspected = _split_as_begun(work_dir, stored, listing, inspected, settings)
    notes = inspected.notes[len(listing.notes) :]
    warn_of([*notes, *say_equal(inspected), *shared_recordings(inspected)])
    tables = {} if stored is None else _clips_as_begun(work_dir, stored, inspected)
    _report_unreadable(inspected, work_dir, strict=settings.strict)
    _report_odd(inspected)
    readable = readable_listing(inspected, strict=settings.strict)
    hardware = look_around(settings.device, settings.gpus, deterministic=settings.deterministic)
    stats = summarize(inspected, task.name)
    if (clip_seconds := task.clip_seconds(listed)) is not None:
        stats = replace(stats, seconds_median=clip_seconds)
    basis = Basis(settings, stats, hardware)
    terms = Terms.of(settings, hardware.device)
    if stored is None:
        found = find_weights(settings.load_from, settings.backbone, terms)
        basis = replace(basis, weights=found)
        basis, notes = with_plan(basis)
        for sentence in notes:
            say(sentence)
        plan = choose(basis)
        check_decoder(plan.decoder)
        data, lists = begin_run(work_dir, inspected, readable, task.name, settings.remote_cache)
        known = _rows_of_known(weights, inspected, settings)
        data = replace(data, head_rows=known, sources=data_keys(settings))
        return Prepared(plan, basis, readable, inspected, data, lists, listed)
    start = weights_to_resume(stored.plan.weights, settings.load_from, settings.backbone, terms)
    basis = replace(basis, weights=start)
    plan = resume(stored.plan, basis)
    refused, notes = compare(stored.plan, plan)
    _refuse(work_dir, refused)
    for sentence in notes:
        say(sentence)
    listing = replace(inspected, classes=stored.data.classes, **tables)
    root = full_root(settings.data_root)
    data = replace(stored.data, data_root=root, remote_cache=settings.remote_cache)
    return Prepared(plan, basis, listing, inspected, data, stored.lists, listed, stored)


def _split_as_begun(
    work_dir: Path, stored: RunRecord, listing: Listing, inspected: Listing, settings: Settings
) -> Listing:
    """Return the inspected listing with the run's split, leaving out clips added later."""
    split = split_as_begun(work_dir, stored, inspected)
    if sum(map(len, split.splits.values())) == sum(map(len, inspected.splits.values())):
        return split
    # New clips can link recordings and thus change the groups of old clips, so they are left out.
    known = replace(split, notes=listing.notes)
    return inspect(known, workers=settings.workers, remote_cache=settings.remote_cache)


def _rows_of_known(
    weights: KnownClips | None, listing: Listing, settings: Settings
) -> tuple[int, ...]:
    """Return `TrainingData.head_rows`, and tell the user which clips the weights have seen."""
    if weights is None:
        return ()
    now = known_clips(listing.splits, listing.classes, listing.data_root)
    since = changes.compare(weights, now)
    notes = say_seen(since, probes=settings.only_probes)
    warn_of(notes)
    return head_rows(since) if notes else ()


def _with_sides_of(weights: KnownClips | None, listing: Listing) -> Listing:
    """Return the listing, modified to reuse the split that the weights were trained with."""
    how = listing.split_request
    if weights is None or how is None:
        return listing
    return replace(listing, split_request=replace(how, stored=None, weights=weights))


def _clips_as_begun(work_dir: Path, stored: RunRecord, listing: Listing) -> dict[str, ClipTable]:
    """Return the clip lists that a run began with; warn about clips that can no longer be read."""
    tables, root = lists_of_run(work_dir, stored.lists, listing), full_root(str(listing.data_root))
    warn_of(notes_on_reading(listing, stored.lists, tables))
    if stored.data.data_root != root:
        complain(
            f"data_root: the run began with clips from {stored.data.data_root}, and resumes with "
            f"clips from {root}. If they are not the same clips, use --fresh or another work_dir."
        )
    return tables


def _refuse(work_dir: Path, differences: Sequence[str]) -> None:
    """Raise CheckpointError if the plan of the run in the work dir differs from the new plan."""
    if differences:
        spelled_out = "; ".join(differences)
        raise CheckpointError(
            f"work_dir: {work_dir} holds a run with other choices: {spelled_out}. {WAYS_ON}"
        )


def look_around(device: str, gpus: Any, *, deterministic: bool) -> Hardware:
    """Detect this machine's hardware and the number of training processes."""
    me = processes.current()
    if deterministic:
        make_cublas_deterministic()  # planning runs the model
    machine = detect(device_to_find(device, gpus))
    return replace(machine, processes=me.size, local_processes=me.local_size)


def read_data(settings: Settings) -> Listing:
    """Read the clip lists, generating the demo data set first if the config uses it.

    Raises:
        ListingError: the lists are unusable; the error lists every problem found.
    """
    if settings.demo:
        ensure_demo(Path(settings.data_root).parent)
    if settings.task not in (AUTO, CLASSIFICATION):
        label_sets = TASKS[settings.task].has_label_sets
        settings = settings.model_copy(update={"multi_label": label_sets})
    return read_listing(settings)


def ensure_demo(root: Path) -> None:
    """Generate the demo data set if it does not exist."""
    if demo_is_complete(root):
        return
    with progress(f"Making the demo data set in {short_path(root)}", len(demo_clips())) as show:
        make_demo(root, on_done=lambda done, _total: show(done))
    say(f"Made the demo data set in {short_path(root)}: {len(demo_clips())} clips.")


def check_work_dir(folder: Path) -> None:
    """Create the work dir; raise ResourceError if it is not writable."""
    check_writable("work_dir", folder)


def check_writable(key: str, folder: Path) -> None:
    """Create the folder set by the config key `key`; raise ResourceError if it is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResourceError(
            f"{key}: {folder.absolute()} cannot be written ({error.strerror}); choose another "
            "folder."
        ) from error


def inspect(listing: Listing, *, workers: int | str, remote_cache: str) -> Listing:
    """Inspect every listed clip and show progress; the keyword arguments match config keys."""
    count = usable_cores() if workers == AUTO else max(workers, 1)
    with progress("Inspecting clips", sum(map(len, listing.splits.values()))) as show:
        return inspect_listing(
            listing,
            default_cache_path(),
            workers=count,
            remote_cache=remote_cache,
            on_done=show,
            on_note=complain,
        )


def groups_of(prepared: Prepared, clips: ClipTable) -> np.ndarray:
    """Return the group of each given clip; a split never divides a group."""
    root = prepared.listing.data_root
    listed = prepared.inspected.train.with_those_of(prepared.inspected.val)
    labels = kept_together(listed.recordings, listed.paths, listed.rarest_classes())
    known = dict(zip(listed.identities(root), labels.tolist(), strict=True))
    return np.array([known.get(clip, -1 - i) for i, clip in enumerate(clips.identities(root))])


def _report_unreadable(listing: Listing, work_dir: Path, *, strict: bool) -> None:
    rows = [
        (clips.paths[row], clips.facts[row].error)
        for clips in listing.splits.values()
        for row in clips.unreadable()
    ]
    rows = list(dict(rows).items())
    if not rows:
        return
    title = f"{counted(len(rows), 'clip')} cannot be read"
    table(title, ("clip", "reason"), rows[:NAMED_AT_MOST], detail=True)
    what = "strict: true refuses them" if strict else "skipped"
    where = "`autox-video check` lists them all"
    if not is_for_plan(work_dir):
        text = io.StringIO()
        csv.writer(text).writerows([("path", "reason"), *rows])
        write_text(work_dir / UNREADABLE, text.getvalue())
        where = f"see {short_path(work_dir / UNREADABLE)}"
    path, reason = rows[0]
    complain(f"{title} ({what}), such as {path}: {reason.rstrip('.')}; {where}.")


def _report_odd(listing: Listing) -> None:
    odd = {
        path: fact.odd
        for clips in listing.splits.values()
        for path, fact in zip(clips.paths, clips.facts, strict=True)
        if fact.odd
    }
    warn_of(f"Unusual clip, used anyway: {path}: {what}" for path, what in odd.items())
