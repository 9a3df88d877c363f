"""Segments given as numbers of frames, turned into seconds by opening the videos."""

import math
import os
from pathlib import Path

from autox_video.dataset.csv_lists import Table
from autox_video.dataset.entries import Segment
from autox_video.dataset.probe import default_cache_path, probe_contents
from autox_video.dataset.remote import join
from autox_video.dataset.video_file import FALLBACK_FPS
from autox_video.settings import AUTO

OPENED_AT_ONCE = 16


def to_seconds(table: Table, data_root: str | Path, *, remote_cache: str = AUTO) -> None:
    """Turn the segments of a table from frames into seconds, in place.

    Frame N starts at N / frame rate, where the rate is the video's average; a segment ends where
    its last frame starts, as that one is not part of it. What the videos are like is remembered,
    so that they are not opened again when they are probed. Those that cannot be read are named
    then, whatever their segments are.

    Args:
        table: its `segments` in frames, its paths found.
        data_root: the folder or address that they are relative to.
        remote_cache: the config's key.
    """
    table.in_frames = False
    if table.segments is None:
        return
    videos = list(dict.fromkeys(table.paths))
    workers = min(OPENED_AT_ONCE, len(os.sched_getaffinity(0)))
    places = [join(data_root, path) for path in videos]
    cache = default_cache_path()
    facts, _ = probe_contents(places, cache, workers=workers, remote_cache=remote_cache)
    rates = {p: fact.fps or FALLBACK_FPS for p, fact in zip(videos, facts, strict=True)}
    pairs = zip(table.paths, table.segments, strict=True)
    table.segments = [_seconds(segment, rates[path]) for path, segment in pairs]


def _seconds(frames: Segment, fps: float) -> Segment:
    start, end = frames
    return start / fps, math.inf if math.isinf(end) else end / fps
