"""Clips divided into training, validation and test once, and the division kept in the work dir."""

import contextlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.formats.list_files import read_list, write_list
from autox_video.data.splitting.groups import alone
from autox_video.data.splitting.stratify import stratify


@dataclass(frozen=True, slots=True)
class ToDivide:
    """How a list is to be divided."""

    source: str
    """The list file or folder."""
    names: tuple[str, ...]
    """Of the splits, a key of SHARES."""
    seed: int
    folder: Path
    """Where the division is kept."""
    earlier: tuple[Path, ...] = ()
    """Folders with divisions of runs before, the likeliest first; clips keep the side they had."""


@dataclass(frozen=True, slots=True)
class Kept:
    """ClipTable divided as the files in a folder say."""

    splits: dict[str, ClipTable]
    lists: dict[str, ClipTable]
    """What the files say."""
    notes: tuple[str, ...]


def divide(
    clips: ClipTable,
    how: ToDivide,
    classes: Sequence[str],
    *,
    data_root: str | Path,
    groups: np.ndarray | None = None,
    unreadable: Sequence[int] = (),
) -> tuple[dict[str, ClipTable], tuple[str, ...]]:
    """Divide clips anew; give the list of each split, and notes. Nothing is written.

    A clip of several classes counts for the rarest of them. Clips that cannot be read are left to
    training, where they count for nothing.

    Args:
        clips: labelled ones.
        how: into which splits.
        classes: name of each class index.
        data_root: what the clips' paths are relative to.
        groups: (N,) labels of clips that stay together, as in `groups`.
        unreadable: the numbers of the clips that cannot be read.

    Raises:
        ListingError: no clip is left for validation.
    """
    left_out = set(unreadable)
    usable = [index for index in range(len(clips)) if index not in left_out]
    identities = clips.identities(data_root)
    keys = [identities[index] for index in usable]
    strata = [classes[label] if label >= 0 else "" for label in rarest_classes(clips)]
    labels = [strata[index] for index in usable]
    kin = alone(len(usable)) if groups is None else groups[usable]
    sides, notes = sides_before(keys, how, data_root)
    found = stratify(keys, labels, names=how.names, seed=how.seed, groups=kin, sides=sides)
    if sides and not found["val"]:
        notes = []
        found = stratify(keys, labels, names=how.names, seed=how.seed, groups=kin)
    if not found["val"]:
        found = stratify(keys, labels, names=how.names, seed=how.seed)
        notes = [
            f"In each class of {how.source} all clips belong together (one source, or near-"
            "duplicates). They were divided all the same: expect less on other clips than the "
            "figures say."
        ]
    if not found["val"]:
        raise ListingError(
            f"{how.source}: every class has a single clip, so none is left for validation; "
            "add clips, or give ann_file_val."
        )
    notes += _thin_classes(found, labels)
    chosen = {name: [usable[index] for index in indices] for name, indices in found.items()}
    chosen["train"] = sorted([*chosen["train"], *left_out])
    splits = {name: clips.select(indices) for name, indices in chosen.items()}
    parts = ", ".join(f"{len(split)} for {name}" for name, split in splits.items())
    note = f"The clips of {how.source} are divided: {parts}; a run keeps that in WORK_DIR/split."
    return splits, (note, *notes)


def sides_before(
    keys: Sequence[Hashable], how: ToDivide, data_root: str | Path
) -> tuple[dict[int, str], list[str]]:
    """Give the split that clips had in the first earlier division of any of them, and a note.

    What is told by a damaged list counts for nothing.

    Args:
        keys: of the clips, as `ClipTable.identities` gives them.
        how: into which splits, and where there are earlier divisions.
        data_root: what the clips' paths are relative to.
    """
    for folder in how.earlier:
        home: dict[Hashable, str] = {}
        for name in how.names:
            with contextlib.suppress(ListingError):
                file = folder / f"{name}.csv"
                clips = read_list(file) if file.is_file() else None
                home.update(dict.fromkeys(clips.identities(data_root) if clips else (), name))
        sides = {index: home[key] for index, key in enumerate(keys) if key in home}
        if sides:
            kept = counted(len(sides), "clip")
            return sides, [f"{kept} stay on the side of the split that they had in {folder}."]
    return {}, []


def rarest_classes(clips: ClipTable) -> Sequence[int]:
    """Give the class of each clip, of several the rarest one; -1 for none."""
    if not clips.has_label_sets:
        return clips.labels or ()
    count = Counter(index for indices in clips.labels for index in indices)
    return [min(each, key=lambda i: (count[i], i), default=-1) for each in clips.labels]


