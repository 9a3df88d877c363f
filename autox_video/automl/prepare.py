"""Everything before training: the work dir, the clips, the plan. Imports no torch by itself."""

import csv
import hashlib
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.automl.clip_review import readable_listing, say_equal
from autox_video.automl.run_data import (
    compare,
    left_out,
    list_file,
    lists_of_run,
    notes_on_reading,
    record,
)
from autox_video.backbones.specs import Pretrained
from autox_video.backbones.weights.known_weights import find_pretrained, find_unknown
from autox_video.config.settings import AUTO, DESCRIPTORS, Settings
from autox_video.core.console import progress, say, table
from autox_video.core.durations import duration
from autox_video.core.errors import CheckpointError, ConfigError, ResourceError
from autox_video.core.files import write_text
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.demo import demo_clips, demo_is_complete, make_demo
from autox_video.data.inspection.dataset_stats import DatasetStats, summarize
from autox_video.data.inspection.facts_cache import default_cache_path
from autox_video.data.inspection.inspected_listing import (
    ProbedListing,
    divide_probed,
    probe_listing,
    shared_recordings,
    splits_of,
)
from autox_video.data.listing.listing import Listing, read_listing, write_list
from autox_video.data.splitting.recordings import kept_together
from autox_video.data.splitting.splits import rarest_classes
from autox_video.distributed import processes
from autox_video.machine.hardware import (
    Hardware,
    detect,
    device_to_find,
    make_cublas_deterministic,
    usable_cores,
)
from autox_video.machine.installation import source_tree
from autox_video.planning.plan import Plan, choose
from autox_video.planning.predicted_time import Prediction
from autox_video.planning.record import WAYS_ON, read_plan
from autox_video.planning.resume import (
    continue_plan,
    differences,
    settings_to_go_on,
    weights_of_run,
)
from autox_video.run.work_dir import UNREADABLE, is_for_plan
from autox_video.tasks.task import TASKS, task_of
from autox_video.video.decode import check_decoder
from autox_video.video.files.remote import full_root

