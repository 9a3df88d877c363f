"""Clips divided into training, validation and test once, by class, and kept in the work dir."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autox_video.dataset.class_labels import rarest_parts
from autox_video.dataset.list_files import (
    ClipList,
    Entries,
    counted,
    read_list,
    write_list,
)
from autox_video.errors import ListingError

# Of each class; the rest is for training.
SHARES: Mapping[tuple[str, ...], Mapping[str, float]] = {
    ("train", "val"): {"val": 0.20},
    ("train", "val", "test"): {"val": 0.15, "test": 0.15},
}


@dataclass(frozen=True, slots=True)
class Division:
    """Entries divided, with where that is kept."""

    splits: dict[str, Entries]
    kept: dict[str, ClipList] | None
    """What the files in `folder` say; None if there were none: the division is new."""
    folder: Path
    notes: tuple[str, ...]


def split_counts(clips: int, names: tuple[str, ...]) -> tuple[int, ...]:
    """Say how many of a class's clips go to each split of `names`.

    Training comes first, then validation, then test: each gets its first clip in that order.
    """
    counts = {}
    left = clips - 1
    for name, share in SHARES[names].items():
        counts[name] = min(left, max(1, int(clips * share + 0.5)))
        left -= counts[name]
    return (left + 1, *counts.values())


def stratify(
    keys: Sequence[Any], labels: Sequence[str], *, names: tuple[str, ...], seed: int
) -> dict[str, list[int]]:
    """Give the indices of each split; every class is divided in the same proportions.

    The same clips, labels and seed give the same splits, whatever the order of the clips; a class
    is divided the same way whatever the other classes are.
    """
    by_class: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        by_class.setdefault(label, []).append(index)
    splits: dict[str, list[int]] = {name: [] for name in names}
    for label, indices in by_class.items():
        indices.sort(key=keys.__getitem__)
        random.Random(f"{seed}/{label}").shuffle(indices)
        start = 0
        for name, count in zip(names, split_counts(len(indices), names), strict=True):
            splits[name] += indices[start : start + count]
            start += count
    return {name: sorted(indices) for name, indices in splits.items()}


def divide(
    entries: Entries,
    data_root: str | Path,
    folder: Path,
    *,
    names: tuple[str, ...],
    seed: int,
    multi_label: bool = False,
) -> Division:
    """Divide entries as the files in `folder` say, or anew where they are missing.

    Nothing is written; `keep` does that. With kept files, clips that are new since are not used.
    A clip of several classes counts for the rarest of them.

    Raises:
        ListingError: no clip is left for validation, or the kept files are of other clips.
    """
    files = {name: folder / f"{name}.csv" for name in names}
    if files["train"].is_file() and files["val"].is_file():
        kept = {name: read_list(file) for name, file in files.items() if file.is_file()}
        return _divide_as_kept(entries, kept, data_root, folder)
    labels = entries.labels or ()
    strata = rarest_parts(labels) if multi_label else labels
    indices = stratify(entries.identities(), strata, names=names, seed=seed)
    if not indices["val"]:
        raise ListingError(
            f"{entries.source}: every class has a single clip, so none is left for validation; "
            "add clips, or give ann_file_val."
        )
    splits = {name: entries.select(chosen) for name, chosen in indices.items()}
    parts = ", ".join(f"{len(split)} for {name}" for name, split in splits.items())
    note = f"The clips of {entries.source} were divided: {parts}; {folder} keeps the lists."
    return Division(splits, None, folder, (note, *_thin_classes(splits)))


def _thin_classes(splits: Mapping[str, Entries]) -> list[str]:
    train, val = (set(splits[name].labels or ()) for name in ("train", "val"))
    thin = sorted(train - val)
    if not thin:
        return []
    names = ", ".join(thin[:10]) + (", ..." if len(thin) > 10 else "")
    return [
        f"{counted(len(thin), 'class', 'classes')} of a single clip, so not validated: {names}."
    ]


def _divide_as_kept(
    entries: Entries, kept: dict[str, ClipList], data_root: str | Path, folder: Path
) -> Division:
    home = {one: name for name, clips in kept.items() for one in clips.identities(data_root)}
    chosen: dict[str, list[int]] = {name: [] for name in kept}
    new = 0
    same_kind = any(clips.segments for clips in kept.values()) == (entries.segments is not None)
    for index, identity in enumerate(entries.identities() if same_kind else ()):
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
    changes = [f"{counted(new, 'new clip')}, not used"] if new else []
    changes += [f"{counted(gone, 'clip')} gone"] if gone else []
    since = f"{folder} keeps how the clips were divided; since then: {', '.join(changes)}. "
    notes = (since + "Delete that folder to divide anew.",) if changes else ()
    splits = {name: entries.select(indices) for name, indices in chosen.items()}
    return Division(splits, kept, folder, notes)


def keep(division: Division, lists: Mapping[str, ClipList], num_classes: int) -> None:
    """Write a new division to its folder; check that an old one still means the same classes.

    Raises:
        ListingError: a class of a kept division is gone, or a clip is of another class now.
        ResourceError: the folder cannot be written.
    """
    if division.kept is None:
        # Training comes last: where it is, the others are too, even after a crash in between.
        for name in reversed(division.splits):
            write_list(division.folder / f"{name}.csv", lists[name])
        return
    for name in division.splits:
        kept, now = division.kept[name], lists[name]
        label_of = dict(zip(kept.identities(""), kept.labels or (), strict=False))
        changed = any(
            label_of.get(identity, label) != label
            for identity, label in zip(now.identities(""), now.labels or (), strict=True)
        )
        if changed or max(kept.classes(), default=0) >= num_classes:
            raise ListingError(
                f"{division.folder} keeps a division with other classes or labels than there are "
                "now; give another work_dir, or delete that folder to divide anew."
            )