def _thin_classes(found: Mapping[str, Sequence[int]], labels: Sequence[str]) -> list[str]:
    """Say which classes have no clip for validation, and why."""
    train = Counter(labels[index] for index in found["train"])
    val = {labels[index] for index in found["val"]}
    missing = sorted(train.keys() - val - {""})
    single = [label for label in missing if train[label] == 1]
    together = [label for label in missing if train[label] > 1]
    notes = []
    for thin, why in (
        (single, "of a single clip"),
        (together, "whose clips all belong together (one source, or near-duplicates)"),
    ):
        if thin:
            names = ", ".join(thin[:10]) + (", ..." if len(thin) > 10 else "")
            number = counted(len(thin), "class", "classes")
            notes.append(f"{number} {why}, so not validated: {names}.")
    return notes


def read_kept(entries: ClipTable, data_root: str | Path, how: ToDivide) -> Kept | None:
    """Divide entries as the files in the folder say; None where there are none.

    Clips that are new since are not used.

    Raises:
        ListingError: the kept files are of other clips, or damaged.
    """
    files = {name: how.folder / f"{name}.csv" for name in how.names}
    if not (files["train"].is_file() and files["val"].is_file()):
        return None
    try:
        kept = {name: read_list(file) for name, file in files.items() if file.is_file()}
    except ListingError as error:
        raise ListingError(
            *error.problems, f"Put it back, or delete {how.folder} to divide the clips anew."
        ) from error
    return _divide_as_kept(entries, kept, data_root, how.folder)


def _divide_as_kept(
    entries: ClipTable, kept: dict[str, ClipTable], data_root: str | Path, folder: Path
) -> Kept:
    home = {one: name for name, clips in kept.items() for one in clips.identities(data_root)}
    identities = entries.identities(data_root)
    chosen: dict[str, list[int]] = {name: [] for name in kept}
    new = 0
    same_kind = any(clips.segments for clips in kept.values()) == (entries.segments is not None)
    for index, identity in enumerate(identities if same_kind else ()):
        if identity in home:
            chosen[home[identity]].append(index)
        else:
            new += 1
    if not chosen["train"] or not chosen["val"]:
        raise ListingError(
            f"{folder} keeps a division of other clips than those of {entries.source}; give "
            "another work_dir, or delete that folder to divide anew."
        )
    gone = len(home) - sum(map(len, chosen.values()))
    if new and gone and _lost_a_class(kept, data_root, set(identities)):
        raise ListingError(
            f"{folder} keeps how the clips were divided, and all clips of a class are gone since "
            f"({counted(new, 'clip')} new, {gone} gone), as where a folder was renamed. Undo that, "
            "or divide and train anew with --fresh."
        )
    changes = [f"{counted(new, 'new clip')}, not used"] if new else []
    changes += [f"{counted(gone, 'clip')} gone"] if gone else []
    since = f"{folder} keeps how the clips were divided; since then: {', '.join(changes)}. "
    notes = (since + "Delete that folder to divide anew.",) if changes else ()
    splits = {name: entries.select(indices) for name, indices in chosen.items()}
    return Kept(splits, kept, notes)


def _lost_a_class(
    kept: Mapping[str, ClipTable], data_root: str | Path, there: set[Hashable]
) -> bool:
    """Whether no clip of a class of a kept division is there any more."""
    label_of = {
        one: label
        for clips in kept.values()
        for one, label in zip(clips.identities(data_root), clips.labels or (), strict=False)
    }
    return bool(set(label_of.values()) - {label_of[one] for one in there & label_of.keys()})


def check_kept(kept: Kept, lists: Mapping[str, ClipTable], how: ToDivide, num_classes: int) -> None:
    """Check that a kept division still means the same classes.

    Raises:
        ListingError: a class of it is gone, or a clip is of another class now.
    """
    for name, before in kept.lists.items():
        now = lists[name]
        label_of = dict(zip(before.identities(""), before.labels or (), strict=False))
        changed = any(
            label_of.get(identity, label) != label
            for identity, label in zip(now.identities(""), now.labels or (), strict=True)
        )
        if changed or max(before.classes(), default=0) >= num_classes:
            raise ListingError(
                f"{how.folder} keeps a division with other classes or labels than there are "
                "now; give another work_dir, or delete that folder to divide anew."
            )


def keep(splits: Mapping[str, ClipTable], folder: Path) -> None:
    """Write a new division; raises ResourceError if the folder cannot be written."""
    # Training comes last: where it is, the others are too, even after a crash in between.
    for name in reversed(splits):
        write_list(folder / f"{name}.csv", splits[name])
