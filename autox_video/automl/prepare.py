"""Everything before training: the work dir, the clips, the plan. Imports no torch by itself."""

import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.automl.clip_review import readable_listing, say_equal
from autox_video.automl.run_data import (
    begin_run,
    compare_clips,
    listing_fingerprint,
    lists_of_run,
    notes_on_reading,
)
from autox_video.automl.starting_weights import find_weights, weights_to_resume
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import progress, say, table
from autox_video.core.errors import CheckpointError, ResourceError
from autox_video.core.files import write_text
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.demo import demo_clips, demo_is_complete, make_demo
from autox_video.data.inspection.dataset_stats import summarize
from autox_video.data.inspection.facts_cache import default_cache_path
from autox_video.data.inspection.inspected_listing import inspect_listing, shared_recordings
from autox_video.data.listing.listing import Listing, divide_listing, read_listing
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
from autox_video.tasks.task import TASKS, task_of
from autox_video.video.files.remote import full_root
from autox_video.video.open_video import check_decoder

NAMED_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Prepared:
    """What training starts from."""

    plan: Plan
    basis: Basis
    """What the plan rests on: what the user asked for, the clips as they can be read now, ..."""
    listing: Listing
    """The clips that the run learns from; WORK_DIR/train.csv and val.csv hold them."""
    inspected: Listing
    """All that is listed now, with what is known of each clip."""
    data: TrainingData
    """The same as the record of the run names them."""
    lists: Mapping[str, Any]
    """What that says of the lists, and of the clips that are left out."""
    stored: RunRecord | None = None
    """The record of a run that is resumed, as it is."""
    probe_view_sec: float = 0.0
    """What the model of probe.pth takes for a view; 0: there is none."""


def prepare(settings: Settings, *, resuming: bool) -> Prepared:
    """Check the work dir, the lists and every clip, then make every choice.

    A run that the work dir holds, and that is to be resumed, keeps its clips, and its choices where
    the user asks for nothing else.

    Raises:
        AutoXVideoError: something that the user can mend.
    """
    work_dir = Path(settings.work_dir)
    check_work_dir(work_dir)
    check_decoder(settings.decoder)
    stored = None
    if resuming:
        stored = read_record(work_dir)
    listing = read_data(settings)
    inspected = divide_listing(
        inspect(listing, workers=settings.workers, remote_cache=settings.remote_cache)
    )
    notes = [*inspected.notes[len(listing.notes) :], *say_equal(inspected)]
    _say_all([*notes, *shared_recordings(inspected)])
    tables = {} if stored is None else _same_clips(work_dir, stored, inspected)
    _report_unreadable(inspected, work_dir, strict=settings.strict)
    _report_odd(inspected)
    readable = readable_listing(inspected, strict=settings.strict)
    hardware = look_around(settings.device, settings.gpus, deterministic=settings.deterministic)
    stats = summarize(inspected, task_of(inspected.train.labels, settings.task))
    basis = Basis(settings, stats, hardware)
    if stored is None:
        basis = replace(basis, weights=find_weights(settings.load_from, settings.backbone))
        plan, task = choose(basis), basis.stats.task
        data, lists = begin_run(work_dir, inspected, readable, task, settings.remote_cache)
        return Prepared(plan, basis, readable, inspected, data, lists)
    weights = weights_to_resume(stored.plan.weights, settings.load_from, settings.backbone)
    basis = replace(basis, weights=weights)
    plan = resume(stored.plan, basis)
    refused, notes = compare(stored.plan, plan)
    _refuse(work_dir, "choices", refused)
    _say_all(notes)
    listing = replace(inspected, classes=stored.data.classes, **tables)
    root = full_root(settings.data_root)
    data = replace(stored.data, data_root=root, remote_cache=settings.remote_cache)
    return Prepared(plan, basis, listing, inspected, data, stored.lists, stored)


