"""Turn the labelled segments of recordings into the clips that a classifier is trained on.

The model sees windows of one length, at random positions in these clips. Clips of the background,
the additional last class, are taken from where nothing is labelled. The result depends only on the
segments, so that a resumed run gets the same clips.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from autox_video.core.errors import ListingError
from autox_video.data.background_windows import background_windows
from autox_video.data.clip_table import ClipTable, Segment, video_keys
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.data.listing.listing import Listing

BACKGROUND_NAME = "background"
"""Name of the class of windows in which nothing is labelled."""
WINDOW_QUANTILE = 0.25
"""Windows are as long as this quantile of the segments, so that most segments hold a window."""
SHORTEST_SEC, LONGEST_SEC = 0.5, 4.0
"""Bounds of the length of the windows."""
CLIP_WINDOWS = 2
"""Length of a clip in windows; longer segments are divided."""
MARGIN = 0.25
"""Distance of background windows from labelled segments, as a share of their length."""
MOST_OVERLAP_SEC = 0.1
"""Segments of different classes may overlap by this much, as labels are not exact."""

Rows = dict[int, list[int]]


def window_seconds(listing: Listing) -> float | None:
    """Return the length of the windows that the model sees, in seconds; None without segments."""
    lengths = [
        fact.seconds
        for name, clips in listing.splits.items()
        if name != "test"
        for fact in clips.readable().facts
    ]
    if not lengths:
        return None
    return float(np.clip(np.quantile(lengths, WINDOW_QUANTILE), SHORTEST_SEC, LONGEST_SEC))


def as_training_clips(listing: Listing) -> Listing:
    """Return the listing with clips of the classes and of the background to train on.

    Test segments are kept. The listing must be inspected, and without background segments.

    Raises:
        ListingError: segments of different classes overlap, or nothing in the recordings is
            unlabelled.
    """
    window_sec = window_seconds(listing)
    if window_sec is None:
        return listing
    classes = (*listing.classes, BACKGROUND_NAME)
    tables = {
        name: _clips_of(clips, window_sec, len(classes) - 1, listing)
        for name, clips in listing.splits.items()
        if name != "test"
    }
    if not any(len(classes) - 1 in clips.classes() for clips in tables.values()):
        raise ListingError(
            f"{listing.train.source}: all of the recordings is labelled, so there is no "
            "background to tell the classes from. Set task=classification, or leave a part "
            "of the recordings unlabelled."
        )
    return replace(listing, classes=classes, **tables)


def recordings_of(clips: ClipTable, root: str) -> dict[str, list[int]]:
    """Return the rows of each recording, keyed by the recording's video key."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(video_keys(clips.paths, root)):
        rows[key].append(row)
    return dict(rows)


def recording_facts(clips: ClipTable, root: str) -> dict[str, ClipFacts]:
    """Return the facts of each readable recording, keyed by the recording's video key."""
    found = {}
    for key, rows in recordings_of(clips, root).items():
        good = [clips.facts[row] for row in rows if clips.facts[row].error is None]
        if good:
            found[key] = good[0]
    return found


def without_background(listing: Listing) -> Listing:
    """Return the listing without the segments that are labelled as background."""
    names = [name.lower() for name in listing.classes]
    if BACKGROUND_NAME not in names:
        return listing
    number = names.index(BACKGROUND_NAME)
    tables = {}
    for name, clips in listing.splits.items():
        kept = clips.select([r for r, label in enumerate(clips.labels or ()) if label != number])
        labels = tuple(label - (label > number) for label in kept.labels or ())
        tables[name] = replace(kept, labels=labels)
    classes = tuple(c for index, c in enumerate(listing.classes) if index != number)
    return replace(listing, classes=classes, **tables)


def _clips_of(clips: ClipTable, window_sec: float, background: int, listing: Listing) -> ClipTable:
    """Return the clips to train on; unreadable segments are kept as they are."""
    rows: list[int] = []
    segments: list[Segment] = []
    labels: list[int] = []
    for key, of_recording in recordings_of(clips, str(listing.data_root)).items():
        good = [row for row in of_recording if clips.facts[row].error is None]
        for row in set(of_recording) - set(good):
            rows.append(row)
            segments.append(clips.segment(row))
            labels.append(clips.labels[row])
        if not good:
            continue
        bounds = _bounds(clips.facts[good[0]])
        parts = {row: _inside(clips.segment(row), bounds) for row in good}
        _refuse_overlaps(clips, parts, listing.classes)
        before = len(rows)
        for row, part in parts.items():
            for clip in _divided(part, window_sec, bounds):
                rows.append(row)
                segments.append(clip)
                labels.append(clips.labels[row])
        for clip in _background_of(key, parts.values(), window_sec, bounds, len(rows) - before):
            rows.append(good[0])
            segments.append(clip)
            labels.append(background)
    order = sorted(range(len(rows)), key=lambda place: (rows[place], segments[place]))
    table = clips.select([rows[place] for place in order])
    segments = [segments[place] for place in order]
    facts = [_facts_of(fact, part) for fact, part in zip(table.facts, segments, strict=True)]
    labels = tuple(labels[place] for place in order)
    return replace(table, segments=segments, labels=labels, facts=facts)


