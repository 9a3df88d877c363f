"""Inspect all clips of a listing, and add the results to its tables."""

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
"""A list is reported if more than a share LATE_SHARE of its segments end later than LATE_FACTOR
times the length of their video."""


def inspect_listing(
    listing: Listing,
    cache: Path | None,
    *,
    workers: int,
    remote_cache: str = AUTO,
    on_done: Callable[[int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Listing:
    """Return the listing with new notes, and with facts, digests and recordings added to its
    tables.

    Every clip is inspected once. See `inspect.inspect_clips` for the arguments.
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
        inspected[name] = replace(clips, facts=parts, digests=contents.digests[rows])
    return with_recordings(replace(listing, **inspected, notes=(*listing.notes, *notes)), contents)


def with_recordings(listing: Listing, contents: Contents) -> Listing:
    """Return an inspected listing to which the recordings of its clips have been added.

    Args:
        listing: an inspected listing, whose tables contain facts.
        contents: digests, fingerprints and scenes of all clips, in the order of the tables.
    """
    tables = listing.splits
    paths = [path for clips in tables.values() for path in clips.paths]
    sizes = [(fact.width, fact.height) for clips in tables.values() for fact in clips.facts]
    recordings = find_recordings(
        video_keys(paths, listing.data_root),
        paths,
        [label for clips in tables.values() for label in clips.rarest_classes()],
        contents=contents,
        sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        num_classes=len(listing.classes),
    )
    known = {
        name: replace(tables[name], recordings=recordings.select(rows))
        for name, rows in _rows_of(tables).items()
    }
    return replace(listing, **known)


def _rows_of(tables: Splits) -> dict[str, slice]:
    """Return the rows that each table occupies in the concatenation of all tables."""
    ends = accumulate(map(len, tables.values()))
    return {
        name: slice(end - len(clips), end)
        for (name, clips), end in zip(tables.items(), ends, strict=True)
    }


def _say_late_ends(name: str, clips: ClipTable, videos: Sequence[ClipFacts]) -> list[str]:
    """Report segments that extend far beyond their videos; the times may be frame numbers."""
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
        f"{len(late)} of {len(clips)} segments in the {name} list end after their videos, for "
        f"example at {clips.segments[first][1]:g} s in {clips.paths[first]}, which lasts "
        f"{videos[first].seconds:.4g} s. Times are in seconds; for frame numbers, name the columns "
        "start_frame and end_frame."
    ]


def _of_part(video: ClipFacts, segment: Segment) -> ClipFacts:
    """Return the facts about a segment of a video."""
    if video.error is not None or segment == WHOLE_VIDEO:
        return video
    try:
        _, seconds = part_of_video(segment, video.start, video.seconds)
    except ValueError as error:
        return ClipFacts(0, 0.0, 0.0, 0, 0, "", str(error))
    if seconds >= video.seconds:
        return video
    frames = max(1, round(seconds * video.fps))
    return replace(video, seconds=seconds, frames=frames, whole_sec=video.seconds)


def shared_recordings(listing: Listing) -> list[str]:
    """Report validation and test clips that seem to share a recording with training clips."""
    train, notes = listing.train, []
    for clips, purpose in ((listing.val, "validation"), (listing.test, "test")):
        if clips is None:
            continue
        shared = np.flatnonzero(np.isin(clips.recordings.labels, train.recordings.labels))
        if len(shared):
            first = shared[0]
            same = np.flatnonzero(train.recordings.labels == clips.recordings.labels[first])[0]
            notes.append(
                f"{len(shared)} of {counted(len(clips), f'{purpose} clip')} seem to be cut from "
                f"the same recordings as training clips (for example {clips.paths[first]} and "
                f"{train.paths[same]}): the {purpose} metrics will be too optimistic for new "
                "recordings."
            )
    return notes
