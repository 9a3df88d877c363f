"""What is wrong or odd with the clips of a listing, as plain data."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from autox_video.data.clip_table import ClipTable, video_keys
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.data.inspection.fingerprint import near_duplicates
from autox_video.data.inspection.inspected_listing import ProbedListing
from autox_video.data.listing.classes.similar_names import near_names
from autox_video.data.listing.listing import count_clips
from autox_video.data.splitting.groups import both, members, same
from autox_video.data.splitting.sources import same_digest, sources

SCHEMA = 1
IMBALANCED_FROM = 10.0
"""How many times as many clips as the rarest class the commonest one has, to be said."""

RARE_CODEC_SHARE = 0.01

# How many times the median, or what part of it, is odd.
_ODD_FACTORS = {"seconds": 4.0, "fps": 2.0, "short side": 2.0}

Clip = dict[str, Any]
"""{"split", "video", "label" (class name or names, or None), and "segment" where there is one}."""


Group = dict[str, Any]
"""{"leak": whether it is over several splits, "agree": whether the labels that its clips have are
the same, "clips": videos by split}."""


class Health:
    """All clips of a listing side by side, whatever their split, and what that shows.

    Attributes:
        split_of: (N,) number of each clip's split in `names`.
        exact: (N,) labels, as in `groups`, of clips of equal content.
    """

    def __init__(self, probed: ProbedListing) -> None:
        self.listing, self.splits = probed.listing, probed.splits
        self.names = tuple(self.splits)
        sizes = [len(split) for split in self.splits.values()]
        self.split_of = np.repeat(np.arange(len(sizes)), sizes)
        self._starts = dict(zip(self.names, np.cumsum([0, *sizes]).tolist(), strict=False))
        self._paths = [path for split in self.splits.values() for path in split.clips.paths]
        segments = [s.clips.segment(n) for s in self.splits.values() for n in range(len(s))]
        # Two parts of a video are no duplicates, so what is equal must have equal times too.
        self._part = same(segments) if len(set(segments)) > 1 else None
        self.exact = _within(self._part, same_digest(probed.contents.digests))
        self._fingerprints = probed.contents.fingerprints
        self._probed = probed

    @cached_property
    def near(self) -> np.ndarray:
        """(N,) labels of clips that look the same, equal ones too."""
        return both(self.exact, _within(self._part, near_duplicates(self._fingerprints)))

    @cached_property
    def source(self) -> np.ndarray:
        """(N,) labels of clips of one source."""
        keys = video_keys(self._paths, self.listing.data_root)
        return both(same(keys), same(sources(self._paths, len(self.listing.classes))))

    @cached_property
    def recordings(self) -> np.ndarray:
        """(N,) labels of clips that seem to be cut from one recording."""
        return self._probed.recordings.labels

    def clip(self, number: int) -> Clip:
        """Describe a clip."""
        name = self.names[self.split_of[number]]
        clips, index = self.splits[name].clips, number - self._starts[name]
        found = {"split": name, "video": self._paths[number], "label": self._label(clips, index)}
        if clips.segments is not None:
            start_sec, end_sec = clips.segment(index)
            found["segment"] = [start_sec, end_sec if np.isfinite(end_sec) else None]
        return found

    def _label(self, clips: ClipTable, index: int) -> str | list[str] | None:
        if clips.labels is None:
            return None
        label = clips.labels[index]
        classes = self.listing.classes
        return [classes[one] for one in label] if isinstance(label, tuple) else classes[label]

    def groups(self, labels: np.ndarray, known: np.ndarray | None = None) -> list[Group]:
        """Describe the groups of two clips or more, those over several splits first.

        Args:
            labels: of the groups, (N,).
            known: labels of closer groups, (N,); a group that is all in one of them is left out.
        """
        found = []
        for numbers in members(labels):
            if known is None or len(np.unique(known[numbers])) > 1:
                found.append(self._group(numbers))
        return sorted(found, key=lambda group: not group["leak"])

    def _group(self, numbers: np.ndarray) -> Group:
        clips: dict[str, list[str]] = {}
        for number in numbers.tolist():
            clip = self.clip(number)
            segment = clip.get("segment")
            video = clip["video"] if segment is None else f"{clip['video']} {segment}"
            clips.setdefault(clip["split"], []).append(video)
        return {"leak": len(clips) > 1, "agree": self.labels_agree(numbers), "clips": clips}

    def labels_agree(self, numbers: np.ndarray) -> bool:
        """Tell whether the labels that these clips have are the same."""
        labels = {str(self.clip(number)["label"]) for number in numbers.tolist()}
        return len(labels - {"None"}) <= 1

    def facts(self) -> Iterator[tuple[int, ClipFacts]]:
        """Give the number and the facts of every clip."""
        every = (fact for split in self.splits.values() for fact in split.facts)
        yield from enumerate(every)


def _within(part: np.ndarray | None, labels: np.ndarray) -> np.ndarray:
    """Split groups up by a second label."""
    return labels if part is None else same(zip(part.tolist(), labels.tolist(), strict=True))


def report(health: Health) -> dict[str, Any]:
    """Give the content of check.json."""
    listing = health.listing
    return {
        "schema": SCHEMA,
        "data_root": str(listing.data_root),
        "classes": list(listing.classes),
        "named": listing.named,
        "splits": {name: _figures(health, name) for name in health.names},
        "imbalance": _imbalance(health),
        "near_names": _near_names(health),
        "unreadable": [
            {**health.clip(number), "reason": fact.error}
            for number, fact in health.facts()
            if fact.error is not None
        ],
        "odd": list(_odd(health)),
        "exact_duplicates": health.groups(health.exact),
        "near_duplicates": health.groups(health.near, health.exact),
        "sources_over_splits": [
            group for group in health.groups(health.source, health.near) if group["leak"]
        ],
        "recordings_over_splits": [
            group
            for group in health.groups(health.recordings, both(health.source, health.near))
            if group["leak"]
        ],
        "notes": list(listing.notes),
    }


def _figures(health: Health, name: str) -> dict[str, Any]:
    split = health.splits[name]
    readable = [fact for fact in split.facts if fact.error is None]
    sizes = Counter(f"{fact.width}x{fact.height}" for fact in readable)
    return {
        "clips": len(split),
        "readable": len(readable),
        "recordings": _recordings(health, name),
        "per_class": _per_class(split.readable(), health.listing.classes),
        "seconds": _range([fact.seconds for fact in readable]),
        "fps": _range([fact.fps for fact in readable]),
        "frames": _range([fact.frames for fact in readable]),
        "width": _range([fact.width for fact in readable]),
        "height": _range([fact.height for fact in readable]),
        "sizes": dict(sizes.most_common()),
        "codecs": dict(Counter(fact.codec for fact in readable).most_common()),
    }


def _recordings(health: Health, name: str) -> int:
    """Count the recordings that the clips of a split seem to be cut from."""
    of_split = health.split_of == health.names.index(name)
    return len(np.unique(health.recordings[of_split]))


def _per_class(clips: ClipTable, classes: Sequence[str]) -> dict[str, int] | None:
    """Count the clips of each class; None where there are no labels."""
    if clips.labels is None:
        return None
    return count_clips(clips, classes)


def _range(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    low, middle, high = np.quantile(values, [0.0, 0.5, 1.0]).tolist()
    return {"min": round(low, 3), "median": round(middle, 3), "max": round(high, 3)}


def _imbalance(health: Health) -> dict[str, Any]:
    """Say how uneven the classes are for training, and where they have no clip at all."""
    counts = {
        name: _per_class(split.readable(), health.listing.classes)
        for name, split in health.splits.items()
    }
    train = counts["train"]
    rarest, commonest = min(train, key=train.__getitem__), max(train, key=train.__getitem__)
    ratio = train[commonest] / train[rarest] if train[rarest] else None
    return {
        "rarest": rarest,
        "commonest": commonest,
        "ratio": None if ratio is None else round(ratio, 2),
        "imbalanced": ratio is None or ratio >= IMBALANCED_FROM,
        "classes_without_clips": {
            name: [one for one, clips in count.items() if not clips]
            for name, count in counts.items()
            if count is not None
        },
    }


def _near_names(health: Health) -> list[str]:
    """Name the classes that are probably one; by all clips that are listed for training."""
    listing = health.listing
    if not listing.named:
        return []
    return near_names(count_clips(health.splits["train"].clips, listing.classes))


def _odd(health: Health) -> Iterator[Clip]:
    """Give the readable clips that are unlike the most, with what is odd."""
    readable = [(number, fact) for number, fact in health.facts() if fact.error is None]
    measures = {
        "seconds": np.array([fact.seconds for _, fact in readable]),
        "fps": np.array([fact.fps for _, fact in readable]),
        "short side": np.array([min(fact.width, fact.height) for _, fact in readable]),
    }
    codecs = Counter(fact.codec for _, fact in readable)
    rare = {codec for codec, n in codecs.items() if n < RARE_CODEC_SHARE * len(readable)}
    reasons: dict[int, list[str]] = {}
    for what, values in measures.items():
        middle = np.median(values) if len(values) else 1.0
        times = np.maximum(values / middle, middle / values)
        for place in np.flatnonzero(times > _ODD_FACTORS[what]).tolist():
            sentence = f"{what} {values[place]:.4g}, the median is {middle:.4g}"
            reasons.setdefault(place, []).append(sentence)
    for place, (_, fact) in enumerate(readable):
        if fact.odd:
            reasons.setdefault(place, []).append(fact.odd)
        if fact.codec in rare:
            reasons.setdefault(place, []).append(f"codec {fact.codec}")
    for place in sorted(reasons):
        yield {**health.clip(readable[place][0]), "odd": reasons[place]}


def good_clips(health: Health) -> dict[str, list[int]]:
    """Give for each split the numbers, in it, of the clips without the bad ones.

    Bad are: unreadable clips; of equal clips in a split all but the first, and all of them where
    their labels differ; and training clips that are equal to one for validation or test, or look
    the same. What is for both validation and test stays in both.
    """
    readable = np.array([fact.error is None for _, fact in health.facts()], dtype=bool)
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
        name: np.flatnonzero(keep[health.split_of == place]).tolist()
        for place, name in enumerate(health.names)
    }
