"""Clips divided into training, validation and test once, which the work dir stores."""

import contextlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable, Splits
from autox_video.data.listing.written_list import read_list, write_list
from autox_video.data.splitting.groups import alone
from autox_video.data.splitting.stratify import stratify


@dataclass(frozen=True, slots=True)
class ToDivide:
    """How a list is to be divided."""

    names: tuple[str, ...]
    """Of the splits, a key of SHARES."""
    seed: int
    folder: Path
    """Where the division is stored."""
    earlier: tuple[Path, ...] = ()
    """Folders with divisions of runs before, the likeliest first; clips stay on their side."""


def divide(
    clips: ClipTable,
    how: ToDivide,
    classes: Sequence[str],
    *,
    data_root: str | Path,
    groups: np.ndarray | None = None,
) -> tuple[dict[str, ClipTable], list[str]]:
    """Divide clips anew; give the table of each split, and notes. Nothing is written.

    A clip of several classes counts for the rarest of them. Clips that are known to be unreadable
    are left to training, where they count for nothing.

    Args:
        clips: labelled ones.
        how: into which splits.
        classes: name of each class index.
        data_root: what the clips' paths are relative to.
        groups: (N,) labels of clips that stay together, as in `groups`.

    Raises:
        ListingError: no clip is left for validation.
    """
    unreadable = set(clips.unreadable())
    usable = [row for row in range(len(clips)) if row not in unreadable]
    identities, strata = clips.identities(data_root), clips.rarest_classes()
    keys = [identities[row] for row in usable]
    labels = [classes[strata[row]] if strata[row] >= 0 else "" for row in usable]
    groups = alone(len(usable)) if groups is None else groups[usable]
    sides, notes = _sides_before(keys, how, data_root)
    draw = partial(stratify, keys, labels, names=how.names, seed=how.seed)
    splits = draw(groups=groups, sides=sides)
    if sides and not splits["val"]:
        splits, notes = draw(groups=groups), []
    if not splits["val"]:
        splits = draw()
        notes = [
            f"In each class of {clips.source} all clips belong together (one source, or near-"
            "duplicates). They were divided all the same: expect less on other clips than the "
            "figures say."
        ]
    if not splits["val"]:
        raise ListingError(
            f"{clips.source}: every class has a single clip, so none is left for validation; "
            "add clips, or give ann_file_val."
        )
    notes += _thin_classes(splits, labels)
    rows = {name: [usable[index] for index in indices] for name, indices in splits.items()}
    rows["train"] = sorted([*rows["train"], *unreadable])
    parts = ", ".join(f"{len(of_split)} for {name}" for name, of_split in rows.items())
    note = f"The clips of {clips.source} are divided: {parts}; a run keeps that in WORK_DIR/split."
    return {name: clips.select(of_split) for name, of_split in rows.items()}, [note, *notes]


def _sides_before(
    keys: Sequence[Hashable], how: ToDivide, data_root: str | Path
) -> tuple[dict[int, str], list[str]]:
    """Give the split that clips had in the first earlier division of any of them, and a note.

    What is told by a damaged list counts for nothing.
    """
    for folder in how.earlier:
        split_of: dict[Hashable, str] = {}
        for name in how.names:
            with contextlib.suppress(ListingError):
                if (file := folder / f"{name}.csv").is_file():
                    split_of |= dict.fromkeys(read_list(file).identities(data_root), name)
        if sides := {row: split_of[key] for row, key in enumerate(keys) if key in split_of}:
            clips = counted(len(sides), "clip")
            return sides, [f"{clips} stay on the side of the split that they had in {folder}."]
    return {}, []


