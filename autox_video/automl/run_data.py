"""Store the clips of a new run, and compare them with the listed clips when the run is resumed."""

import hashlib
import tempfile
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autox_video.core.console import complain, say
from autox_video.core.errors import CheckpointError, ListingError
from autox_video.core.files import sha256
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.listing import Listing
from autox_video.data.listing.written_list import read_list, write_list
from autox_video.data.splitting.changes import compare, name_clips
from autox_video.data.splitting.known_clips import (
    UNREADABLE,
    KnownClips,
    known_clips,
    read_known,
    write_known,
)
from autox_video.data.splitting.splits import store
from autox_video.planning.record import TO_TRAIN_ANEW, RunRecord, TrainingData
from autox_video.run.work_dir import EARLIER
from autox_video.tasks.task import TASKS
from autox_video.video.files.remote import full_root

SPLITS = {"train": "training", "val": "validation"}
"""Names of the clip lists in a work dir (NAME.csv), each with its purpose."""


def list_file(work_dir: Path, name: str) -> Path:
    """Return the path of the `train` or `val` list of a run."""
    return work_dir / f"{name}.csv"


def listing_fingerprint(listing: Listing) -> str:
    """Return a SHA-256 digest of the classes and of the training and validation clips."""
    digest = hashlib.sha256("\n".join(listing.classes).encode("utf-8", "surrogateescape"))
    for split in (listing.train, listing.val):
        for index, (path, label) in enumerate(zip(split.paths, split.labels or (), strict=True)):
            part = "" if split.segments is None else f" {split.segments[index]}"
            digest.update(f"\n{label} {path}{part}".encode("utf-8", "surrogateescape"))
        digest.update(b"\n--")
    return digest.hexdigest()


def begin_run(
    work_dir: Path, listing: Listing, readable: Listing, task: str, remote_cache: str
) -> tuple[TrainingData, dict[str, Any]]:
    """Write clips.json and the clip lists of a new run, which uses only the readable clips.

    Args:
        work_dir: the work dir of the run.
        listing: the listing of all clips.
        readable: the listing without unreadable clips.
        task: name of the task.
        remote_cache: value of the config key `remote_cache`.

    Returns:
        The description of the clips, and the run record's entries for the clip lists and the
        skipped clips.
    """
    write_known(work_dir, known_clips(listing.splits, listing.classes, listing.data_root))
    lists = {}
    for name in SPLITS:
        path, clips, listed = list_file(work_dir, name), readable.splits[name], listing.splits[name]
        write_list(path, clips)
        absent = [_spelled(listed, row) for row in listed.unreadable()]
        lists[name] = {"clips": len(clips), "sha256": sha256(path), "left_out": absent}
    counts = readable.count_by_class(readable.train) if TASKS[task].balances_loss else {}
    data = TrainingData(
        data_root=full_root(str(listing.data_root)),
        train_list=str(list_file(work_dir, "train")),
        val_list=str(list_file(work_dir, "val")),
        classes=readable.classes,
        num_train=len(readable.train),
        task=task,
        class_clips=tuple(counts.values()),
        fingerprint=listing_fingerprint(listing),
        remote_cache=remote_cache,
    )
    return data, lists


def _spelled(clips: ClipTable, number: int) -> list[Any]:
    """Return JSON values: a clip's path and, for a segment, its start and end in seconds."""
    if clips.segments is None:
        return [clips.paths[number]]
    start_sec, end_sec = clips.segments[number]
    return [clips.paths[number], start_sec, None if end_sec == float("inf") else end_sec]


def _left_out(lists: Mapping[str, Any], name: str, root: str | Path) -> set[Hashable]:
    """Return the identities of the clips that were unreadable when the run began."""
    spelled, segments = lists[name]["left_out"], None
    if any(len(clip) == 3 for clip in spelled):
        segments = tuple((s, float("inf") if e is None else e) for _, s, e in spelled)
    clips = ClipTable(tuple(clip[0] for clip in spelled), None, segments)
    return set(clips.identities(root))


def lists_of_run(
    work_dir: Path, lists: Mapping[str, Any], listing: Listing
) -> dict[str, ClipTable]:
    """Return the clips that a run began with, in order; restore damaged lists if possible.

    Raises:
        CheckpointError: a list is damaged and cannot be restored from the current listing.
    """
    tables = {}
    for name in SPLITS:
        path, digest = list_file(work_dir, name), lists[name]["sha256"]
        tables[name] = _read_exactly(path, digest)
        if tables[name] is None:
            clips = listing.splits.get(name, ClipTable((), ()))
            left_out = _left_out(lists, name, listing.data_root)
            identities = clips.identities(listing.data_root)
            rows = [i for i, clip in enumerate(identities) if clip not in left_out]
            tables[name] = _write_again(path, clips.select(rows), digest)
    return tables


def _read_exactly(path: Path, digest: str) -> ClipTable | None:
    try:
        return read_list(path) if sha256(path) == digest else None
    except (OSError, ListingError):
        return None