def _same_clips(work_dir: Path, stored: RunRecord, listing: Listing) -> dict[str, ClipTable]:
    """The lists that a run began with.

    Raises:
        CheckpointError: other clips or classes are listed now.
    """
    tables, root = lists_of_run(work_dir, stored.lists, listing), full_root(str(listing.data_root))
    if listing_fingerprint(listing) != stored.data.fingerprint:
        _refuse(work_dir, "data", compare_clips(listing, stored, tables))
    _say_all(notes_on_reading(listing, stored.lists, tables))
    if stored.data.data_root != root:
        say(
            f"data_root: the run began with the clips of {stored.data.data_root}, and resumes with "
            f"those of {root}. Where they are not the same clips, moved, use --fresh or another "
            "work_dir."
        )
    return tables


def _say_all(notes: Sequence[str]) -> None:
    for note in notes:
        say(note)


def _refuse(work_dir: Path, what: str, differences: Sequence[str]) -> None:
    """Raise CheckpointError if the run in the work dir is of other data or choices."""
    if differences:
        spelled_out = "; ".join(differences)
        raise CheckpointError(
            f"work_dir: {work_dir} holds a run with other {what}: {spelled_out}. {WAYS_ON}"
        )


def look_around(device: str, gpus: Any, *, deterministic: bool) -> Hardware:
    """What there is to train with: this machine, and the processes that share the work."""
    me = processes.current()
    if deterministic:
        make_cublas_deterministic()  # planning tries the model
    machine = detect(device_to_find(device, gpus))
    return replace(machine, processes=me.size, local_processes=me.local_size)


def read_data(settings: Settings) -> Listing:
    """Make the demo where it is asked for, read the lists, and show what there is to say of them.

    Raises:
        ListingError: with every problem that was found.
    """
    if settings.demo:
        ensure_demo(Path(settings.data_root).parent)
    if settings.task != AUTO:
        label_sets = TASKS[settings.task].has_label_sets
        settings = settings.model_copy(update={"multi_label": label_sets})
    listing = read_listing(settings)
    _say_all(listing.notes)
    return listing


def ensure_demo(root: Path) -> None:
    """Make the demo data set where it is not there."""
    if demo_is_complete(root):
        return
    with progress(f"Making the demo data set in {root}", len(demo_clips())) as show:
        make_demo(root, on_done=lambda done, _total: show(done))


def check_work_dir(folder: Path) -> None:
    """Make the work dir; raises ResourceError where it cannot be written."""
    check_writable("work_dir", folder)


def check_writable(key: str, folder: Path) -> None:
    """Make a folder that the config's `key` names; raises ResourceError if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResourceError(
            f"{key}: {folder.absolute()} cannot be written ({error.strerror}); give another."
        ) from error


def inspect(listing: Listing, *, workers: int | str, remote_cache: str) -> Listing:
    """Open every listed clip once, and show how far that is; the others are keys of the config."""
    count = usable_cores() if workers == AUTO else max(workers, 1)
    with progress("Opening every clip once", sum(map(len, listing.splits.values()))) as show:
        return inspect_listing(
            listing,
            default_cache_path(),
            workers=count,
            remote_cache=remote_cache,
            on_done=show,
            on_note=say,
        )


def groups_of(prepared: Prepared, clips: ClipTable) -> np.ndarray:
    """Label clips of a run by what they belong to, as in `groups`, as far as it is known."""
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
    table(f"{len(rows)} clips cannot be read", ("clip", "reason"), rows[:NAMED_AT_MOST])
    what = "strict is set" if strict else "They are skipped"
    if is_for_plan(work_dir):
        say(f"{what}.")
        return
    text = io.StringIO()
    csv.writer(text).writerows([("path", "reason"), *rows])
    write_text(work_dir / UNREADABLE, text.getvalue())
    say(f"{what}; {work_dir / UNREADABLE} names them all.")


def _report_odd(listing: Listing) -> None:
    odd = {
        path: fact.odd
        for clips in listing.splits.values()
        for path, fact in zip(clips.paths, clips.facts, strict=True)
        if fact.odd
    }
    if odd:
        title = f"{counted(len(odd), 'odd clip')}, used as it says here"
        table(title, ("clip", "what"), list(odd.items())[:NAMED_AT_MOST])
