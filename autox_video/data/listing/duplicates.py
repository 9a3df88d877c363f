"""Clips that are listed more than once, in one list or in two."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from autox_video.data.listing.entries import LABELS_JOINED_BY, Entries, at_most, counted, parts_of


@dataclass(frozen=True, slots=True)
class Once:
    """A list with each clip once."""

    entries: Entries
    problems: list[str]
    """Where a clip has two labels."""
    notes: list[str]


def has_several_labels(entries: Entries) -> bool:
    """Whether a clip is listed again with another label."""
    first: dict[object, str] = {}
    return entries.labels is not None and any(
        first.setdefault(identity, label) != label
        for identity, label in zip(entries.identities(), entries.labels, strict=True)
    )


def drop_repeats(entries: Entries, *, multi_label: bool = False) -> Once:
    """Keep each clip once; of several classes a clip, it then is of all that its lines say.

    A video with two segments is two clips.
    """
    identities = entries.identities()
    if len(set(identities)) == len(entries):
        return Once(entries, [], [])
    first: dict[object, int] = {}
    chosen, repeats = [], []
    for index, identity in enumerate(identities):
        if first.setdefault(identity, index) == index:
            chosen.append(index)
        else:
            repeats.append((first[identity], index))
    index, again = repeats[0]
    note = (
        f"{entries.source} lists {counted(len(repeats), 'clip')} again, which counts once: "
        f"{entries.place(again)} repeats {entries.place(index)}, for one."
    )
    if multi_label and entries.labels is not None:
        joined = _join_labels(entries, repeats)
        return Once(joined.select(chosen), [], [note] if joined.labels == entries.labels else [])
    return Once(entries.select(chosen), at_most(_contradictions(entries, repeats)), [note])


def _join_labels(entries: Entries, repeats: list[tuple[int, int]]) -> Entries:
    labels = list(entries.labels)
    for index, again in repeats:
        if labels[again] != labels[index]:
            parts = dict.fromkeys((*parts_of(labels[index]), *parts_of(labels[again])))
            labels[index] = LABELS_JOINED_BY.join(parts)
    return entries.change(labels=labels)


def _contradictions(entries: Entries, repeats: list[tuple[int, int]]) -> Iterator[str]:
    labels = entries.labels
    for index, again in repeats:
        if labels is not None and labels[index] != labels[again]:
            yield (
                f"{entries.place(again)}: clip `{entries.paths[again]}` has the label "
                f"{labels[again]}, but {labels[index]} at {entries.place(index)}; keep one."
            )


def say_several_labels(splits: Mapping[str, Entries]) -> list[str]:
    """Say that clips of several classes were found, and what follows from it."""
    labelled = [split for split in splits.values() if split.labels is not None]
    several = [(split, i) for split in labelled for i in _of_several_classes(split.labels)]
    if not several:
        return []
    split, first = several[0]
    total = counted(sum(map(len, labelled)), "clip")
    return [
        f"{len(several)} of {total} are of several classes, as `{split.labels[first]}` at "
        f"{split.place(first)}: training is multi-label (per-class sigmoid), judged by mAP. "
        "Set multi_label: false if each label is one class."
    ]


def _of_several_classes(labels: Sequence[str]) -> list[int]:
    several = {label for label in set(labels) if len(parts_of(label)) > 1}
    return [index for index, label in enumerate(labels) if label in several] if several else []


def say_overlapping_parts(entries: Entries) -> list[str]:
    """Say which parts of videos overlap by half or more, though their labels differ."""
    if entries.segments is None or entries.labels is None:
        return []
    order = sorted(range(len(entries)), key=lambda i: (entries.keys[i], entries.segments[i]))
    pairs = [pair for pair in pairwise(order) if _overlap_oddly(entries, *pair)]
    if not pairs:
        return []
    one, other = pairs[0]
    return [
        f"{counted(len(pairs), 'pair')} of parts of videos in {entries.source} overlap by half or "
        f"more, with other labels: {entries.place(one)} ({entries.labels[one]}) and "
        f"{entries.place(other)} ({entries.labels[other]}), for example."
    ]


def _overlap_oddly(entries: Entries, one: int, other: int) -> bool:
    if entries.keys[one] != entries.keys[other] or entries.labels[one] == entries.labels[other]:
        return False
    (start, end), (other_start, other_end) = entries.segments[one], entries.segments[other]
    shared = min(end, other_end) - max(start, other_start)
    return shared > 0 and 2 * shared >= min(end - start, other_end - other_start)


def same_clip_twice(splits: Mapping[str, Entries]) -> list[str]:
    """Name the validation clips that are for training too, one sentence each."""
    train, val = splits["train"], splits["val"]
    return at_most(
        f"{val.place(j)}: clip `{val.paths[j]}` is for training too, at {train.place(i)}; "
        "validation needs clips of its own."
        for i, j in _common(train, val)
    )


def _common(one: Entries, other: Entries) -> list[tuple[int, int]]:
    """Give the indices of the clips that both have, in the order of `other`."""
    if (one.segments is None) == (other.segments is None):
        ours, others = one.identities(), other.identities()
    else:
        # A whole video and a part of it are common.
        ours, others = one.keys, other.keys
    shared = set(ours).intersection(others)
    if not shared:
        return []
    index = {identity: i for i, identity in enumerate(ours) if identity in shared}
    return [(index[identity], j) for j, identity in enumerate(others) if identity in shared]


def say_overlaps(splits: Mapping[str, Entries]) -> Iterator[str]:
    """Say which test clips are elsewhere too, and which videos have parts in two splits."""
    train = splits["train"]
    for name in ("val", "test"):
        other = splits.get(name)
        if other is None or other.segments is None or train.segments is None:
            continue
        if shared := len(set(train.keys).intersection(other.keys)):
            yield (
                f"{counted(shared, 'video')} with a part in the {name} list and another in the "
                "train list: expect less on other videos than the figures say."
            )
    if "test" not in splits:
        return
    test = splits["test"]
    for name, why in (
        ("train", "the model has seen them"),
        ("val", "the best weights are chosen by them"),
    ):
        if name in splits and (shared := len(_common(splits[name], test))):
            yield (
                f"Of {counted(len(test), 'test clip')}, {shared} in the {name} list too: {why}, so "
                "expect less on other clips than the test says."
            )
