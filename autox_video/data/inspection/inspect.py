"""Every clip opened once, in parallel, and remembered on disk."""

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
"""How long a clip may be computed on, and a second more for each READ_BYTES_PER_SEC of it."""

READ_BYTES_PER_SEC = 8e6

_CLIPS_A_WORKER = 4  # handed over at once


def inspect_clips(
    paths: Sequence[str | Path],
    cache: Path | None,
    *,
    workers: int,
    remote_cache: str = AUTO,
    on_done: Callable[[int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> tuple[list[ClipFacts], Contents]:
    """Return the facts and contents of every clip, opening only those that the cache does not know.

    A clip is known while its size and time of change are the same. What cannot be read, or makes
    the decoder hang or crash, is tried anew each time: the cause may lie outside the file. Stopped
    at any moment, all but the last few clips are not opened again.

    Args:
        paths: the clips, or their addresses; one that comes twice is opened once.
        cache: file of the cache, made where there is none; None goes without.
        workers: processes that open clips.
        remote_cache: the config's key; where clips with an address are kept.
        on_done: is told the number of `paths` done so far.
        on_note: is told in a sentence when the cache cannot be used; nothing else goes wrong then.
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
    """Open every clip that is not known; ends at once when it is interrupted."""
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
    """What is known of each clip, and how a worker opens one: a `Readable`."""

    item_shape = (1,)  # all that is read is given

    def __init__(self, paths: list[str], remote_cache: str) -> None:
        self.paths, self._remote_cache = paths, remote_cache
        self.facts: list[ClipFacts | None] = [None] * len(paths)
        self.contents = Contents.of_unknown(len(paths))
        self.states = np.full((len(paths), 2), -1, dtype=np.int64)
        """Size and time of change of each file that `facts` are of; -1 of an unknown one."""

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return self.paths[index]

    def put(self, row: int, inspection: Inspection) -> None:
        self.facts[row] = inspection.facts
        self.contents.put(row, inspection)

    def read(self, index: int, out: np.ndarray) -> tuple[int, int, tuple | None]:
        """Return a clip's size and time of change and, unless they are known, what is found out."""
        path = os.fspath(local_path(self.paths[index], self._remote_cache))
        size = mtime_ns = -1
        with suppress(OSError):
            # Before it is opened: a later change is then noticed.
            status = os.stat(path)  # noqa: PTH116 (as a `Path` it would cost more than this)
            size, mtime_ns = status.st_size, status.st_mtime_ns
        if size >= 0 and self.states[index].tolist() == [size, mtime_ns]:
            return size, mtime_ns, None
        signal.setitimer(signal.ITIMER_PROF, HANG_SEC + max(size, 0) / READ_BYTES_PER_SEC)
        facts, *contents = examine_clip(path)
        return size, mtime_ns, (astuple(facts), *contents)
