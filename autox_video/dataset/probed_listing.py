"""A listing whose every clip was opened: what is known of each, and a division that goes by it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autox_video.dataset.clip_facts import ClipFacts, Contents
from autox_video.dataset.entries import WHOLE_VIDEO, clip_keys
from autox_video.dataset.list_files import ClipList
from autox_video.dataset.listing import Listing, divide_listing
from autox_video.dataset.probe import probe_contents
from autox_video.dataset.remote import join
from autox_video.dataset.segments import part_of_video
from autox_video.dataset.sources import belong_together
from autox_video.settings import AUTO


@dataclass(frozen=True, slots=True)
class ProbedSplit:
    """The clips of one split with what is known of them, in columns."""

    clips: ClipList
    facts: list[ClipFacts]
    """Of each clip; of a part of a video where the list has segments."""

    def __len__(self) -> int:
        return len(self.clips)

    def unreadable(self) -> list[int]:
        """The numbers of the clips that cannot be read."""
        return [number for number, fact in enumerate(self.facts) if fact.error is not None]

    def readable(self) -> ClipList:
        """The clips that can be read."""
        return self.clips.select([n for n, fact in enumerate(self.facts) if fact.error is None])

    def select(self, numbers: Sequence[int]) -> "ProbedSplit":
        """Keep the clips at `numbers`, in that order."""
        return ProbedSplit(self.clips.select(numbers), [self.facts[n] for n in numbers])


@dataclass(frozen=True, slots=True)
class ProbedListing:
    """A listing, and its splits by name, as far as there are any: train, val, test."""

    listing: Listing
    splits: dict[str, ProbedSplit]
    contents: Contents
    """Of the videos of all splits' clips, as wholes, one split after the other."""


def splits_of(listing: Listing) -> dict[str, ClipList]:
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
    """Open every listed clip once; the arguments are those of `probe.probe_contents`."""
    lists = splits_of(listing)
    facts, contents = probe_contents(
        [join(listing.data_root, path) for clips in lists.values() for path in clips.paths],
        cache,
        workers=workers,
        remote_cache=remote_cache,
        on_done=on_done,
        on_note=on_note,
    )
    splits, start = {}, 0
    for name, clips in lists.items():
        end = start + len(clips)
        parts = [_part(fact, clips.segment(n)) for n, fact in enumerate(facts[start:end])]
        splits[name] = ProbedSplit(clips, parts)
        start = end
    return ProbedListing(listing, splits, contents)


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
    contents = probed.contents.select(slice(len(train)))  # training comes first
    keys = clip_keys(train.clips.paths, root)
    groups = belong_together(keys, train.clips.paths, contents, len(listing.classes))
    divided = divide_listing(listing, groups, train.unreadable())
    number = {one: i for i, one in enumerate(train.clips.identities(root))}
    splits, rows = dict(probed.splits), []
    for name in listing.to_divide.names:
        chosen = [number[one] for one in splits_of(divided)[name].identities(root)]
        splits[name] = train.select(chosen)
        rows += chosen
    rows += range(len(train), len(probed.contents.digests))  # of a test list
    return ProbedListing(divided, splits, probed.contents.select(rows))
