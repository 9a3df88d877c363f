"""A listing whose every clip was opened: what is known of each, in the columns of its tables."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from autox_video.config.settings import AUTO
from autox_video.core.wording import counted
from autox_video.data.clip_table import WHOLE_VIDEO, ClipTable, Segment, Splits, video_keys
from autox_video.data.inspection.clip_facts import ClipFacts, Contents
from autox_video.data.inspection.inspect import inspect_clips
from autox_video.data.listing.listing import Listing
from autox_video.data.listing.reading.segments import part_of_video
from autox_video.data.splitting.recordings import find_recordings
from autox_video.video.files.remote import join

LATE_FACTOR, LATE_SHARE = 2.0, 0.25
"""By how many times a segment's end may be behind the video's, and in what share of a list more,
before it is said."""


def inspect_listing(
    listing: Listing,
    cache: Path | None,
    *,
    workers: int,
    remote_cache: str = AUTO,
    on_done: Callable[[int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Listing:
    """Open every listed clip once; the arguments are those of `inspect.inspect_clips`.

    Gives the listing with facts, contents and recordings in its tables, and more notes.
    """
    root, tables = listing.data_root, listing.splits
    facts, contents = inspect_clips(
        [join(root, path) for clips in tables.values() for path in clips.paths],
        cache,
        workers=workers,
        remote_cache=remote_cache,
        on_done=on_done,
        on_note=on_note,
    )
    inspected, notes = {}, []
    for name, rows in _rows_of(tables).items():
        clips, videos = tables[name], facts[rows]
        notes += _say_late_ends(name, clips, videos)
        parts = [_of_part(video, clips.segment(row)) for row, video in enumerate(videos)]
        inspected[name] = replace(clips, facts=parts, contents=contents.select(rows))
    return with_recordings(replace(listing, **inspected, notes=(*listing.notes, *notes)))


def with_recordings(listing: Listing) -> Listing:
    """Find out which clips of an inspected listing, of all splits, are cut from one recording."""
    tables = listing.splits
    paths = [path for clips in tables.values() for path in clips.paths]
    sizes = [(fact.width, fact.height) for clips in tables.values() for fact in clips.facts]
    recordings = find_recordings(
        video_keys(paths, listing.data_root),
        paths,
        [label for clips in tables.values() for label in clips.rarest_classes()],
        contents=Contents.of_all([clips.contents for clips in tables.values()]),
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        num_classes=len(listing.classes),
    )
    known = {
        name: replace(tables[name], recordings=recordings.select(rows))
        for name, rows in _rows_of(tables).items()
    }
    return replace(listing, **known)


def _rows_of(tables: Splits) -> dict[str, slice]:
    """Return the rows of each table where all stand one after the other."""
    ends = accumulate(map(len, tables.values()))
    return {
        name: slice(end - len(clips), end)
        for (name, clips), end in zip(tables.items(), ends, strict=True)
    }


def _say_late_ends(name: str, clips: ClipTable, videos: Sequence[ClipFacts]) -> list[str]:
    """Say where most segments of a list end long after their videos: their times may be frames."""
    if clips.segments is None:
        return []
    late = [
        row
        for row, (video, (_, end)) in enumerate(zip(videos, clips.segments, strict=True))
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


def _of_part(video: ClipFacts, segment: Segment) -> ClipFacts:
    """Return the facts of a part of a video."""
    if video.error is not None or segment == WHOLE_VIDEO:
        return video
    try:
        _, seconds = part_of_video(segment, video.start, video.seconds)
    except ValueError as error:
        return ClipFacts(0, 0.0, 0.0, 0, 0, "", str(error))
    if seconds >= video.seconds:
        return video
    return replace(video, seconds=seconds, frames=max(1, round(seconds * video.fps)))


def shared_recordings(listing: Listing) -> list[str]:
    """Say which clips for validation and test seem to be cut from recordings of training clips."""
    train, notes = listing.train, []
    for clips, purpose in ((listing.val, "validation"), (listing.test, "test")):
        if clips is None:
            continue
        shared = np.flatnonzero(np.isin(clips.recordings.labels, train.recordings.labels))
        if len(shared):
            first = shared[0]
            same = np.flatnonzero(train.recordings.labels == clips.recordings.labels[first])[0]
            notes.append(
                f"Of {counted(len(clips), f'{purpose} clip')}, {len(shared)} seem to be cut from "
                f"recordings that have training clips too ({clips.paths[first]} and "
                f"{train.paths[same]}, for one): expect less on other recordings than the figures "
                "say."
            )
    return notes
