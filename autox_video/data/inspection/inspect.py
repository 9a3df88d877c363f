"""Every clip opened once, in parallel, remembered on disk; and what that says of a data set."""

import os
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from autox_video.config.settings import AUTO
from autox_video.core.errors import VideoError
from autox_video.data.inspection.clip_facts import ClipFacts, Contents, Found, unreadable
from autox_video.data.inspection.facts_cache import ProbeCache, Seen, default_cache_path
from autox_video.data.inspection.opening_process import ProbeProcess
from autox_video.video.files.remote_cache import local_path

__all__ = [
    "ClipFacts",
    "Contents",
    "DatasetStats",
    "default_cache_path",
    "probe_clips",
    "probe_contents",
    "summarize",
]

_CLIPS_PER_TASK = 8  # clips handed to a thread at once


@dataclass(frozen=True, slots=True)
class DatasetStats:
    """What a data set is like. All numbers are of readable clips; those of an empty set are 0.

    Attributes:
        num_train, num_val, num_test: clips.
        num_classes: classes, whether or not they have clips.
        class_names: by class index.
        named: whether the names mean something, or are just the indices.
        clips_per_class_min, clips_per_class_max: training clips of the rarest and commonest class.
        seconds_median, seconds_p10, seconds_p90: length; this and what follows of train and val.
        fps_median, fps_min, fps_max: frames per second.
        width_median, height_median, short_side_median: pixels.
        unreadable: entries of all lists that were left out.
        multi_label: whether a clip may be of several classes.
    """

    num_train: int
    num_val: int
    num_test: int
    num_classes: int
    class_names: tuple[str, ...]
    named: bool
    clips_per_class_min: int
    clips_per_class_max: int
    seconds_median: float
    seconds_p10: float
    seconds_p90: float
    fps_median: float
    fps_min: float
    fps_max: float
    width_median: int
    height_median: int
    short_side_median: int
    unreadable: int
    multi_label: bool = False


def summarize(
    class_names: Sequence[str],
    *,
    named: bool,
    train_labels: Sequence[int] | Sequence[tuple[int, ...]],
    train: Sequence[ClipFacts],
    val: Sequence[ClipFacts],
    test: Sequence[ClipFacts] = (),
) -> DatasetStats:
    """Sum up the facts of the listed clips; `train_labels` belong to `train`, one by one."""
    readable = [clip for clip in (*train, *val) if clip.error is None]
    pairs = zip(train_labels, train, strict=True)
    read = (label for label, clip in pairs if clip.error is None)
    several = (label if isinstance(label, tuple) else (label,) for label in read)
    labels = np.array([label for labels in several for label in labels], dtype=np.int64)
    per_class = np.bincount(labels, minlength=len(class_names)) if class_names else np.zeros(1)
    num_train, num_val, num_test = (
        sum(clip.error is None for clip in split) for split in (train, val, test)
    )
    p10, seconds, p90 = _quantiles([clip.seconds for clip in readable], 0.1, 0.5, 0.9)
    fps_min, fps, fps_max = _quantiles([clip.fps for clip in readable], 0.0, 0.5, 1.0)
    (width,) = _quantiles([clip.width for clip in readable], 0.5)
    (height,) = _quantiles([clip.height for clip in readable], 0.5)
    (short_side,) = _quantiles([min(clip.width, clip.height) for clip in readable], 0.5)
    return DatasetStats(
        num_train=num_train,
        num_val=num_val,
        num_test=num_test,
        num_classes=len(class_names),
        class_names=tuple(class_names),
        named=named,
        clips_per_class_min=int(per_class.min()),
        clips_per_class_max=int(per_class.max()),
        seconds_median=seconds,
        seconds_p10=p10,
        seconds_p90=p90,
        fps_median=fps,
        fps_min=fps_min,
        fps_max=fps_max,
        width_median=round(width),
        height_median=round(height),
        short_side_median=round(short_side),
        unreadable=len(train) + len(val) + len(test) - num_train - num_val - num_test,
        multi_label=any(isinstance(label, tuple) for label in train_labels),
    )


def _quantiles(values: Sequence[float], *shares: float) -> list[float]:
    if not values:
        return [0.0] * len(shares)
    return [float(value) for value in np.quantile(values, shares)]


