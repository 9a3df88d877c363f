"""Inspect all clips in parallel, with an on-disk cache."""

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import astuple
from pathlib import Path

import numpy as np

from autox_video.config.settings import AUTO
from autox_video.data.inspection.clip_facts import (
    ClipFacts,
    Contents,
    Inspection,
    examine_clip,
    unreadable,
)
from autox_video.data.inspection.facts_cache import FactsCache
from autox_video.data.loading.loader import FETCH_LIMIT_SEC, TIME_LIMIT_SEC, ClipLoader
from autox_video.video.files.remote import is_remote
from autox_video.video.files.remote_cache import local_path

HANG_SEC = 10.0
"""CPU time limit per clip, to which one second is added for every READ_BYTES_PER_SEC bytes."""

READ_BYTES_PER_SEC = 8e6

_CLIPS_A_WORKER = 4  # clips per worker in each batch


def inspect_clips(
    paths: Sequence[str | Path],
    cache: Path | None,
    *,
    workers: int,
    remote_cache: str = AUTO,
    on_done: Callable[[int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> tuple[list[ClipFacts], Contents]:
    """Return the facts and contents of all clips, opening only those that are not cached.

    A cache entry is valid as long as the file's size and modification time are unchanged. Clips
    that are unreadable, or make the decoder hang or crash, are never cached, because the cause may
    lie outside the file. After an interruption, only the last few clips have to be opened again.

    Args:
        paths: paths or URLs of the clips; duplicates are opened once.
        cache: the cache file, which is created if needed; None: no cache.
        workers: number of worker processes that open the clips.
        remote_cache: the config key `remote_cache`, which says where remote clips are cached.
        on_done: called with the number of paths processed so far.
        on_note: called with a message if the cache cannot be used, which is not an error.
    """
    row_of: dict[str, int] = {}
    rows = [row_of.setdefault(os.fspath(path), len(row_of)) for path in paths]
    clips = _Clips(list(row_of), remote_cache)
    on_done = on_done or (lambda done: None)
    with closing(FactsCache(cache, on_note or (lambda note: None))) as memory:
        for path, *state, inspection in memory.known(clips.paths):
            clips.states[row_of[path]] = state
            clips.put(row_of[path], inspection)
        _open_all(clips, workers, memory, on_done)
    if len(row_of) == len(rows):
        return clips.facts, clips.contents
    on_done(len(rows))
    return [clips.facts[row] for row in rows], clips.contents.select(rows)


def _open_all(
    clips: "_Clips", workers: int, memory: FactsCache, on_done: Callable[[int], None]
) -> None:
    """Open every clip that is not cached; stop immediately if interrupted."""
    order, workers = range(len(clips)), max(1, min(workers, len(clips)))
    batch_size = _CLIPS_A_WORKER * workers
    batches = [order[start : start + batch_size] for start in order[::batch_size]]
    limit_sec = FETCH_LIMIT_SEC if any(map(is_remote, clips.paths)) else TIME_LIMIT_SEC
    loader = ClipLoader(clips, batch_size=batch_size, workers=workers, time_limit_sec=limit_sec)
    with closing(loader):
        for batch, loaded in zip(batches, loader.read(order, batches), strict=True):
            for row, (size, mtime_ns, opened) in zip(loaded.indices, loaded.values, strict=True):
                if opened is not None:
                    facts, *contents = opened
                    inspection = Inspection(ClipFacts(*facts), *contents)
                    clips.put(row, inspection)
                    memory.remember(clips.paths[row], size, mtime_ns, inspection)
            for clip in loaded.unreadable:
                clips.put(clip.position, unreadable(clip.error.removeprefix(f"{clip.video}: ")))
            on_done(batch.stop)


class _Clips:
    """A `Readable` data set of the clips that the workers open; it also holds the inspections."""

    item_shape = (1,)  # results are returned, not written to shared memory

    def __init__(self, paths: list[str], remote_cache: str) -> None:
        self.paths, self._remote_cache = paths, remote_cache
        self.facts: list[ClipFacts | None] = [None] * len(paths)
        self.contents = Contents.of_unknown(len(paths))
        self.states = np.full((len(paths), 2), -1, dtype=np.int64)
        """Size and modification time of each cached file; -1 for a file that is not cached."""

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return self.paths[index]

    def put(self, row: int, inspection: Inspection) -> None:
        self.facts[row] = inspection.facts
        self.contents.put(row, inspection)

    def read(self, index: int, out: np.ndarray) -> tuple[int, int, tuple | None]:
        """Return a clip's size, its modification time and, unless it is cached, its inspection."""
        path = os.fspath(local_path(self.paths[index], self._remote_cache))
        size = mtime_ns = -1
        with suppress(OSError):
            # The status is read before the file is opened, so that a later change is noticed.
            status = os.stat(path)  # noqa: PTH116 (creating a `Path` costs more than this)
            size, mtime_ns = status.st_size, status.st_mtime_ns
        if size >= 0 and self.states[index].tolist() == [size, mtime_ns]:
            return size, mtime_ns, None
        signal.setitimer(signal.ITIMER_PROF, HANG_SEC + max(size, 0) / READ_BYTES_PER_SEC)
        facts, *contents = examine_clip(path)
        return size, mtime_ns, (astuple(facts), *contents)
