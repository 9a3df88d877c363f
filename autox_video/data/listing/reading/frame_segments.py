"""Convert segments from frame numbers to seconds by opening the videos."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autox_video.config.settings import AUTO
from autox_video.core.console import say
from autox_video.core.errors import ListingError
from autox_video.core.wording import counted
from autox_video.data.clip_table import WHOLE_VIDEO, Segment
from autox_video.data.inspection.facts_cache import default_cache_path
from autox_video.data.inspection.inspect import inspect_clips
from autox_video.data.listing.reading.table import Table
from autox_video.data.loading.loader import TIME_LIMIT_SEC, ClipLoader
from autox_video.video.files.remote import join
from autox_video.video.files.remote_cache import local_path
from autox_video.video.files.video_file import FALLBACK_FPS
from autox_video.video.open_video import open_video

OPENED_AT_ONCE = 16

_READ_AT_ONCE = 64  # segments


def to_seconds(table: Table, data_root: str | Path, *, remote_cache: str = AUTO) -> None:
    """Convert those segments of a table that are in frames to seconds, in place.

    A segment starts when its start frame appears and ends when its end frame appears, so the end
    frame is excluded. Videos are inspected to get their frame rates, and the results are cached for
    the later inspection of the clips, which reports unreadable videos. Videos with a variable frame
    rate are opened again to look up frame times.

    Raises:
        ListingError: a video could be inspected, but its frame times cannot be read.
    """
    table.unit = "s"
    segments = table.segments or []
    files = {
        index: join(data_root, table.paths[index])
        for index, segment in enumerate(segments)
        if segment != WHOLE_VIDEO and index not in table.in_seconds
    }
    if not files:
        return
    videos = list(dict.fromkeys(files.values()))
    say(f"Opening {counted(len(videos), 'video')} of {table.source} to read the frame rates.")
    workers = min(OPENED_AT_ONCE, len(os.sched_getaffinity(0)))
    inspected, _ = inspect_clips(
        videos, default_cache_path(), workers=workers, remote_cache=remote_cache
    )
    facts = dict(zip(videos, inspected, strict=True))
    uneven = [index for index, file in files.items() if not facts[file].is_even]
    exact = _times_of_frames(
        [files[index] for index in uneven],
        [segments[index] for index in uneven],
        workers=workers,
        remote_cache=remote_cache,
    )
    looked_up = dict(zip(uneven, exact, strict=True))
    for index, file in files.items():
        video, frames = facts[file], segments[index]
        fps = video.fps or FALLBACK_FPS
        start, end = looked_up.get(index) or (frames[0] / fps, frames[1] / fps)
        segments[index] = (video.start + start, video.start + end)


def _times_of_frames(
    files: Sequence[str | Path], segments: Sequence[Segment], *, workers: int, remote_cache: str
) -> list[Segment]:
    """Return segments in seconds from the first frame, using the exact times of their frames."""
    if not files:
        return []
    loader = ClipLoader(
        _FrameTimes(files, segments, remote_cache),
        batch_size=_READ_AT_ONCE,
        workers=min(workers, len(files)),
        time_limit_sec=TIME_LIMIT_SEC,
    )
    order = range(len(files))
    batches = [order[first : first + _READ_AT_ONCE] for first in order[::_READ_AT_ONCE]]
    seconds: list[Segment] = []
    try:
        for loaded in loader.read(order, batches):
            if loaded.unreadable:
                raise ListingError(f"frame times cannot be read: {loaded.unreadable[0].error}")
            seconds += map(tuple, loaded.items.copy().view(np.float64).tolist())
    finally:
        loader.close()
    return seconds


class _FrameTimes:
    """A data set of segments converted to seconds; each item is two float64 values as bytes."""

    item_shape = (16,)

    def __init__(
        self, files: Sequence[str | Path], segments: Sequence[Segment], remote_cache: str
    ) -> None:
        self._files, self._segments, self._remote_cache = files, segments, remote_cache

    def __len__(self) -> int:
        return len(self._files)

    def name(self, index: int) -> str:
        return str(self._files[index])

    def read(self, index: int, out: np.ndarray) -> None:
        with open_video(local_path(self._files[index], self._remote_cache), "pyav") as video:
            seconds = video.timeline().starts_of(np.array(self._segments[index]))
        out[:] = seconds.view(np.uint8)