def _write_again(path: Path, clips: ClipTable, digest: str) -> ClipTable:
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder, path.name)
        write_list(trial, clips)
        if sha256(trial) != digest:
            raise CheckpointError(
                f"{path}: missing or damaged, and cannot be restored, as other clips were listed "
                f"when the run began. Restore the file or the clips; {TO_TRAIN_ANEW}"
            )
    write_list(path, clips)
    complain(f"{path}: was missing or damaged, and was restored from the listed clips.")
    return clips


def split_as_begun(work_dir: Path, record: RunRecord, listing: Listing) -> Listing:
    """Return the inspected listing, split as it was when the run began.

    If the work dir stores the split, an unfinished run can be resumed after clips have been added,
    but the added clips are not used. Clips that were unreadable when the run began are ignored.

    Raises:
        CheckpointError: clips or classes have changed in a way that prevents resuming, or the run
            is finished.
    """
    how, root = listing.split_request, listing.data_root
    names = tuple(SPLITS) if how is None else how.names
    before = _clips_of_run(work_dir, record, listing).in_splits(names)
    tables = {"": listing.train} if how else {name: listing.splits[name] for name in SPLITS}
    now = known_clips(tables, listing.classes, root)
    changes = compare(before, now)
    sentence = changes.sentence()
    if sentence and (how is None or record.finished or not _adds_only(before, now, listing)):
        kept = "known clips keep their side of the split, and " if how else ""
        undo = "" if record.finished else " To resume that run, undo the change."
        raise CheckpointError(
            f"work_dir: {work_dir} holds a run on other clips: {sentence}. To train on the clips "
            f"as they are now, run the same command with --fresh: {kept}the files of the old run "
            f"move to {work_dir / EARLIER}.{undo}"
        )
    if how is None:
        return listing
    stored = {*before.splits, *(how.stored or ())}
    rows: dict[str, list[int]] = {name: [] for name in names if name in stored}
    for row, old in changes.earlier.items():
        rows[before.splits[old]].append(row)
    clips = _renumbered(listing.train, listing.classes, before.classes)
    splits = {name: clips.select(of_split) for name, of_split in rows.items()}
    if how.stored is None:
        store(splits, how.folder)
    listing = replace(listing, classes=before.classes, **splits, split_request=None)
    if sentence:
        say(
            f"Since the run began, {sentence}. The run resumes with its original clips; to train "
            "on the clips as they are now, run the same command with --fresh."
        )
    return listing


def _adds_only(before: KnownClips, now: KnownClips, listing: Listing) -> bool:
    """Return whether clips have only been added, which a resumed run can ignore.

    Removing test clips is also allowed.
    """
    same_labels = listing.test is None or listing.classes == before.classes
    return same_labels and compare(before.in_splits(SPLITS), now).adds_only


def _renumbered(clips: ClipTable, classes: Sequence[str], before: Sequence[str]) -> ClipTable:
    """Return the clips with class indices as in `before`; classes missing from `before` get -1."""
    if tuple(classes) == tuple(before):
        return clips
    number = {name: index for index, name in enumerate(before)}
    index = [number.get(name, -1) for name in classes]
    labels = (
        tuple(index[i] for i in label) if isinstance(label, tuple) else index[label]
        for label in clips.labels
    )
    return replace(clips, labels=labels)


def _clips_of_run(work_dir: Path, record: RunRecord, listing: Listing) -> KnownClips:
    """Return the clips that a run began with, including any digests stored in clips.json."""
    how, root = listing.split_request, listing.data_root
    known = read_known(work_dir, root)
    if known is not None and known.classes:
        return known
    stored = how and how.stored
    known = known_clips(
        stored or lists_of_run(work_dir, record.lists, listing), record.data.classes, root
    )
    left_out = {key: name for name in SPLITS for key in _left_out(record.lists, name, root)}
    digests = [UNREADABLE if key in left_out else b"" for key in known.keys]
    more = left_out.keys() - set(known.keys)
    return KnownClips(
        known.classes,
        (*known.keys, *more),
        (*known.splits, *(left_out[key] for key in more)),
        (*known.labels, *([None] * len(more))),
        (*digests, *([UNREADABLE] * len(more))),
    )


def notes_on_reading(
    listing: Listing, lists: Mapping[str, Any], tables: Mapping[str, ClipTable]
) -> list[str]:
    """Return notes on clips that have become readable or unreadable since the run began."""
    notes = []
    for name, purpose in SPLITS.items():
        clips = listing.splits[name]
        identities = clips.identities(listing.data_root)
        bad, absent = set(clips.unreadable()), _left_out(lists, name, listing.data_root)
        learnt = set(tables[name].identities(listing.data_root))
        mended = [clip for i, clip in enumerate(identities) if i not in bad and clip in absent]
        spoilt = [clip for i, clip in enumerate(identities) if i in bad and clip in learnt]
        if mended:
            notes.append(
                f"{len(mended)} {purpose} clips that were unreadable when the run began can be "
                f"read now ({name_clips(mended)}). Only a new run, with --fresh, uses them."
            )
        if spoilt:
            notes.append(
                f"{len(spoilt)} {purpose} clips of the run cannot be read any more "
                f"({name_clips(spoilt)}). The run resumes without them."
            )
    return notes
