"""The clips of a run: kept as they were when it began, and compared with what is listed now."""

import tempfile
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autox_video.core.console import say
from autox_video.core.errors import CheckpointError, ListingError
from autox_video.core.files import sha256
from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.inspected_listing import ProbedListing
from autox_video.data.listing.listing import Listing, read_list, write_list
from autox_video.planning.record import TO_TRAIN_ANEW

SPLITS = {"train": "training", "val": "validation"}
"""The lists that a run keeps, NAME.csv in its work dir, and what they are for."""
EXAMPLES = 3


def list_file(work_dir: Path, name: str) -> Path:
    """Where a run keeps the list `train` or `val`."""
    return work_dir / f"{name}.csv"


def left_out(probed: ProbedListing) -> dict[str, list[list[Any]]]:
    """The listed clips that cannot be read, by list: path, start and end of each, in seconds."""
    found = {}
    for name in SPLITS:
        split = probed.splits[name]
        found[name] = [_spelled(split.clips, number) for number in split.unreadable()]
    return found


def _spelled(clips: ClipTable, number: int) -> list[Any]:
    if clips.segments is None:
        return [clips.paths[number]]
    start_sec, end_sec = clips.segments[number]
    return [clips.paths[number], start_sec, None if end_sec == float("inf") else end_sec]


def record(
    work_dir: Path, classes: Sequence[str], absent: Mapping[str, list[list[Any]]]
) -> dict[str, Any]:
    """What plan.json says of the clips of a run, whose lists are in the work dir.

    Args:
        work_dir: of the run.
        classes: name of each class index.
        absent: what `left_out` gives.
    """
    about: dict[str, Any] = {"classes": list(classes)}
    for name in SPLITS:
        path = list_file(work_dir, name)
        clips = len(read_list(path))
        about[name] = {"clips": clips, "sha256": sha256(path), "left_out": absent[name]}
    return about


def lists_of_run(work_dir: Path, data: Mapping[str, Any], listing: Listing) -> dict[str, ClipTable]:
    """The clips that a run began with, in its order; a damaged list is made again where possible.

    Args:
        work_dir: of the run.
        data: what `record` gave when it began.
        listing: what is listed now.

    Raises:
        CheckpointError: a list is damaged, and what is listed now does not give it again.
    """
    lists = {}
    for name in SPLITS:
        path, expected = list_file(work_dir, name), data[name]["sha256"]
        clips = _read_exactly(path, expected)
        if clips is None:
            clips = _made_again(getattr(listing, name), data[name]["left_out"], listing, expected)
            if clips is None:
                raise CheckpointError(
                    f"{path}: missing or damaged, and what is listed now does not give it again, "
                    "as other clips were listed when the run began. Put the file or the lists "
                    f"back; {TO_TRAIN_ANEW}"
                )
            write_list(path, clips)
            say(f"{path}: was missing or damaged, and was made again from the lists.")
        lists[name] = clips
    return lists


def _read_exactly(path: Path, expected: str) -> ClipTable | None:
    try:
        return read_list(path) if sha256(path) == expected else None
    except (OSError, ListingError):
        return None


def _made_again(
    listed: ClipTable, absent: Sequence[Sequence[Any]], listing: Listing, expected: str
) -> ClipTable | None:
    root, gone = listing.data_root, set(_identities(absent, listing))
    identities = listed.identities(root)
    clips = listed.select([i for i, one in enumerate(identities) if one not in gone])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list.csv")
        write_list(path, clips)
        return clips if sha256(path) == expected else None