NAMED_AT_MOST = 20
BOTTLENECKS = {"decode": "decoding the clips", "compute": "computing the model"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What training starts from."""

    plan: Plan
    listing: Listing
    """The clips that the run learns from; WORK_DIR/train.csv and val.csv hold them."""
    stats: DatasetStats
    """What can be read of them now, in figures."""
    fingerprint: str
    """Of the clips and classes that were listed when the run began."""
    data: dict[str, Any]
    """What plan.json says of the clips."""
    probed: ProbedListing
    """All that is listed now, with what is known of each clip."""
    hardware: Hardware
    pretrained: Pretrained | None
    stored: dict[str, Any] | None = None
    """What plan.json held of a run that goes on."""
    probe_view_sec: float = 0.0
    """What the model of probe.pth takes for a view; 0: there is none."""


def prepare(settings: Settings, *, resuming: bool) -> Prepared:
    """Check the work dir, the lists and every clip, then make every choice.

    Args:
        settings: what the user asked for.
        resuming: whether the work dir holds a run to go on with; its choices are then kept where
            the user asks for nothing else.

    Raises:
        AutoXVideoError: of the kind that fits what the user can mend.
    """
    work_dir = Path(settings.work_dir)
    check_work_dir(work_dir)
    check_decoder(settings.decoder)
    stored = read_plan(work_dir) if resuming else None
    listing = read_data(settings)
    probed = divide_probed(probe(listing, settings))
    for note in [*probed.listing.notes[len(listing.notes) :], *say_equal(probed)]:
        say(note)
    for note in shared_recordings(probed):
        say(note)
    if stored is not None:
        return _go_on(probed, settings, stored)
    readable, stats = check_clips(probed, settings)
    hardware, weights = look_around(settings), find_weights(settings)
    plan = choose(settings, stats, hardware, weights)
    write_list(list_file(work_dir, "train"), readable.train)
    write_list(list_file(work_dir, "val"), readable.val)
    data = record(work_dir, readable.classes, left_out(probed))
    data["data_root"] = full_root(settings.data_root)
    fingerprint = listing_fingerprint(probed.listing)
    return Prepared(plan, readable, stats, fingerprint, data, probed, hardware, weights)


def _go_on(probed: ProbedListing, settings: Settings, stored: dict[str, Any]) -> Prepared:
    """Prepare for the rest of a run, which keeps its clips and, where not asked, its choices."""
    work_dir, data, choices = Path(settings.work_dir), stored["data"], stored["choices"]
    lists = lists_of_run(work_dir, data, probed.listing)
    if listing_fingerprint(probed.listing) != stored["fingerprint"]:
        _refuse(work_dir, "data", compare(probed.listing, data, lists))
    for note in notes_on_reading(probed, data, lists):
        say(note)
    root, before = full_root(settings.data_root), data.get("data_root")
    if before not in (None, root):
        say(
            f"data_root: the run began with the clips of {before}, and goes on with those of "
            f"{root}. Where they are not the same clips, moved, use --fresh or another work_dir."
        )
    _, stats = check_clips(probed, settings)
    hardware = look_around(settings)
    asked = settings_to_go_on(settings, choices, processes=hardware.processes)
    weights = _weights_to_go_on(settings, choices)
    plan = choose(asked, stats, hardware, weights)
    plan = continue_plan(plan, choices, settings)
    found = differences(choices, plan)
    _refuse(work_dir, "choices", found.refused)
    for note in found.notes:
        say(note)
    listing = replace(probed.listing, classes=tuple(data["classes"]), **lists)
    fingerprint = stored["fingerprint"]
    return Prepared(plan, listing, stats, fingerprint, data, probed, hardware, weights, stored)


def _refuse(work_dir: Path, what: str, found: Sequence[str]) -> None:
    """Raise CheckpointError if the run in the work dir is of other data or choices."""
    if found:
        spelled_out = "; ".join(found)
        raise CheckpointError(
            f"work_dir: {work_dir} holds a run with other {what}: {spelled_out}. {WAYS_ON}"
        )


def _weights_to_go_on(settings: Settings, choices: dict[str, Any]) -> Pretrained | None:
    """The weights that a run started from, unless the user names other ones now."""
    mine = weights_of_run(choices)
    if settings.load_from == AUTO:
        return mine
    if mine is not None and settings.load_from != "none":
        before, now = Path(mine.path), Path(settings.load_from)
        both_there = before.exists() and now.exists()
        # Weights that have moved since, or are gone, are no hindrance: they are not read again.
        if before.samefile(now) if both_there else before.name == now.name:
            return mine
    return find_weights(settings)


def look_around(settings: Settings) -> Hardware:
    """What there is to train with: this machine, and the processes that share the work."""
    me = processes.current()
    if settings.deterministic:
        make_cublas_deterministic()  # planning tries the model
    machine = detect(device_to_find(settings.device, settings.gpus))
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
    for note in listing.notes:
        say(note)
    return listing


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


def ensure_demo(root: Path) -> None:
    """Make the demo data set where it is not there."""
    if demo_is_complete(root):
        return
    with progress(f"Making the demo data set in {root}", len(demo_clips())) as show:
        make_demo(root, on_done=lambda done, _total: show(done))


def listing_fingerprint(listing: Listing) -> str:
    """SHA-256 over the class names and the training and validation clips with their labels."""
    digest = hashlib.sha256("\n".join(listing.classes).encode("utf-8", "surrogateescape"))
    for split in (listing.train, listing.val):
        for index, (path, label) in enumerate(zip(split.paths, split.labels or (), strict=True)):
            part = "" if split.segments is None else f" {split.segments[index]}"
            digest.update(f"\n{label} {path}{part}".encode("utf-8", "surrogateescape"))
        digest.update(b"\n--")
    return digest.hexdigest()


def check_clips(probed: ProbedListing, settings: Settings) -> tuple[Listing, DatasetStats]:
    """Name the clips that cannot be read; give the listing of those that can, and its figures.

    Raises:
        ListingError: as `clip_review.readable_listing`.
    """
    listing, splits = probed.listing, probed.splits
    _report_unreadable(probed, settings)
    _report_odd(probed)
    readable = readable_listing(probed, strict=settings.strict)
    stats = summarize(
        class_names=listing.classes,
        named=listing.named,
        train_labels=listing.train.labels,
        task=task_of(listing.train.labels, settings.task),
        train=splits["train"].facts,
        val=splits["val"].facts,
        test=splits["test"].facts if "test" in splits else (),
    )
    return readable, stats


def groups_of(prepared: Prepared, clips: ClipTable) -> np.ndarray:
    """Label clips of a run by what they belong to, as in `groups`, as far as it is known."""
    probed, root = prepared.probed, prepared.listing.data_root
    listed = probed.splits["train"].clips.with_those_of(probed.splits["val"].clips)
    recordings = probed.recordings.select(slice(len(listed)))  # these come first
    labels = kept_together(recordings, listed.paths, rarest_classes(listed))
    known = dict(zip(listed.identities(root), labels.tolist(), strict=True))
    return np.array([known.get(one, -1 - i) for i, one in enumerate(clips.identities(root))])


def probe(listing: Listing, settings: Settings) -> ProbedListing:
    """Open every listed clip once, and show how far that is."""
    workers = usable_cores() if settings.workers == AUTO else max(settings.workers, 1)
    with progress("Opening every clip once", sum(map(len, splits_of(listing).values()))) as show:
        return probe_listing(
            listing,
            default_cache_path(),
            workers=workers,
            remote_cache=settings.remote_cache,
            on_done=show,
            on_note=say,
        )


def _report_unreadable(probed: ProbedListing, settings: Settings) -> None:
    bad = {
        split.clips.paths[number]: split.facts[number].error
        for split in probed.splits.values()
        for number in split.unreadable()
    }
    if not bad:
        return
    rows = list(bad.items())
    table(f"{len(bad)} clips cannot be read", ("clip", "reason"), rows[:NAMED_AT_MOST])
    work_dir = Path(settings.work_dir)
    what = "strict is set" if settings.strict else "They are left out"
    if is_for_plan(work_dir):
        say(f"{what}.")
        return
    text = io.StringIO()
    csv.writer(text).writerows([("path", "reason"), *rows])
    write_text(work_dir / UNREADABLE, text.getvalue())
    say(f"{what}; {work_dir / UNREADABLE} names them all.")


def _report_odd(probed: ProbedListing) -> None:
    odd = {
        path: fact.odd
        for split in probed.splits.values()
        for path, fact in zip(split.clips.paths, split.facts, strict=True)
        if fact.odd
    }
    if odd:
        title = f"{counted(len(odd), 'odd clip')}, used as it says here"
        table(title, ("clip", "what"), list(odd.items())[:NAMED_AT_MOST])


def find_weights(settings: Settings) -> Pretrained | None:
    """The weights to start from, by `load_from` and what is in `checkpoints/`.

    Raises:
        CheckpointError: the file that is named is missing or of no known backbone.
        ConfigError: it is of another backbone than the one asked for.
    """
    folders = weight_folders()
    if settings.load_from == "none":
        return None
    if settings.load_from != AUTO:
        from autox_video.backbones.weights.loading import identify_file

        found = identify_file(settings.load_from)
    else:
        wanted = None if settings.backbone == AUTO else settings.backbone
        found = find_pretrained(folders, wanted)
        if found is None and wanted != DESCRIPTORS:
            _say_from_scratch(folders, wanted)
    if found is not None and settings.backbone not in (AUTO, found.backbone):
        raise ConfigError(
            f"load_from: {found.path} holds {found.backbone}, but backbone is {settings.backbone}."
        )
    return found


def _say_from_scratch(folders: Sequence[Path], wanted: str | None) -> None:
    places = " or ".join(str(folder) for folder in folders)
    fitting = f" for {wanted}" if wanted else ""
    say(
        f"No pretrained weights{fitting} in {places}: training starts from scratch. "
        "checkpoints/README.md lists files to put there."
    )
    if unknown := find_unknown(folders):
        say(f"Not among the known files: {', '.join(unknown)}; load_from=FILE takes one of them.")


def weight_folders() -> list[Path]:
    """Where pretrained weights are looked for: here, and in the source tree, if this is one."""
    here, tree = Path.cwd() / "checkpoints", source_tree()
    there = here if tree is None else tree / "checkpoints"
    return [here] if there == here or not there.is_dir() else [here, there]


def show_plan(plan: Plan, prediction: Prediction | None = None) -> None:
    """Print every choice with its reason, and how long the run will take, where that is known."""
    rows = [(f, _shown(v), plan.reasons[f]) for f, v in plan.as_dict().items() if f != "reasons"]
    table("Plan", ("choice", "value", "reason"), rows)
    if prediction is not None:
        say(_in_words(prediction))


def _in_words(prediction: Prediction) -> str:
    parts = {
        "preparing": prediction.preparing_sec,
        "training": prediction.training_sec + prediction.saving_sec,
        "evaluating": prediction.evaluating_sec,
        "testing": prediction.testing_sec,
    }
    spelled_out = ", ".join(f"{what} {duration(sec)}" for what, sec in parts.items() if sec)
    return (
        f"Predicted time: {duration(prediction.total_sec)} ({spelled_out}). The bottleneck is "
        f"{BOTTLENECKS[prediction.bottleneck]}."
    )


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
