"""Clips divided into training, validation and test once, by class, and kept in the work dir."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.dataset.groups import alone, members
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
class ToDivide:
    """How a list is to be divided."""

    source: str
    """The list file or folder."""
    names: tuple[str, ...]
    """Of the splits, a key of SHARES."""
    seed: int
    folder: Path
    """Where the division is kept."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Entries divided as the files in a folder say."""

    splits: dict[str, Entries]
    lists: dict[str, ClipList]
    """What the files say."""
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
    keys: Sequence[Any],
    labels: Sequence[str],
    *,
    names: tuple[str, ...],
    seed: int,
    groups: np.ndarray | None = None,
) -> dict[str, list[int]]:
    """Give the indices of each split; every class is divided in the same proportions.

    The same clips, labels, groups and seed give the same splits, whatever the order of the clips;
    a class without groups is divided the same way whatever the other classes are.

    Args:
        keys: what tells each clip from all others.
        labels: the class of each clip.
        names: of the splits, a key of SHARES.
        seed: of the choice.
        groups: (N,) labels of clips that stay together, as in `groups`; None: each clip is alone.
            The proportions are then as near as they can be; a class of two groups or more has
            clips in two splits, and so on.
    """
    together = members(alone(len(labels)) if groups is None else groups)
    grouped = {index for group in together for index in group.tolist()}
    singles: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        of_class = singles.setdefault(label, [])
        if index not in grouped:
            of_class.append(index)
    shares = _Shares(Counter(labels), names)
    splits: dict[str, list[int]] = {name: [] for name in names}
    inside = [Counter(labels[index] for index in group.tolist()) for group in together]
    shares.expect(inside, {label: len(indices) for label, indices in singles.items()})
    for number in _largest_first(together, keys, seed):
        splits[shares.place(inside[number])] += together[number].tolist()
    for label, indices in singles.items():
        indices.sort(key=keys.__getitem__)
        # A folder's name is bytes, which need not be text.
        stream = f"{seed}/{label}".encode("utf-8", "surrogateescape")
        random.Random(stream).shuffle(indices)
        start = 0
        for name, count in zip(names, shares.rest(label, len(indices)), strict=True):
            splits[name] += indices[start : start + count]
            start += count
    return {name: sorted(indices) for name, indices in splits.items()}


def _largest_first(together: Sequence[np.ndarray], keys: Sequence[Any], seed: int) -> list[int]:
    """Give the numbers of the groups: the largest first, those of a size in a random order."""
    first = [min(keys[index] for index in group.tolist()) for group in together]
    order = sorted(range(len(together)), key=first.__getitem__)
    random.Random(f"{seed}/groups").shuffle(order)
    return sorted(order, key=lambda number: -len(together[number]))


class _Shares:
    """How many clips of each class each split should have, and has."""

    def __init__(self, clips: Mapping[str, int], names: tuple[str, ...]) -> None:
        self._names, self._clips = names, clips
        counts = {label: split_counts(count, names) for label, count in clips.items()}
        self._wanted = {
            label: dict(zip(names, each, strict=True)) for label, each in counts.items()
        }
        self._has = {label: dict.fromkeys(names, 0) for label in clips}
        self._to_come: Counter[str] = Counter()

    def expect(self, groups: Sequence[Mapping[str, int]], singles: Mapping[str, int]) -> None:
        """Say what will come: groups as clips by class, and single clips by class."""
        self._to_come = Counter(singles)
        for group in groups:
            self._to_come.update(group.keys())

    def place(self, group: Mapping[str, int]) -> str:
        """Choose the split for a group of clips, given as their number by class."""
        allowed = set(self._names)
        for label in sorted(group):
            without = [name for name in self._names if not self._has[label][name]]
            if self._to_come[label] <= len(without):
                # As few are to come as splits are empty: each goes to one of those.
                needed = set(without[: self._to_come[label]])
                allowed = allowed & needed or ({"train"} if "train" in needed else allowed)
        candidates = [name for name in self._names if name in allowed]
        chosen = min(candidates, key=lambda name: self._excess(name, group))
        for label, count in group.items():
            self._has[label][chosen] += count
            self._to_come[label] -= 1
        return chosen

    def _excess(self, name: str, group: Mapping[str, int]) -> tuple[float, float]:
        """Say by how much what is wrong with the shares would grow; of equals, the emptier first.

        Wrong is the square of what a split lacks or has too much, by what it should have: so
        groups go to all splits in proportion, not to the largest until that is full.
        """
        grows = has = wanted = 0.0
        for label, count in sorted(group.items()):
            lacking = self._wanted[label][name] - self._has[label][name]
            grows += count * (count - 2 * lacking) / max(self._wanted[label][name], 0.5)
            has += self._has[label][name]
            wanted += self._wanted[label][name]
        return round(grows, 9), has / max(wanted, 0.5)

    def rest(self, label: str, clips: int) -> list[int]:
        """Say how many of the last, single clips of a class go to each split."""
        wanted, has = self._wanted[label], self._has[label]
        left = clips - (1 if clips and not has["train"] else 0)
        counts = []
        for number, name in enumerate(self._names[1:], 2):
            # Each that has none yet gets its first clip, validation before test.
            later = sum(not has[other] for other in self._names[number:])
            count = min(max(left - later, 1), max(wanted[name] - has[name], 0), left)
            counts.append(count)
            left -= count
        return [clips - sum(counts), *counts]


def divide(
    clips: ClipList,
    how: ToDivide,
    classes: Sequence[str],
    *,
    data_root: str | Path,
    groups: np.ndarray | None = None,
    unreadable: Sequence[int] = (),
) -> tuple[dict[str, ClipList], tuple[str, ...]]:
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
    strata = [classes[label] if label >= 0 else "" for label in _rarest(clips)]
    labels = [strata[index] for index in usable]
    kin = alone(len(usable)) if groups is None else groups[usable]
    found = stratify(keys, labels, names=how.names, seed=how.seed, groups=kin)
    notes = []
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


def _rarest(clips: ClipList) -> Sequence[int]:
    """Give the class of each clip, of several the rarest one; -1 for none."""
    if not clips.multi_label:
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


def read_kept(entries: Entries, data_root: str | Path, how: ToDivide) -> Kept | None:
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
    entries: Entries, kept: dict[str, ClipList], data_root: str | Path, folder: Path
) -> Kept:
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
    return Kept(splits, kept, notes)


def check_kept(kept: Kept, lists: Mapping[str, ClipList], how: ToDivide, num_classes: int) -> None:
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


def keep(splits: Mapping[str, ClipList], folder: Path) -> None:
    """Write a new division; raises ResourceError if the folder cannot be written."""
    # Training comes last: where it is, the others are too, even after a crash in between.
    for name in reversed(splits):
        write_list(folder / f"{name}.csv", splits[name])
