"""Every clip opened once, in parallel, and remembered on disk."""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

from autox_video.config.settings import AUTO
from autox_video.core.errors import VideoError
from autox_video.data.inspection.clip_facts import ClipFacts, Contents, unreadable
from autox_video.data.inspection.facts_cache import FactsCache, Seen
from autox_video.data.inspection.opening_process import OpeningProcess
from autox_video.video.files.remote_cache import local_path

_CLIPS_PER_TASK = 8  # clips handed to a thread at once


def inspect_clips(
    paths: Sequence[str | Path],
    cache: Path | None,
    *,
    workers: int,
    remote_cache: str = AUTO,
    on_done: Callable[[int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> tuple[list[ClipFacts], Contents]:
    """Give the facts and contents of every clip, opening only those that the cache does not know.

    A clip is known while its size and time of change are the same. What cannot be read is tried
    anew each time: the cause may lie outside the file. Stopped at any moment, by Ctrl-C or for
    good, the clips inspected up to about two seconds before are not opened again. A clip on which
    the decoder hangs or crashes is an unreadable one.

    Args:
        paths: the clips, or their addresses; one that comes twice is opened once.
        cache: file of the cache, made where there is none; None goes without.
        workers: processes that open clips, >= 1.
        remote_cache: the config's key; where clips with an address are kept.
        on_done: is told the number of `paths` done so far, never by another thread.
        on_note: is told in a sentence when the cache cannot be used; nothing else goes wrong then.

    Returns:
        One ClipFacts for each of `paths`, in their order, and their Contents.
    """
    row_of: dict[str, int] = {}
    rows = [row_of.setdefault(os.fspath(path), len(row_of)) for path in paths]
    facts: list[ClipFacts | None] = [None] * len(row_of)
    contents = Contents.of_unknown(len(row_of))
    on_done = on_done or (lambda done: None)
    done = 0
    with (
        closing(FactsCache(cache, on_note or (lambda note: None))) as memory,
        closing(_inspected(row_of, memory, max(1, workers), remote_cache)) as batches,
    ):
        for batch in batches:
            for seen in batch:
                row = row_of[seen.path]
                facts[row] = seen.inspection.facts
                contents.put(row, seen.inspection)
            done += len(batch)
            on_done(done)
    if len(row_of) < len(rows):
        facts, contents = [facts[row] for row in rows], contents.select(rows)
        on_done(len(rows))
    return facts, contents


def _inspected(
    paths: Iterable[str], memory: FactsCache, workers: int, remote_cache: str
) -> Generator[list[Seen], None, None]:
    """Inspect by threads with a process each, save in this one; ends at once when closed."""
    processes = [OpeningProcess() for _ in range(workers)]
    idle: SimpleQueue[OpeningProcess] = SimpleQueue()
    for process in processes:
        idle.put(process)

    def inspect(task: list[str], known: dict[str, Seen]) -> list[Seen]:
        process = idle.get()
        try:
            return _inspect(task, known, process, remote_cache)
        finally:
            idle.put(process)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="inspect")
    remaining = iter(paths)
    tasks = iter(lambda: list(islice(remaining, _CLIPS_PER_TASK)), [])
    running: set[Future] = set()
    try:
        while True:
            # Two tasks a thread: none waits for work, and little memory is taken by what waits.
            for task in islice(tasks, 2 * workers - len(running)):
                running.add(pool.submit(inspect, task, memory.known(task)))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            seen = [clip for future in finished for clip in future.result()]
            memory.remember(seen)
            yield seen
    finally:
        for process in processes:
            process.stop()
        pool.shutdown(cancel_futures=True)
        for process in processes:
            process.close()


def _inspect(
    paths: list[str], known: dict[str, Seen], process: OpeningProcess, remote_cache: str
) -> list[Seen]:
    """Inspect some clips, but those that are known and unchanged; ends early when stopped."""
    seen, files, states = [], [], []
    for path in paths:
        if process.is_stopped:
            return seen
        try:
            file = os.fspath(local_path(path, remote_cache))
        except VideoError as error:
            reason = str(error).removeprefix(f"{path}: ")
            seen.append(Seen(path, -1, -1, unreadable(reason), is_new=True))
            continue
        size, mtime_ns = _file_state(file)
        before = known.get(path)
        if before is not None and (before.size, before.mtime_ns) == (size, mtime_ns):
            seen.append(before)
        else:
            files.append(file)
            states.append((path, size, mtime_ns))
    for inspection, state in zip(process.examine(files), states, strict=False):
        seen.append(Seen(*state, inspection, is_new=True))
    return seen


def _file_state(path: str) -> tuple[int, int]:
    """Give size and time of change, before the file is opened: a later change is then noticed."""
    try:
        status = os.stat(path)  # noqa: PTH116 (as a `Path` it would cost more than this)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
