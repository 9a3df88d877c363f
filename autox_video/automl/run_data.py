"""The clips of a run: kept as they were when it began, and compared with what is listed now."""

import hashlib
import tempfile
from collections.abc import Container, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autox_video.core.console import say
from autox_video.core.errors import CheckpointError, ListingError
from autox_video.core.files import sha256
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.listing import Listing
from autox_video.data.listing.written_list import read_list, write_list
from autox_video.planning.record import TO_TRAIN_ANEW, RunRecord, TrainingData
from autox_video.tasks.task import TASKS
from autox_video.video.files.remote import full_root

SPLITS = {"train": "training", "val": "validation"}
"""The lists that a run keeps, NAME.csv in its work dir, and what they are for."""
EXAMPLES = 3


def list_file(work_dir: Path, name: str) -> Path:
    """Where a run keeps the list `train` or `val`."""
    return work_dir / f"{name}.csv"


def listing_fingerprint(listing: Listing) -> str:
    """SHA-256 over the class names and the training and validation clips with their labels."""
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
    """Write the lists of a new run, which learns from the clips that are readable.

    Gives what its record says of the clips, and of the lists with what is left out of them.
    """
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
    """Path, start and end of a clip in seconds, as JSON can hold them."""
    if clips.segments is None:
        return [clips.paths[number]]
    start_sec, end_sec = clips.segments[number]
    return [clips.paths[number], start_sec, None if end_sec == float("inf") else end_sec]


def _left_out(lists: Mapping[str, Any], name: str, listing: Listing) -> set[Hashable]:
    """What tells the clips from all others that could not be read when the run began."""
    spelled, segments = lists[name]["left_out"], None
    if any(len(clip) == 3 for clip in spelled):
        segments = tuple((s, float("inf") if e is None else e) for _, s, e in spelled)
    clips = ClipTable(tuple(clip[0] for clip in spelled), None, segments)
    return set(clips.identities(listing.data_root))


def lists_of_run(
    work_dir: Path, lists: Mapping[str, Any], listing: Listing
) -> dict[str, ClipTable]:
    """The clips that a run began with, in its order; a damaged list is made again where possible.

    Raises:
        CheckpointError: a list is damaged, and what is listed now does not give it again.
    """
    tables = {}
    for name in SPLITS:
        path, digest = list_file(work_dir, name), lists[name]["sha256"]
        tables[name] = _read_exactly(path, digest)
        if tables[name] is None:
            clips, left_out = listing.splits[name], _left_out(lists, name, listing)
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
                f"{path}: missing or damaged, and what is listed now does not give it again, as "
                "other clips were listed when the run began. Put the file or the lists back; "
                f"{TO_TRAIN_ANEW}"
            )
    write_list(path, clips)
    say(f"{path}: was missing or damaged, and was made again from the lists.")
    return clips


def compare_clips(
    listing: Listing, record: RunRecord, tables: Mapping[str, ClipTable]
) -> list[str]:
    """Say what is listed otherwise than when a run began; nothing where it learns the same.

    Another order, other spellings of paths and clips that could not be read when the run began
    make no difference. `tables` are the clips that it began with.
    """
    classes, root = record.data.classes, listing.data_root
    differences = list(_compare_classes(classes, listing.classes))
    for name, purpose in SPLITS.items():
        before = _labelled(tables[name], classes, root)
        now = _labelled(listing.splits[name], listing.classes, root)
        parts = _new_and_gone(before, now, _left_out(record.lists, name, listing))
        changed = [clip for clip in before if clip in now and before[clip] != now[clip]]
        if changed:
            clip = changed[0]
            change = f"{_name(clip)}: {_joined(before[clip])} -> {_joined(now[clip])}"
            parts.append(f"{len(changed)} of another class ({change})")
        if parts:
            differences.append(f"{purpose} clips: {', '.join(parts)}")
    return differences


def _compare_classes(before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    if tuple(before) == tuple(now):
        return
    parts = _new_and_gone(dict.fromkeys(before), dict.fromkeys(now))
    if not parts:
        first = next(i for i, pair in enumerate(zip(before, now, strict=False)) if len({*pair}) > 1)
        parts = [f"in another order (number {first} was {before[first]}, is {now[first]})"]
    yield f"classes: {', '.join(parts)}"


def _new_and_gone(
    before: Mapping[Hashable, Any], now: Mapping[Hashable, Any], left_out: Container[Hashable] = ()
) -> list[str]:
    new = [name for name in now if name not in before and name not in left_out]
    gone = [name for name in before if name not in now]
    kinds = ((new, "new"), (gone, "gone"))
    return [f"{len(names)} {what} ({_examples(names)})" for names, what in kinds if names]


def notes_on_reading(
    listing: Listing, lists: Mapping[str, Any], tables: Mapping[str, ClipTable]
) -> list[str]:
    """Say which clips of a run can no longer be read, and which can that could not."""
    notes = []
    for name, purpose in SPLITS.items():
        clips = listing.splits[name]
        identities = clips.identities(listing.data_root)
        bad, absent = set(clips.unreadable()), _left_out(lists, name, listing)
        learnt = set(tables[name].identities(listing.data_root))
        mended = [clip for i, clip in enumerate(identities) if i not in bad and clip in absent]
        spoilt = [clip for i, clip in enumerate(identities) if i in bad and clip in learnt]
        if mended:
            notes.append(
                f"{len(mended)} {purpose} clips that could not be read when the run began can be "
                f"read now ({_examples(mended)}); they stay out of it. --fresh takes them in."
            )
        if spoilt:
            notes.append(
                f"{len(spoilt)} {purpose} clips of the run cannot be read any more "
                f"({_examples(spoilt)}); it resumes without them."
            )
    return notes


def _labelled(clips: ClipTable, classes: Sequence[str], root: str | Path) -> dict[Hashable, Any]:
    """Class names of each clip, by what tells it from all others."""
    names = [tuple(sorted(classes[index] for index in label)) for label in clips.class_sets()]
    return dict(zip(clips.identities(root), names, strict=True))


def _examples(clips: Sequence[Hashable]) -> str:
    more = ", ..." if len(clips) > EXAMPLES else ""
    return ", ".join(map(_name, clips[:EXAMPLES])) + more


def _name(clip: Hashable) -> str:
    if isinstance(clip, tuple):
        path, (start_sec, end_sec) = clip
        return f"{path} from {start_sec:g} to {end_sec:g} s"
    return str(clip)


def _joined(names: Sequence[str]) -> str:
    return ";".join(names) or "none"