def _bounds(facts: ClipFacts) -> Segment:
    """Return the start and end of a recording, as presentation times."""
    return facts.start, facts.start + (facts.whole_sec or facts.seconds)


def _inside(segment: Segment, bounds: Segment) -> Segment:
    return max(segment[0], bounds[0]), min(segment[1], bounds[1])


def _refuse_overlaps(
    clips: ClipTable, parts: Mapping[int, Segment], classes: Sequence[str]
) -> None:
    ordered = sorted(parts, key=parts.get)
    for one, other in pairwise(ordered):
        together = parts[one][1] - parts[other][0]
        if together > MOST_OVERLAP_SEC and clips.labels[one] != clips.labels[other]:
            raise ListingError(
                f"{clips.location(other)}: `{classes[clips.labels[other]]}` overlaps "
                f"`{classes[clips.labels[one]]}` of the same recording by {together:.1f} s. "
                "Localisation needs one class at a time; set task=multi_label to train on the "
                "segments as clips."
            )


def _divided(part: Segment, window_sec: float, bounds: Segment) -> Iterator[Segment]:
    """Yield equal parts of a segment, or the window around it if the segment is shorter."""
    start, end = part
    if end - start <= window_sec:
        first = (start + end - window_sec) / 2
        first = min(max(first, bounds[0]), max(bounds[1] - window_sec, bounds[0]))
        yield round(first, 3), round(min(first + window_sec, bounds[1]), 3)
        return
    count = max(1, round((end - start) / (CLIP_WINDOWS * window_sec)))
    edges = np.linspace(start, end, count + 1).round(3).tolist()
    yield from pairwise(edges)


def _background_of(
    key: str, parts: Iterable[Segment], window_sec: float, bounds: Segment, count: int
) -> Iterator[Segment]:
    """Yield clips of the background of a recording, the same ones each time.

    They are as long as clips of the classes; if no gap has room for that, as long as a window.
    """
    begin_sec, end_sec = bounds
    shifted = [(start - begin_sec, end - begin_sec) for start, end in parts]
    for length_sec in (CLIP_WINDOWS * window_sec, window_sec):
        found = background_windows(
            shifted,
            end_sec - begin_sec,
            length_sec,
            count=count,
            rng=np.random.default_rng(zlib.crc32(key.encode("utf-8", "surrogateescape"))),
            margin_sec=MARGIN * window_sec,
        )
        if found:
            break
    for start, end in found:
        yield round(begin_sec + start, 3), round(begin_sec + end, 3)


def _facts_of(facts: ClipFacts, part: Segment) -> ClipFacts:
    if facts.error is not None:
        return facts
    seconds = part[1] - part[0]
    whole_sec = facts.whole_sec or facts.seconds
    frames = max(1, round(seconds * facts.fps))
    return replace(facts, seconds=seconds, frames=frames, whole_sec=whole_sec)


def looks_like_recordings(clips: ClipTable, root: str) -> bool:
    """Return whether most videos have several segments with unlabelled time between them."""
    if clips.segments is None or clips.has_label_sets or clips.facts is None:
        return False
    recordings = recordings_of(clips, root).values()
    several = sum(_has_gaps(clips, rows) for rows in recordings)
    return several > len(recordings) / 2


def _has_gaps(clips: ClipTable, rows: Sequence[int]) -> bool:
    good = [row for row in rows if clips.facts[row].error is None]
    if len(good) < 2:
        return False
    bounds = _bounds(clips.facts[good[0]])
    parts = sorted(_inside(clips.segment(row), bounds) for row in good)
    labelled, reached = 0.0, bounds[0]
    for start, end in parts:
        labelled += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return labelled < LABELLED_SHARE * (bounds[1] - bounds[0])


LABELLED_SHARE = 0.9
"""A video of which a larger share is labelled counts as cut into clips, not as a recording."""
