"""Report the problems and unusual clips in an inspected listing, as plain data."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from autox_video.data.clip_table import ClipTable, indices_of, video_keys
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.data.listing.classes.similar_names import near_names
from autox_video.data.listing.listing import Listing
from autox_video.data.splitting.groups import either, members, same
from autox_video.data.splitting.sources import sources

SCHEMA = 1
IMBALANCED_FROM = 10.0
"""Imbalance is reported if the largest class is at least this many times as big as the smallest."""

RARE_CODEC_SHARE = 0.01

# A value is unusual if it differs from the median by more than this factor, in either direction.
_ODD_FACTORS = {"seconds": 4.0, "fps": 2.0, "short side": 2.0}

Clip = dict[str, Any]
"""A dict with the keys "split", "video", "label" (class name, list of names or None) and, for a
segment of a video, "segment"."""

Group = dict[str, Any]
"""A dict with the keys "leak" (whether the group spans several splits), "agree" (whether all its
clips have the same label) and "clips" (videos by split)."""


class Health:
    """All clips of a listing, from all splits, and how they are related.

    Attributes:
        split_of: index of each clip's split in `names` (N,).
        exact: group labels (N,) of clips with equal content (see the module `groups`).
        near: group labels (N,) of near-duplicates, including exact duplicates.
        recordings: group labels (N,) of clips that seem to be cut from the same recording.
    """

    def __init__(self, listing: Listing) -> None:
        self.listing, self.splits, self.names = listing, listing.splits, tuple(listing.splits)
        tables = tuple(listing.splits.values())
        self._rows = [(name, i) for name, clips in self.splits.items() for i in range(len(clips))]
        self.split_of = np.repeat(np.arange(len(tables)), [len(clips) for clips in tables])
        self.facts: list[ClipFacts] = [fact for clips in tables for fact in clips.facts]
        self.recordings = np.concatenate([clips.recordings.labels for clips in tables])
        self._paths = [path for clips in tables for path in clips.paths]
        segments = [self.splits[name].segment(row) for name, row in self._rows]
        # Different segments of a video are not duplicates: equal clips must have equal segments.
        self._part = same(segments) if len(set(segments)) > 1 else None
        self.exact = self._within_part([clips.recordings.equal for clips in tables])
        self.near = either(
            self.exact, self._within_part([clips.recordings.alike for clips in tables])
        )

    def _within_part(self, labels: Sequence[np.ndarray]) -> np.ndarray:
        """Return the group labels of all splits as (N,), with each group subdivided by segment."""
        all_labels = np.concatenate(labels).tolist()
        if self._part is None:
            return same(all_labels)
        return same(zip(self._part.tolist(), all_labels, strict=True))

    @cached_property
    def source(self) -> np.ndarray:
        """Group labels (N,) of clips that are cut from the same video, judging by their paths."""
        keys = video_keys(self._paths, self.listing.data_root)
        return either(same(keys), same(sources(self._paths, len(self.listing.classes))))

    def clip(self, number: int) -> Clip:
        """Return the clip with the given number as a `Clip` dict."""
        name, row = self._rows[number]
        clips = self.splits[name]
        described = {"split": name, "video": clips.paths[row], "label": self._label(clips, row)}
        if clips.segments is not None:
            start_sec, end_sec = clips.segment(row)
            described["segment"] = [start_sec, end_sec if np.isfinite(end_sec) else None]
        return described

    def _label(self, clips: ClipTable, row: int) -> str | list[str] | None:
        if clips.labels is None:
            return None
        names = [self.listing.classes[index] for index in indices_of(clips.labels[row])]
        return names if clips.has_label_sets else names[0]

    def groups(self, labels: np.ndarray, known: np.ndarray | None = None) -> list[Group]:
        """Return the groups of two or more clips; groups that span several splits come first.

        Groups contained in a single group of `known` (group labels (N,)) are omitted.
        """
        groups = [
            self._group(numbers)
            for numbers in members(labels)
            if known is None or len(np.unique(known[numbers])) > 1
        ]
        return sorted(groups, key=lambda group: not group["leak"])

    def _group(self, numbers: np.ndarray) -> Group:
        clips: dict[str, list[str]] = {}
        for clip in map(self.clip, numbers.tolist()):
            part = f" {clip['segment']}" if "segment" in clip else ""
            clips.setdefault(clip["split"], []).append(clip["video"] + part)
        return {"leak": len(clips) > 1, "agree": self.labels_agree(numbers), "clips": clips}

    def labels_agree(self, numbers: np.ndarray) -> bool:
        """Whether the clips with the given numbers all have the same label."""
        labels = {str(self.clip(number)["label"]) for number in numbers.tolist()}
        return len(labels - {"None"}) <= 1


def report(health: Health) -> dict[str, Any]:
    """Return the contents of check.json."""
    listing, is_leak = health.listing, lambda group: group["leak"]
    closer = either(health.source, health.near)
    train = listing.count_by_class(health.splits["train"])
    return {
        "schema": SCHEMA,
        "data_root": str(listing.data_root),
        "classes": list(listing.classes),
        "named": listing.named,
        "splits": {name: _figures(health, name) for name in health.names},
        "imbalance": _imbalance(health),
        "near_names": near_names(train) if listing.named else [],
        "unreadable": [
            {**health.clip(number), "reason": fact.error}
            for number, fact in enumerate(health.facts)
            if fact.error is not None
        ],
        "odd": list(_odd(health)),
        "exact_duplicates": health.groups(health.exact),
        "near_duplicates": health.groups(health.near, health.exact),
        "sources_over_splits": list(filter(is_leak, health.groups(health.source, health.near))),
        "recordings_over_splits": list(filter(is_leak, health.groups(health.recordings, closer))),
        "notes": list(listing.notes),
    }


def _figures(health: Health, name: str) -> dict[str, Any]:
    clips, readable = health.splits[name], health.splits[name].readable()
    sizes = Counter(f"{fact.width}x{fact.height}" for fact in readable.facts)
    measured = ("seconds", "fps", "frames", "width", "height")
    return {
        "clips": len(clips),
        "readable": len(readable),
        "recordings": clips.recordings.count,
        "per_class": _per_class(health, name),
        **{what: _range([getattr(fact, what) for fact in readable.facts]) for what in measured},
        "sizes": dict(sizes.most_common()),
        "codecs": dict(Counter(fact.codec for fact in readable.facts).most_common()),
    }


def _per_class(health: Health, name: str) -> dict[str, int] | None:
    """Return the number of readable clips per class; None if there are no labels."""
    clips = health.splits[name].readable()
    return None if clips.labels is None else health.listing.count_by_class(clips)


def _range(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    low, middle, high = np.quantile(values, [0.0, 0.5, 1.0]).tolist()
    return {"min": round(low, 3), "median": round(middle, 3), "max": round(high, 3)}


def _imbalance(health: Health) -> dict[str, Any]:
    """Return the class imbalance of the training clips, and the classes without clips."""
    counts = {name: _per_class(health, name) for name in health.names}
    train = counts["train"]
    rarest, commonest = min(train, key=train.__getitem__), max(train, key=train.__getitem__)
    ratio = train[commonest] / train[rarest] if train[rarest] else None
    return {
        "rarest": rarest,
        "commonest": commonest,
        "ratio": None if ratio is None else round(ratio, 2),
        "imbalanced": ratio is None or ratio >= IMBALANCED_FROM,
        "classes_without_clips": {
            name: [label for label, clips in count.items() if not clips]
            for name, count in counts.items()
            if count is not None
        },
    }


def _odd(health: Health) -> Iterator[Clip]:
    """Yield each readable clip that is unusual, with the reasons why it is."""
    readable = [(number, fact) for number, fact in enumerate(health.facts) if fact.error is None]
    facts = [fact for _, fact in readable]
    measures = {
        "seconds": np.array([fact.seconds for fact in facts]),
        "fps": np.array([fact.fps for fact in facts]),
        "short side": np.array([min(fact.width, fact.height) for fact in facts]),
    }
    middles = {what: np.median(values) if facts else 1.0 for what, values in measures.items()}
    codecs = Counter(fact.codec for fact in facts)
    for index, (number, fact) in enumerate(readable):
        reasons = [
            f"{what} {values[index]:.4g} (median {middles[what]:.4g})"
            for what, values in measures.items()
            if max(values[index] / middles[what], middles[what] / values[index])
            > _ODD_FACTORS[what]
        ]
        if fact.odd:
            reasons.append(fact.odd)
        if codecs[fact.codec] < RARE_CODEC_SHARE * len(readable):
            reasons.append(f"codec {fact.codec}")
        if reasons:
            yield {**health.clip(number), "odd": reasons}


def good_clips(health: Health) -> dict[str, list[int]]:
    """Return, for each split, the rows of the clips to keep.

    Unreadable clips are dropped. Among exact duplicates within a split, only the first clip is
    kept, or none if their labels differ. Training clips that are exact or near-duplicates of a
    validation or test clip are also dropped. Clips that are in both validation and test are kept in
    both.
    """
    readable = np.array([fact.error is None for fact in health.facts], dtype=bool)
    keep = readable.copy()
    for numbers in members(health.exact):
        _, first = np.unique(health.split_of[numbers], return_index=True)
        keep[numbers] = False
        keep[numbers[first]] = health.labels_agree(numbers)
    is_train = health.split_of == health.names.index("train")
    for numbers in members(health.near):
        if (readable & ~is_train)[numbers].any():
            keep[numbers] &= ~is_train[numbers]
    return {
        name: np.flatnonzero(keep[health.split_of == number]).tolist()
        for number, name in enumerate(health.names)
    }
