"""Find what has changed between the clips of a run and the clips listed now.

Clips are matched by content, regardless of their paths; the remaining clips are matched by path. A
class counts as renamed if nearly all of its clips now have the same new class name.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from autox_video.core.wording import counted
from autox_video.data.splitting.known_clips import UNREADABLE, KnownClips

NEARLY_ALL, HALF = 0.8, 0.5
"""A class counts as renamed if at least a share HALF of all its clips, and at least a share
NEARLY_ALL of its clips that are still listed, have the new class name. If the clips are matched by
file name alone, at least a share NEARLY_ALL of all clips of the class must have the new name."""

EXAMPLES = 3

Rename = Mapping[str, str]
"""The new name of each renamed class, by old name."""

Describe = Callable[[Sequence[int]], str]
"""A function that describes the clips in the given rows in a few words."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How `now` differs from `before`."""

    before: KnownClips
    now: KnownClips
    earlier: Mapping[int, int]
    """Maps rows in `now` to rows in `before`, for clips that are in both listings."""
    renamed: Rename

    @property
    def new(self) -> list[int]:
        """Rows in `now` of readable clips that are new."""
        digests = enumerate(self.now.digests)
        return [r for r, digest in digests if r not in self.earlier and digest is not UNREADABLE]

    @property
    def gone(self) -> list[int]:
        """Rows in `before` of readable clips that are no longer listed."""
        left, digests = set(self.earlier.values()), enumerate(self.before.digests)
        return [row for row, digest in digests if row not in left and digest is not UNREADABLE]

    @property
    def relabelled(self) -> list[int]:
        """Rows in `now` of clips whose class has changed and has not merely been renamed."""
        return [r for r, _ in self._used() if self._old_label(r) not in (None, self._label(r))]

    @property
    def moved(self) -> list[int]:
        """Rows in `now` of clips whose path has changed but whose class has not."""
        with_class, names = set(self.relabelled), set(self.renamed.values())
        return [
            row
            for row, old in self._used()
            if self.now.keys[row] != self.before.keys[old]
            and row not in with_class
            and names.isdisjoint(self._label(row) or ())
        ]

    @property
    def switched(self) -> list[int]:
        """Rows in `now` of clips that are now in a different split."""
        before, now = self.before.splits, self.now.splits
        return [row for row, old in self._used() if now[row] and now[row] != before[old]]

    @property
    def new_classes(self) -> list[str]:
        """New classes, in index order."""
        known = {*self.before.classes, *self.renamed.values()}
        return [name for name in self.now.classes if name not in known and self.before.classes]

    @property
    def lost_classes(self) -> list[str]:
        """Classes that no longer exist, in index order."""
        left = {*self.now.classes, *self.renamed}
        return [name for name in self.before.classes if name not in left]

    @property
    def is_reordered(self) -> bool:
        """Whether the classes are the same, but in a different order."""
        before, now = self.before.classes, self.now.classes
        return before != now and sorted(before) == sorted(now)

    @property
    def adds_only(self) -> bool:
        """Whether new clips and new classes are the only changes."""
        clips = self.moved or self.relabelled or self.switched or self.gone
        return not (clips or self.renamed or self.lost_classes or self.is_reordered)

    def sentence(self) -> str:
        """Return text for a sentence that describes all changes; "" if nothing has changed."""
        kinds = (
            (self.new, ("is new", "are new"), self._examples(self.now)),
            (self.gone, ("is gone", "are gone"), self._examples(self.before)),
            (self.moved, ("was moved or renamed", "were moved or renamed"), self._paths(self.now)),
            (self.relabelled, ("has another class", "have another class"), self._new_labels),
            (self.switched, ("is in another split", "are in another split"), self._new_splits),
        )
        parts: list[str] = []
        for rows, verbs, examples in kinds:
            if rows:
                count = str(len(rows)) if parts else counted(len(rows), "clip")
                parts.append(f"{count} {verbs[len(rows) > 1]} ({examples(rows)})")
        return "; ".join([*filter(None, [", ".join(parts)]), *self._on_classes()])

    def _used(self) -> Iterator[tuple[int, int]]:
        """Yield the rows in `now` and `before` of clips that were readable before."""
        for row, old in self.earlier.items():
            if self.before.digests[old] is not UNREADABLE:
                yield row, old

    def _label(self, row: int) -> tuple[str, ...] | None:
        return self.now.labels[row]

    def _old_label(self, row: int) -> tuple[str, ...] | None:
        """Return a clip's old label in current class names; None if the old or new label is
        missing."""
        label = self.before.labels[self.earlier[row]]
        if label is None or self._label(row) is None:
            return None
        return tuple(sorted(self.renamed.get(name, name) for name in label))

    def _on_classes(self) -> Iterator[str]:
        if self.renamed:
            pairs = [f"`{old}` was renamed to `{new}`" for old, new in self.renamed.items()]
            yield f"class {_some(pairs)}"
        for names, verbs in (
            (self.new_classes, ("is new", "are new")),
            (self.lost_classes, ("is gone", "are gone")),
        ):
            if names:
                classes = "classes" if len(names) > 1 else "class"
                yield f"{classes} {_some([f'`{n}`' for n in names])} {verbs[len(names) > 1]}"
        if self.is_reordered:
            pairs = enumerate(zip(self.before.classes, self.now.classes, strict=True))
            index, (old, new) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
            yield f"the classes are in another order (number {index}: `{old}` before, `{new}` now)"

    def _examples(self, clips: KnownClips) -> Describe:
        """Return a function that lists a few clips by path, or counts many clips by class."""

        def examples(rows: Sequence[int]) -> str:
            labels = [clips.labels[row] for row in rows]
            if len(rows) <= EXAMPLES or None in labels:
                return self._paths(clips)(rows)
            counts = Counter(name for label in labels for name in label)
            return _some([f"{count} in `{name}`" for name, count in counts.most_common()])

        return examples

    @staticmethod
    def _paths(clips: KnownClips) -> Describe:
        return lambda rows: name_clips([clips.keys[row] for row in rows])

    def _new_labels(self, rows: Sequence[int]) -> str:
        pairs = [(self._old_label(row), self._label(row)) for row in rows]
        names = [tuple(";".join(label) or "none" for label in pair) for pair in pairs]
        return self._arrows(rows, names)

    def _new_splits(self, rows: Sequence[int]) -> str:
        splits = [(self.before.splits[self.earlier[row]], self.now.splits[row]) for row in rows]
        return self._arrows(rows, splits)

    def _arrows(self, rows: Sequence[int], pairs: Sequence[tuple[str, str]]) -> str:
        if len(rows) == 1:
            (old, new), name = pairs[0], _name(self.now.keys[rows[0]])
            return f"{name}: {old} -> {new}"
        counts = Counter(pairs).most_common()
        return _some([f"{old} -> {new}: {count}" for (old, new), count in counts])


