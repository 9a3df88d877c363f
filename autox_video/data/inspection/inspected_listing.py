"""A listing whose every clip was opened: what is known of each, and a division that goes by it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from autox_video.config.settings import AUTO
from autox_video.core.wording import counted
from autox_video.data.clip_table import WHOLE_VIDEO, ClipTable, video_keys
from autox_video.data.inspection.clip_facts import ClipFacts, Contents
from autox_video.data.inspection.inspect import inspect_clips
from autox_video.data.listing.listing import Listing, divide_listing
from autox_video.data.listing.reading.segments import part_of_video
from autox_video.data.splitting.recordings import Recordings, find_recordings, kept_together
from autox_video.data.splitting.splits import rarest_classes
from autox_video.video.files.remote import join

LATE_FACTOR, LATE_SHARE = 2.0, 0.25
"""By how many times a segment's end may be behind the video's, and in what share of a list more,
before it is said."""


@dataclass(frozen=True, slots=True)
class ProbedSplit:
    """The clips of one split with what is known of them, in columns."""

    clips: ClipTable
    facts: list[ClipFacts]
    """Of each clip; of a part of a video where the list has segments."""

    def __len__(self) -> int:
        return len(self.clips)

    def unreadable(self) -> list[int]:
        """The numbers of the clips that cannot be read."""
        return [number for number, fact in enumerate(self.facts) if fact.error is not None]

    def readable(self) -> ClipTable:
        """The clips that can be read."""
        return self.clips.select([n for n, fact in enumerate(self.facts) if fact.error is None])

    def select(self, numbers: Sequence[int]) -> "ProbedSplit":
        """Keep the clips at `numbers`, in that order."""
        return ProbedSplit(self.clips.select(numbers), [self.facts[n] for n in numbers])


@dataclass(frozen=True)
class ProbedListing:
    """A listing, and its splits by name, as far as there are any: train, val, test."""

    listing: Listing
    splits: dict[str, ProbedSplit]
    contents: Contents
    """Of the videos of all splits' clips, as wholes, one split after the other."""
    known_recordings: Recordings | None = None
    """What `recordings` gives, where it was found out before."""

    @cached_property
    def recordings(self) -> Recordings:
        """Which clips of all splits, one after the other, seem to be cut from one recording."""
        return self.known_recordings or _find_recordings_in(self)


def splits_of(listing: Listing) -> dict[str, ClipTable]:
    """Give the lists that there are, by name, in the order train, val, test."""
    lists = {"train": listing.train, "val": listing.val, "test": listing.test}
    return {name: clips for name, clips in lists.items() if clips is not None}