def _thin_classes(splits: Mapping[str, Sequence[int]], labels: Sequence[str]) -> list[str]:
    """Say which classes have no clip for validation, and why."""
    train = Counter(labels[index] for index in splits["train"])
    validated = {labels[index] for index in splits["val"]} | {""}
    missing = sorted(train.keys() - validated)
    single = [label for label in missing if train[label] == 1]
    together = [label for label in missing if train[label] > 1]
    reason = "whose clips all belong together (one source, or near-duplicates)"
    return [
        f"{counted(len(names), 'class', 'classes')} {why}, so not validated: "
        f"{', '.join(names[:10])}{', ...' if len(names) > 10 else '.'}"
        for names, why in ((single, "of a single clip"), (together, reason))
        if names
    ]


def store(splits: Splits, folder: Path) -> None:
    """Write a new division; raises ResourceError if the folder cannot be written."""
    # Training comes last: where it is, the others are too, even after a crash in between.
    for name in reversed(splits):
        write_list(folder / f"{name}.csv", splits[name])


def read_stored(how: ToDivide) -> dict[str, ClipTable] | None:
    """Give the division that was stored, None where there is none.

    Raises:
        ListingError: its files are damaged.
    """
    files = {name: how.folder / f"{name}.csv" for name in how.names}
    if not (files["train"].is_file() and files["val"].is_file()):
        return None
    try:
        return {name: read_list(file) for name, file in files.items() if file.is_file()}
    except ListingError as error:
        raise ListingError(
            *error.problems, f"Put it back, or delete {how.folder} to divide the clips anew."
        ) from error


def divide_as_stored(
    clips: ClipTable, stored: Splits, data_root: str | Path, folder: Path
) -> tuple[dict[str, ClipTable], list[str]]:
    """Divide clips as was stored in a folder, without those that are new since; with notes.

    Raises:
        ListingError: it is of other clips.
    """
    label_of, split_of = {}, {}
    for name, before in stored.items():
        identities = before.identities(data_root)
        split_of |= dict.fromkeys(identities, name)
        label_of |= dict(zip(identities, before.labels or (), strict=False))
    rows: dict[str, list[int]] = {name: [] for name in stored}
    now = clips.identities(data_root)
    if any(before.segments for before in stored.values()) == (clips.segments is not None):
        for row, key in enumerate(now):
            if key in split_of:
                rows[split_of[key]].append(row)
    if not rows["train"] or not rows["val"]:
        raise ListingError(
            f"{folder} keeps a division of other clips than those of {clips.source}; give another "
            "work_dir, or delete that folder to divide anew."
        )
    known = sum(map(len, rows.values()))
    new, gone = len(clips) - known, len(split_of) - known
    classes_left = {label_of[key] for key in set(now) & label_of.keys()}
    if new and gone and set(label_of.values()) - classes_left:
        raise ListingError(
            f"{folder} keeps how the clips were divided, and all clips of a class are gone since "
            f"({counted(new, 'clip')} new, {gone} gone), as where a folder was renamed. Undo that, "
            "or divide and train anew with --fresh."
        )
    changes = [f"{counted(new, 'new clip')}, not used"] if new else []
    changes += [f"{counted(gone, 'clip')} gone"] if gone else []
    since = f"{folder} keeps how the clips were divided; since then: {', '.join(changes)}. "
    notes = [since + "Delete that folder to divide anew."] if changes else []
    return {name: clips.select(of_split) for name, of_split in rows.items()}, notes


def check_stored(stored: Splits, splits: Splits, folder: Path, num_classes: int) -> None:
    """Check that a stored division still means the same classes.

    Raises:
        ListingError: a class of it is gone, or a clip is of another class now.
    """
    for name, before in stored.items():
        now = splits[name]
        label_of = dict(zip(before.identities(""), before.labels or (), strict=False))
        labels = zip(now.identities(""), now.labels or (), strict=True)
        changed = any(label_of.get(key, label) != label for key, label in labels)
        if changed or max(before.classes(), default=0) >= num_classes:
            raise ListingError(
                f"{folder} keeps a division with other classes or labels than there are now; give "
                "another work_dir, or delete that folder to divide anew."
            )