def compare(before: KnownClips, now: KnownClips) -> Changes:
    """Match the clips of two listings, and find which classes were renamed."""
    row_of = {key: row for row, key in enumerate(before.keys)}
    earlier: dict[int, int] = {}
    for row, key in enumerate(now.keys):
        old = row_of.get(key)
        if old is not None and not _differ(before, old, now, row):
            earlier[row] = old
    earlier |= _equal_elsewhere(before, now, earlier)
    # The remaining clips with the same path were re-encoded or replaced.
    left = set(earlier.values())
    for row, key in enumerate(now.keys):
        if row not in earlier and key in row_of and row_of[key] not in left:
            earlier[row] = row_of[key]
    earlier |= _named_alike(before, now, earlier)
    return Changes(before, now, dict(sorted(earlier.items())), _find_renamed(before, now, earlier))


def _differ(before: KnownClips, old: int, now: KnownClips, row: int) -> bool:
    """Whether two clips are known to have different contents."""
    contents = before.digests[old], now.digests[row]
    return all(contents) and contents[0] != contents[1]


def _equal_elsewhere(
    before: KnownClips, now: KnownClips, earlier: Mapping[int, int]
) -> dict[int, int]:
    """Match clips with equal content and different paths."""
    left, places = set(earlier.values()), defaultdict(list)
    for old in range(len(before)):
        if old not in left and (content := before.content(old)):
            places[content].append(old)
    if not places:
        return {}
    return {
        row: places[content].pop(0)
        for row in range(len(now))
        if row not in earlier and (content := now.content(row)) and places.get(content)
    }