def probe_clips(
    paths: Sequence[str | Path],
    cache: Path | None,
    *,
    workers: int,
    on_done: Callable[[int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[ClipFacts]:
    """Give the facts of every clip; see `probe_contents`."""
    facts, _ = probe_contents(paths, cache, workers=workers, on_done=on_done, on_note=on_note)
    return facts


def probe_contents(
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
    good, the clips probed up to about two seconds before are not probed again. A clip on which the
    decoder hangs or crashes is an unreadable one.

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
    names = [os.fspath(path) for path in paths]
    first: dict[str, int] = {}
    firsts = [first.setdefault(name, position) for position, name in enumerate(names)]
    facts: list[ClipFacts | None] = [None] * len(names)
    contents = Contents.of_unknown(len(names))
    memory = ProbeCache(cache, on_note or (lambda note: None))
    try:
        with closing(_probed(first, memory, workers, remote_cache)) as batches:
            _fill(batches, first, (facts, contents), on_done or (lambda done: None))
    finally:
        memory.close()
    if len(first) < len(names):
        facts = [facts[position] for position in firsts]
        contents = contents.select(firsts)
        if on_done is not None:
            on_done(len(names))
    return facts, contents


def _fill(
    batches: Iterable[list[Seen]],
    positions: dict[str, int],
    columns: tuple[list[ClipFacts | None], Contents],
    on_done: Callable[[int], None],
) -> None:
    facts, contents = columns
    done = 0
    for batch in batches:
        for seen in batch:
            position = positions[seen.path]
            facts[position] = seen.found.facts
            contents.put(position, seen.found)
        done += len(batch)
        on_done(done)


# ---- in parallel ----


def _probed(
    paths: Iterable[str], memory: ProbeCache, workers: int, remote_cache: str
) -> Generator[list[Seen], None, None]:
    """Probe by threads with a process each, save in this one; ends at once when closed."""
    stop = threading.Event()
    workers = max(1, workers)
    probes = _Probes(workers, stop, remote_cache)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="probe")
    remaining = iter(paths)
    tasks = iter(lambda: list(islice(remaining, _CLIPS_PER_TASK)), [])
    running: set[Future] = set()
    try:
        while True:
            # Two tasks a thread: none waits for work, and little memory is taken by what waits.
            for task in islice(tasks, 2 * workers - len(running)):
                running.add(pool.submit(probes.probe, task, memory.known(task)))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            seen = [one for future in finished for one in future.result()]
            memory.remember(seen)
            yield seen
    finally:
        stop.set()
        probes.stop()
        pool.shutdown(cancel_futures=True)
        probes.close()


class _Probes:
    """One process for each thread, and what the threads do with them."""

    def __init__(self, count: int, stop: threading.Event, remote_cache: str) -> None:
        self._all = [ProbeProcess() for _ in range(count)]
        self._free: SimpleQueue[ProbeProcess] = SimpleQueue()
        for process in self._all:
            self._free.put(process)
        self._stop, self._remote_cache = stop, remote_cache

    def stop(self) -> None:
        for process in self._all:
            process.stop()

    def close(self) -> None:
        for process in self._all:
            process.close()

    def probe(self, paths: list[str], known: dict[str, Seen]) -> list[Seen]:
        """Probe some clips, but those that are known and unchanged; runs in a thread."""
        seen, places, states = [], [], []
        for path in paths:
            if self._stop.is_set():
                return seen
            try:
                place = os.fspath(local_path(path, self._remote_cache))
            except VideoError as error:
                reason = str(error).removeprefix(f"{path}: ")
                seen.append(Seen(path, -1, -1, unreadable(reason), fresh=True))
                continue
            size, mtime_ns = _file_state(place)
            before = known.get(path)
            if before is not None and (before.size, before.mtime_ns) == (size, mtime_ns):
                seen.append(before)
            else:
                places.append(place)
                states.append((path, size, mtime_ns))
        for found, state in zip(self._examine(places), states, strict=False):
            seen.append(Seen(*state, found, fresh=True))
        return seen

    def _examine(self, places: list[str]) -> Generator[Found, None, None]:
        """Give what is found out about clips; ends early when stopped."""
        if not places:
            return
        process = self._free.get()
        try:
            yield from process.examine(places)
        finally:
            self._free.put(process)


def _file_state(path: str) -> tuple[int, int]:
    """Give size and time of change, before the file is opened: a later change is then noticed."""
    try:
        status = os.stat(path)  # noqa: PTH116 (as a `Path` it would cost more than this)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
