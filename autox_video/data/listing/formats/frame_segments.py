"""Segments given as numbers of frames, turned into seconds by opening the videos."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autox_video.config.settings import AUTO
from autox_video.core.errors import ListingError
from autox_video.data.clip_table import WHOLE_VIDEO, Segment
from autox_video.data.inspection.facts_cache import default_cache_path
from autox_video.data.inspection.inspect import inspect_clips
from autox_video.data.listing.formats.csv_lists import Table
from autox_video.data.loading.loader import TIME_LIMIT_SEC, ClipLoader
from autox_video.video.decode import Video
from autox_video.video.files.remote import join
from autox_video.video.files.remote_cache import local_path
from autox_video.video.files.video_file import FALLBACK_FPS

OPENED_AT_ONCE = 16

_READ_AT_ONCE = 64  # segments


def to_seconds(table: Table, data_root: str | Path, *, remote_cache: str = AUTO) -> None:
    """Turn the segments of a table from frames into seconds, in place.

    A segment begins when its first frame comes on screen, and ends where its last one does, as that
    one is not part of it. What the videos are like is remembered, so that they are not opened again
    when they are probed, but for those of a variable frame rate: each of their frames has a time of
    its own. Those that cannot be read are named then, whatever their segments are.

    Args:
        table: its `segments` in frames, its paths found.
        data_root: the folder or address that they are relative to.
        remote_cache: the config's key.

    Raises:
        ListingError: a video that could be read cannot be read once more.
    """
    table.in_frames = False
    if table.segments is None:
        return
    videos = list(dict.fromkeys(table.paths))
    workers = min(OPENED_AT_ONCE, len(os.sched_getaffinity(0)))
    places = [join(data_root, path) for path in videos]
    cache = default_cache_path()
    found, _ = inspect_clips(places, cache, workers=workers, remote_cache=remote_cache)
    facts = dict(zip(videos, found, strict=True))
    pairs = list(zip(table.paths, table.segments, strict=True))
    uneven = [n for n, (path, part) in enumerate(pairs) if _is_uneven(facts[path].is_even, part)]
    table.segments = [_at_rate(part, facts[path].fps or FALLBACK_FPS) for path, part in pairs]
    exact = _looked_up(
        [join(data_root, pairs[n][0]) for n in uneven],
        [pairs[n][1] for n in uneven],
        workers=workers,
        remote_cache=remote_cache,
    )
    for number, segment in zip(uneven, exact, strict=True):
        table.segments[number] = segment
    table.segments = [
        _later(part, facts[path].start)
        for path, part in zip(table.paths, table.segments, strict=True)
    ]


def _is_uneven(is_even: bool, frames: Segment) -> bool:
    return not is_even and frames != WHOLE_VIDEO


def _at_rate(frames: Segment, fps: float) -> Segment:
    start, end = frames
    return frames if frames == WHOLE_VIDEO else (start / fps, end / fps)


def _later(segment: Segment, first_sec: float) -> Segment:
    start, end = segment
    return segment if segment == WHOLE_VIDEO else (first_sec + start, first_sec + end)


def _looked_up(
    places: Sequence[str | Path], segments: Sequence[Segment], *, workers: int, remote_cache: str
) -> list[Segment]:
    """Give segments in seconds from the first picture on, by the times of their frames."""
    if not places:
        return []
    dataset = _FrameTimes(places, segments, remote_cache)
    loader = ClipLoader(
        dataset,
        batch_size=_READ_AT_ONCE,
        workers=min(workers, len(places)),
        time_limit_sec=TIME_LIMIT_SEC,
    )
    order = range(len(places))
    batches = [order[first : first + _READ_AT_ONCE] for first in order[::_READ_AT_ONCE]]
    found: list[Segment] = []
    try:
        for loaded in loader.read(order, batches):
            if loaded.unreadable:
                raise ListingError(f"its frames have no time: {loaded.unreadable[0].error}")
            found += map(tuple, loaded.items.copy().view(np.float64).tolist())
    finally:
        loader.close()
    return found


class _FrameTimes:
    """Segments of videos in frames; an item is one in seconds, two float64 as bytes."""

    item_shape = (16,)

    def __init__(
        self, places: Sequence[str | Path], segments: Sequence[Segment], remote_cache: str
    ) -> None:
        self._places, self._segments, self._remote_cache = places, segments, remote_cache

    def __len__(self) -> int:
        return len(self._places)

    def name(self, index: int) -> str:
        return str(self._places[index])

    def read(self, index: int, out: np.ndarray) -> None:
        with Video(local_path(self._places[index], self._remote_cache), "pyav") as video:
            seconds = video.timeline().starts_of(np.array(self._segments[index]))
        out[:] = seconds.view(np.uint8)
