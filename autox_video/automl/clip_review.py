"""Errors and notes about inspected clips, used by both training and `check`."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.health import Group, Health
from autox_video.data.listing.folders.folder_walk import some
from autox_video.data.listing.listing import Listing, split_listing


def readable_listing(listing: Listing, *, strict: bool) -> Listing:
    """Return the inspected and split listing without its unreadable clips.

    Raises:
        ListingError: a clip is unreadable and `strict` is set, no training or validation clip is
            readable, or a class has no readable training clip.
    """
    splits = listing.splits
    bad = [clips.paths[row] for clips in splits.values() for row in clips.unreadable()]
    if strict and bad:
        raise ListingError(f"strict: {counted(len(bad), 'clip')} cannot be read: {some(bad)}")
    readable = {name: splits[name].readable() for name in ("train", "val")}
    _refuse_empty(listing, readable)
    return replace(listing, **readable)


def _refuse_empty(listing: Listing, readable: Mapping[str, ClipTable]) -> None:
    for name, purpose in (("train", "training"), ("val", "validation")):
        if not len(readable[name]):
            clips = listing.splits[name]
            why = f" ({clips.paths[0]}: {clips.facts[0].error})" if len(clips) else ""
            raise ListingError(f"No readable {purpose} clips{why}.")
    classes = listing.classes
    missing = sorted(set(range(len(classes))) - readable["train"].classes())
    if missing:
        names = some(classes[label] for label in missing)
        count = counted(len(missing), "class", "classes")
        raise ListingError(f"No readable training clips for {count}: {names}")


def say_equal(listing: Listing) -> list[str]:
    """Return notes on identical clips that have different labels or are in different splits."""
    health = Health(listing)
    groups = health.groups(health.exact)
    leaks = [g for g in groups if g["agree"] and g["leak"] and "train" in g["clips"]]
    kinds = {
        "with different labels": [group for group in groups if not group["agree"]],
        "in training and in another split (a leak)": leaks,
    }
    return [
        f"{counted(len(some_of), 'group')} of identical clips {what}: {_example(some_of)} "
        "Run `autox-video check` to see all of them."
        for what, some_of in kinds.items()
        if some_of
    ]


def _example(groups: Sequence[Group]) -> str:
    videos = [video for videos in groups[0]["clips"].values() for video in videos]
    return some([" = ".join(videos[:2])])


def verdict(listing: Listing, *, strict: bool) -> tuple[list[str], list[str]]:
    """Return the errors and notes that training would report, without changing any files."""
    how, notes = listing.split_request, []
    try:
        with tempfile.TemporaryDirectory() as folder:
            if how is not None:
                listing = replace(listing, split_request=replace(how, folder=Path(folder)))
            divided = split_listing(listing)
        # The first new note is left out, because it describes the split, which is only a trial
        # here.
        notes += divided.notes[len(listing.notes) + 1 :]
        readable_listing(divided, strict=strict)
    except ListingError as error:
        return list(error.problems), notes
    return [], notes