def compare(listing: Listing, data: Mapping[str, Any], lists: Mapping[str, ClipTable]) -> list[str]:
    """Say what is listed otherwise than when a run began; nothing where it learns the same.

    Another order, other spellings of paths and clips that could not be read when the run began
    make no difference.

    Args:
        listing: what is listed now.
        data: what `record` gave when the run began.
        lists: the clips that it began with.
    """
    found = _compare_classes(data["classes"], listing.classes)
    root = listing.data_root
    for name, purpose in SPLITS.items():
        before = _labelled(lists[name], data["classes"], root)
        now = _labelled(getattr(listing, name), listing.classes, root)
        absent = set(_identities(data[name]["left_out"], listing))
        new = [one for one in now if one not in before and one not in absent]
        gone = [one for one in before if one not in now]
        other = [one for one in before if one in now and before[one] != now[one]]
        parts = [f"{len(new)} new ({_examples(new)})"] if new else []
        parts += [f"{len(gone)} gone ({_examples(gone)})"] if gone else []
        if other:
            one = other[0]
            change = f"{_name(one)}: {_label(before[one])} -> {_label(now[one])}"
            parts.append(f"{len(other)} of another class ({change})")
        if parts:
            found.append(f"{purpose} clips: {', '.join(parts)}")
    return found


def _compare_classes(before: Sequence[str], now: Sequence[str]) -> list[str]:
    if list(before) == list(now):
        return []
    new = [name for name in now if name not in set(before)]
    gone = [name for name in before if name not in set(now)]
    parts = [f"{len(new)} new ({_examples(new)})"] if new else []
    parts += [f"{len(gone)} gone ({_examples(gone)})"] if gone else []
    if not parts:
        first = next(i for i, pair in enumerate(zip(before, now, strict=False)) if len({*pair}) > 1)
        parts = [f"in another order (number {first} was {before[first]}, is {now[first]})"]
    return [f"classes: {', '.join(parts)}"]


def notes_on_reading(
    probed: ProbedListing, data: Mapping[str, Any], lists: Mapping[str, ClipTable]
) -> list[str]:
    """Say which clips of a run can no longer be read, and which can that could not."""
    listing, notes = probed.listing, []
    for name, purpose in SPLITS.items():
        split = probed.splits[name]
        bad = set(split.unreadable())
        identities = split.clips.identities(listing.data_root)
        absent = set(_identities(data[name]["left_out"], listing))
        mine = set(lists[name].identities(listing.data_root))
        mended = [one for i, one in enumerate(identities) if i not in bad and one in absent]
        spoilt = [one for i, one in enumerate(identities) if i in bad and one in mine]
        if mended:
            notes.append(
                f"{len(mended)} {purpose} clips that could not be read when the run began can be "
                f"read now ({_examples(mended)}); they stay out of it. --fresh takes them in."
            )
        if spoilt:
            notes.append(
                f"{len(spoilt)} {purpose} clips of the run cannot be read any more "
                f"({_examples(spoilt)}); it goes on without them."
            )
    return notes


def _labelled(clips: ClipTable, classes: Sequence[str], root: str | Path) -> dict[Hashable, Any]:
    """Class names of each clip, by what tells it from all others."""
    labels = clips.labels or ()
    sets = (label if isinstance(label, tuple) else (label,) for label in labels)
    names = [tuple(sorted(_class(classes, index) for index in indices)) for indices in sets]
    return dict(zip(clips.identities(root), names, strict=True))


def _class(classes: Sequence[str], index: int) -> str:
    return classes[index] if index < len(classes) else f"class {index}"


def _identities(spelled: Sequence[Sequence[Any]], listing: Listing) -> Sequence[Hashable]:
    """What tells clips from all others, of clips as `left_out` gives them."""
    segments = None
    if any(len(each) == 3 for each in spelled):
        segments = tuple((s, float("inf") if e is None else e) for _, s, e in spelled)
    clips = ClipTable(tuple(each[0] for each in spelled), None, segments)
    return clips.identities(listing.data_root)


def _examples(some: Iterable[Hashable]) -> str:
    names = [_name(one) for one in some]
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")


def _name(one: Hashable) -> str:
    if isinstance(one, tuple):
        path, (start_sec, end_sec) = one
        return f"{path} from {start_sec:g} to {end_sec:g} s"
    return str(one)


def _label(names: Sequence[str]) -> str:
    return ";".join(names) or "none"