def probe_listing(
    listing: Listing,
    cache: Path | None,
    *,
    workers: int,
    remote_cache: str = AUTO,
    on_done: Callable[[int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> ProbedListing:
    """Open every listed clip once; the arguments are those of `probe.inspect_clips`."""
    lists = splits_of(listing)
    facts, contents = inspect_clips(
        [join(listing.data_root, path) for clips in lists.values() for path in clips.paths],
        cache,
        workers=workers,
        remote_cache=remote_cache,
        on_done=on_done,
        on_note=on_note,
    )
    splits, start, notes = {}, 0, []
    for name, clips in lists.items():
        end = start + len(clips)
        notes += _say_late_ends(name, clips, facts[start:end])
        parts = [_part(fact, clips.segment(n)) for n, fact in enumerate(facts[start:end])]
        splits[name] = ProbedSplit(clips, parts)
        start = end
    listing = replace(listing, notes=(*listing.notes, *notes))
    return ProbedListing(listing, splits, contents)


def _say_late_ends(name: str, clips: ClipTable, videos: Sequence[ClipFacts]) -> list[str]:
    """Say where most segments of a list end long after their videos: their times may be frames."""
    if clips.segments is None:
        return []
    late = [
        number
        for number, (video, (_, end)) in enumerate(zip(videos, clips.segments, strict=True))
        if math.isfinite(end) and video.error is None and end > LATE_FACTOR * video.seconds + 1.0
    ]
    if len(late) <= len(clips) * LATE_SHARE:
        return []
    first = late[0]
    return [
        f"{len(late)} of {len(clips)} segments of the {name} list end after their videos do: that "
        f"of {clips.paths[first]} at {clips.segments[first][1]:g} s, the video at "
        f"{videos[first].seconds:.4g} s. Times are seconds; columns of frames are called "
        "start_frame and end_frame."
    ]


def _part(video: ClipFacts, segment: tuple[float, float]) -> ClipFacts:
    """Give the facts of a part of a video."""
    if video.error is not None or segment == WHOLE_VIDEO:
        return video
    try:
        _, seconds = part_of_video(segment, video.start, video.seconds)
    except ValueError as error:
        return ClipFacts(0, 0.0, 0.0, 0, 0, "", str(error))
    if seconds >= video.seconds:
        return video
    return replace(video, seconds=seconds, frames=max(1, round(seconds * video.fps)))


def divide_probed(probed: ProbedListing) -> ProbedListing:
    """Divide the training clips where the listing asks for it, those that belong together together.

    Raises:
        ListingError: no clip is left for validation.
        ResourceError: WORK_DIR/split cannot be written.
    """
    listing = probed.listing
    if listing.to_divide is None:
        return probed
    train, root = probed.splits["train"], listing.data_root
    recordings = probed.recordings.select(slice(len(train)))  # training comes first
    groups = kept_together(recordings, train.clips.paths, rarest_classes(train.clips))
    divided = divide_listing(listing, groups, train.unreadable())
    divided = replace(divided, notes=(*divided.notes, *_on_division(train, recordings)))
    number = {one: i for i, one in enumerate(train.clips.identities(root))}
    splits, rows = dict(probed.splits), []
    for name in listing.to_divide.names:
        chosen = [number[one] for one in splits_of(divided)[name].identities(root)]
        splits[name] = train.select(chosen)
        rows += chosen
    rows += range(len(train), len(probed.contents.digests))  # of a test list
    contents, recordings = probed.contents.select(rows), probed.recordings.select(rows)
    return ProbedListing(divided, splits, contents, recordings)


def _find_recordings_in(probed: ProbedListing) -> Recordings:
    splits = probed.splits.values()
    paths = [path for split in splits for path in split.clips.paths]
    sizes = [(fact.width, fact.height) for split in splits for fact in split.facts]
    classes = [
        one
        for split in splits
        for one in (
            [None] * len(split) if split.clips.labels is None else rarest_classes(split.clips)
        )
    ]
    return find_recordings(
        video_keys(paths, probed.listing.data_root),
        paths,
        classes,
        contents=probed.contents,
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        num_classes=len(probed.listing.classes),
    )


def _on_division(train: ProbedSplit, recordings: Recordings) -> list[str]:
    """Say how recordings were kept together, where there is something to say."""
    notes = []
    if recordings.count < len(train):
        notes.append(
            f"The {len(train)} clips seem to be cut from {counted(recordings.count, 'recording')}; "
            "each recording is on one side of the split."
        )
    if recordings.standing:
        notes.append(
            f"{counted(recordings.standing, 'clip')} show scenes that too many clips share to keep "
            "each on one side: expect less in other places than validation says."
        )
    return notes


def shared_recordings(probed: ProbedListing) -> list[str]:
    """Say which clips for validation and test seem to be cut from recordings of training clips."""
    names = tuple(probed.splits)
    labels = probed.recordings.labels
    ends = np.cumsum([len(probed.splits[name]) for name in names])
    of_split = dict(zip(names, np.split(labels, ends[:-1]), strict=True))
    notes = []
    for name, purpose in (("val", "validation"), ("test", "test")):
        if name not in of_split:
            continue
        shared = np.flatnonzero(np.isin(of_split[name], of_split["train"]))
        if len(shared):
            other = np.flatnonzero(of_split["train"] == of_split[name][shared[0]])[0]
            one, two = probed.splits[name].clips.paths, probed.splits["train"].clips.paths
            notes.append(
                f"Of {counted(len(probed.splits[name]), f'{purpose} clip')}, {len(shared)} seem to "
                f"be cut from recordings that have training clips too ({one[shared[0]]} and "
                f"{two[other]}, for one): expect less on other recordings than the figures say."
            )
    return notes
