"""Stratified, grouped splits into training, validation and test sets."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from autox_video.data.splitting.groups import alone, members

# Share of each class that goes to each split; the rest goes to training.
SHARES: Mapping[tuple[str, ...], Mapping[str, float]] = {
    ("train", "val"): {"val": 0.20},
    ("train", "val", "test"): {"val": 0.15, "test": 0.15},
}
_MORE_THAN_WANTED = 0.2
"""A held-out split may exceed its share by this fraction of the share to keep a group whole."""


def split_counts(clips: int, names: tuple[str, ...]) -> tuple[int, ...]:
    """Return how many clips of a class go to each split in `names`.

    If there are few clips, training gets the first clip, validation the second and test the third.
    """
    held_out, left = [], clips - 1
    for wanted in SHARES[names].values():
        held_out.append(min(left, max(1, int(clips * wanted + 0.5))))
        left -= held_out[-1]
    return (left + 1, *held_out)


def stratify(
    keys: Sequence[Any],
    labels: Sequence[str],
    *,
    names: tuple[str, ...],
    seed: int,
    groups: np.ndarray | None = None,
    sides: Mapping[int, str] | None = None,
) -> dict[str, list[int]]:
    """Return the clip indices of each split; every class is split in the same proportions.

    The same clips, labels, groups and seed give the same splits, whatever the order of the clips. A
    class without groups is split in the same way whatever the other classes are.

    Args:
        keys: a unique, sortable key for each clip.
        labels: class of each clip.
        names: tuple of the names of the splits to make; must be a key of SHARES.
        seed: seed for the random choice.
        groups: group labels (N,) of clips that stay together (see the module `groups`); None: each
            clip is its own group. With groups, the proportions are met as closely as possible, and
            the groups of a class are spread over as many splits as possible.
        sides: split by clip index, for each clip that keeps its earlier split. The other clips of
            the same group go to the same split; if the group already spans several splits, the
            other clips go to the first of these splits in the order of `names`.
    """
    groups = alone(len(labels)) if groups is None else groups
    settled = sides_of_groups(groups, sides or {}, names) | dict(sides or {})
    together = [group.tolist() for group in members(groups) if group[0] not in settled]
    taken = settled.keys() | set(chain.from_iterable(together))
    singles: dict[str, list[int]] = {label: [] for label in labels}
    for index, label in enumerate(labels):
        if index not in taken:
            singles[label].append(index)
    inside = [Counter(labels[index] for index in group) for group in together]
    shares = _Shares(Counter(labels), names, inside, singles)
    splits: dict[str, list[int]] = {name: [] for name in names}
    for index, name in settled.items():
        splits[name].append(index)
        shares.put(name, {labels[index]: 1})
    order = _random_order(together, keys, seed)
    drawn = {number: name for number in order if (name := shares.draw(inside[number]))}
    # The remaining groups even out the shares; the largest come first, while there is room.
    left = sorted((n for n in order if n not in drawn), key=lambda n: -len(together[n]))
    drawn |= {number: shares.even_out(inside[number]) for number in left}
    for number, name in drawn.items():
        splits[name] += together[number]
    for label, indices in singles.items():
        indices.sort(key=keys.__getitem__)
        # A folder's name consists of bytes, which need not be valid text.
        stream = f"{seed}/{label}".encode("utf-8", "surrogateescape")
        random.Random(stream).shuffle(indices)
        start = 0
        for name, count in zip(names, shares.rest(label, len(indices)), strict=True):
            splits[name] += indices[start : start + count]
            start += count
    return {name: sorted(indices) for name, indices in splits.items()}


def sides_of_groups(
    groups: np.ndarray, sides: Mapping[int, str], names: tuple[str, ...]
) -> dict[int, str]:
    """Return the split of each clip whose group has a split (the first in `names` if there are
    several).

    Args:
        groups: group labels (N,) of the clips (see the module `groups`).
        sides: split by clip index, for the clips that already have a split.
        names: names of the splits.
    """
    of_group: dict[int, str] = {}
    for index, name in sorted(sides.items(), key=lambda item: -names.index(item[1])):
        of_group[int(groups[index])] = name
    return {
        index: of_group[group] for index, group in enumerate(groups.tolist()) if group in of_group
    }


def _random_order(together: Sequence[Sequence[int]], keys: Sequence[Any], seed: int) -> list[int]:
    """Return the groups in a random order that does not depend on the order of the clips."""
    first = [min(keys[index] for index in group) for group in together]
    order = sorted(range(len(together)), key=first.__getitem__)
    random.Random(f"{seed}/groups").shuffle(order)
    return order


class _Shares:
    """Counts, by class and split, how many clips are intended and how many have been placed.

    The `groups` (clip counts by class) are placed first, followed by the `singles` of each class.
    """

    def __init__(
        self,
        clips: Mapping[str, int],
        names: tuple[str, ...],
        groups: Sequence[Counter[str]],
        singles: Mapping[str, Sequence[int]],
    ) -> None:
        self._names = names
        counts = {label: split_counts(count, names) for label, count in clips.items()}
        self._wanted = {label: dict(zip(names, counts[label], strict=True)) for label in clips}
        self._has = {label: dict.fromkeys(names, 0) for label in clips}
        self._to_come = Counter({label: len(indices) for label, indices in singles.items()})
        self._to_come.update(chain.from_iterable(groups))
        grouped = Counter()
        for group in groups:
            grouped.update(group)
        self._grouped = {label: (grouped[label], count) for label, count in clips.items()}

    def put(self, name: str, group: Mapping[str, int]) -> None:
        """Add clips, given as counts by class, to a split."""
        for label, count in group.items():
            self._has[label][name] += count

    def draw(self, group: Mapping[str, int]) -> str | None:
        """Put a group into the first held-out split that has room; return the split, or None.

        Groups are drawn at random, whatever their size: large recordings are held out as often as
        small ones, since validation on small recordings alone would not be representative. Clips
        without a group are placed later.
        """
        for name in self._names[1:]:
            wanted = {label: self._of_groups(label, name) for label in group}
            has = {label: self._has[label][name] for label in group}
            lacks_one = any(has[label] < wanted[label] for label in group)
            if lacks_one and all(
                has[label] + count <= wanted[label] + _MORE_THAN_WANTED * self._wanted[label][name]
                for label, count in group.items()
            ):
                return self._take(name, group)
        return None

    def _of_groups(self, label: str, name: str) -> float:
        """Return how many clips of a class a split should get as whole groups."""
        grouped, clips = self._grouped[label]
        return self._wanted[label][name] * grouped / clips

    def _take(self, name: str, group: Mapping[str, int]) -> str:
        self.put(name, group)
        self._to_come.subtract(group.keys())
        return name

    def even_out(self, group: Mapping[str, int]) -> str:
        """Put a group of clips, given as counts by class, into a split, and return the split."""
        allowed = set(self._names)
        for label in sorted(group):
            without = [name for name in self._names if not self._has[label][name]]
            if self._to_come[label] <= len(without):
                # All remaining clips of this class are needed by splits that have none.
                needed = set(without[: self._to_come[label]])
                allowed = allowed & needed or ({"train"} if "train" in needed else allowed)
        candidates = [name for name in self._names if name in allowed]
        return self._take(min(candidates, key=lambda name: self._excess(name, group)), group)

    def _excess(self, name: str, group: Mapping[str, int]) -> tuple[float, float]:
        """Return how much adding a group would increase the error, and how full the split is.

        The error is the squared difference from the intended share, divided by the intended share,
        so that groups go to all splits in proportion instead of filling up the largest split first.
        """
        grows = has = wanted = 0.0
        for label, count in sorted(group.items()):
            lacking = self._wanted[label][name] - self._has[label][name]
            grows += count * (count - 2 * lacking) / max(self._wanted[label][name], 0.5)
            has += self._has[label][name]
            wanted += self._wanted[label][name]
        return round(grows, 9), has / max(wanted, 0.5)

    def rest(self, label: str, clips: int) -> list[int]:
        """Return how many of a class's ungrouped clips, which are placed last, go to each split."""
        wanted, has = self._wanted[label], self._has[label]
        left = clips - (1 if clips and not has["train"] else 0)
        counts = []
        for number, name in enumerate(self._names[1:], 2):
            # A split without a clip gets its first clip, validation before test.
            later = sum(not has[name] for name in self._names[number:])
            counts.append(min(max(left - later, 1), max(wanted[name] - has[name], 0), left))
            left -= counts[-1]
        return [clips - sum(counts), *counts]