def _named_alike(before: KnownClips, now: KnownClips, earlier: Mapping[int, int]) -> dict[int, int]:
    """Match clips by their paths within a class folder whose name has changed."""
    lost, new = _only_in(before, now), _only_in(now, before)
    left, places = set(earlier.values()), defaultdict(list)
    for old in range(len(before)):
        if old not in left and (name := _only_class(before, old)) in lost:
            places[_within_class(before.keys[old], name)].append(old)
    pairs: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for row in range(len(now)) if places else ():
        if row in earlier or (name := _only_class(now, row)) not in new:
            continue
        for old in places.get(_within_class(now.keys[row], name), ()):
            if not _differ(before, old, now, row):
                pairs[_only_class(before, old), name][row] = old
    sizes = Counter(name for label in before.labels for name in label or ())
    return {
        row: old
        for pair in _one_to_one({pair: len(rows) for pair, rows in pairs.items()})
        if len(pairs[pair]) >= NEARLY_ALL * sizes[pair[0]]
        for row, old in pairs[pair].items()
    }


def _find_renamed(before: KnownClips, now: KnownClips, earlier: Mapping[int, int]) -> Rename:
    lost, new = _only_in(before, now), _only_in(now, before)
    shared: Counter[tuple[str, str]] = Counter()
    left: Counter[str] = Counter()
    for row, old in earlier.items():
        for name in before.labels[old] or ():
            left[name] += 1
            if name in lost:
                shared.update((name, other) for other in now.labels[row] or () if other in new)
    sizes = Counter(name for label in before.labels for name in label or ())
    return {
        old: other
        for old, other in _one_to_one(shared)
        if shared[old, other] >= max(HALF * sizes[old], NEARLY_ALL * left[old])
    }


def _one_to_one(counts: Mapping[tuple[str, str], int]) -> Iterator[tuple[str, str]]:
    """Yield the pairs with the highest counts such that each name occurs in only one pair."""
    used: set[tuple[int, str]] = set()
    for pair in sorted(counts, key=lambda pair: (-counts[pair], pair)):
        names = set(enumerate(pair))
        if used.isdisjoint(names):
            used |= names
            yield pair


def _only_in(one: KnownClips, other: KnownClips) -> set[str]:
    return set(one.classes) - set(other.classes)


def _only_class(clips: KnownClips, row: int) -> str | None:
    """Return the class of a clip; None if it has no class or several."""
    label = clips.labels[row]
    return label[0] if label is not None and len(label) == 1 else None


def _within_class(key: Hashable, name: str) -> Hashable:
    """Return a key without its class folder, or unchanged if its path contains no class folder."""
    path, segment = key if isinstance(key, tuple) else (key, None)
    *folders, file = path.split("/")
    if name not in folders:
        return key
    at = folders.index(name)
    return tuple(folders[:at]), (*folders[at + 1 :], file), segment


def name_clips(keys: Sequence[Hashable]) -> str:
    """Return the paths of the first few clips as text, with the times of segments."""
    return _some([_name(key) for key in keys[: EXAMPLES + 1]])


def _some(items: Sequence[str]) -> str:
    return ", ".join(items[:EXAMPLES]) + (", ..." if len(items) > EXAMPLES else "")


def _name(key: Hashable) -> str:
    if isinstance(key, tuple):
        path, (start_sec, end_sec) = key
        return f"{path} from {start_sec:g} to {end_sec:g} s"
    return str(key)
