"""Every clip opened once, in parallel, remembered on disk; and what that says of a data set."""

import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from autox_video.dataset.decode import Video
from autox_video.errors import VideoError

SAVE_EVERY_SEC = 2.0
"""At least this often the clips probed so far are written to the cache."""

SAVE_EVERY_CLIPS = 1000
"""At least after this many clips they are written to the cache."""

_CLIPS_PER_TASK = 8  # clips handed to a thread at once
_LOCK_WAIT_SEC = 10.0  # how long to wait for another run that writes to the same cache
_TABLE = "clips_1"  # another layout or meaning of the facts gets another number
_COLUMNS = "path, size, mtime_ns, frames, fps, seconds, width, height, codec"

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What the probe found out about one clip; numbers are 0 where `error` says why.

    Attributes:
        frames: number of frames, counted.
        fps: average frames per second.
        seconds: length from the first frame's start to the last one's end.
        width, height: pixels.
        codec: FFmpeg's name of the coding.
        error: why the clip cannot be read, a sentence without the path; None for a readable one.
    """

    frames: int
    fps: float
    seconds: float
    width: int
    height: int
    codec: str
    error: str | None


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
    )


def _quantiles(values: Sequence[float], *shares: float) -> list[float]:
    if not values:
        return [0.0] * len(shares)
    return [float(value) for value in np.quantile(values, shares)]


def probe_clip(path: Path) -> ClipFacts:
    """Open one clip, count its frames, decode two; never raises for a clip that cannot be read."""
    try:
        with Video(path) as video:
            video.examine()
            return ClipFacts(
                frames=video.num_frames,
                fps=video.fps,
                seconds=video.seconds,
                width=video.width,
                height=video.height,
                codec=video.codec,
                error=None,
            )
    except VideoError as error:
        return ClipFacts(0, 0.0, 0.0, 0, 0, "", str(error).removeprefix(f"{path}: "))


def probe_clips(
    paths: Sequence[Path],
    cache: Path | None,
    *,
    workers: int,
    on_done: Callable[[int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[ClipFacts]:
    """Give the facts of every clip, opening only those that the cache does not know.

    A clip is known while its size and time of change are the same. What cannot be read is tried
    anew each time: the cause may lie outside the file. Stopped at any moment, by Ctrl-C or for
    good, the clips probed up to about two seconds before are not probed again.

    Args:
        paths: the clips; one that comes twice is opened once.
        cache: file of the cache, made where there is none; None goes without.
        workers: threads, >= 1; the decoder works outside of Python's lock.
        on_done: is told the number of `paths` done so far, never by another thread.
        on_note: is told in a sentence when the cache cannot be used; nothing else goes wrong then.

    Returns:
        One ClipFacts for each of `paths`, in their order.
    """
    positions: dict[Path, list[int]] = {}
    for position, path in enumerate(paths):
        positions.setdefault(path, []).append(position)
    facts: list[ClipFacts | None] = [None] * len(paths)
    done = 0
    memory = _Cache(cache, on_note or (lambda note: None))
    try:
        with closing(_probed(positions, memory, workers)) as batches:
            for seen in batches:
                for one in seen:
                    for position in positions[one.path]:
                        facts[position] = one.facts
                    done += len(positions[one.path])
                if on_done is not None:
                    on_done(done)
    finally:
        memory.close()
    return facts


def default_cache_path() -> Path | None:
    """Give the cache of this user: in $XDG_CACHE_HOME or ~/.cache; None where there is no home."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not folder.is_absolute():
        try:
            folder = Path.home() / ".cache"
        except RuntimeError:
            return None
    return folder / "autox_video" / "probe.sqlite"


# ---- in parallel ----


@dataclass(frozen=True, slots=True)
class _Seen:
    """A clip, the file that it was, and what was found."""

    path: Path
    size: int
    mtime_ns: int
    facts: ClipFacts
    fresh: bool


def _probed(
    paths: Iterable[Path], memory: "_Cache", workers: int
) -> Generator[list[_Seen], None, None]:
    """Probe in threads, save in this one; ends at once, but for the clips at hand, when closed."""
    stop = threading.Event()
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="probe")
    remaining = iter(paths)
    tasks = iter(lambda: list(islice(remaining, _CLIPS_PER_TASK)), [])
    running: set[Future] = set()
    try:
        while True:
            # Two tasks a thread: none waits for work, and little memory is taken by what waits.
            for task in islice(tasks, 2 * max(1, workers) - len(running)):
                running.add(pool.submit(_probe_task, task, memory.known(task), stop))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            seen = [one for future in finished for one in future.result()]
            memory.remember(seen)
            yield seen
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _probe_task(paths: list[Path], known: dict[Path, _Seen], stop: threading.Event) -> list[_Seen]:
    """Probe some clips, but those that are known and unchanged; runs in a thread."""
    found = []
    for path in paths:
        if stop.is_set():
            break
        size, mtime_ns = _file_state(path)
        before = known.get(path)
        if before is not None and (before.size, before.mtime_ns) == (size, mtime_ns):
            found.append(before)
        else:
            found.append(_Seen(path, size, mtime_ns, probe_clip(path), fresh=True))
    return found


def _file_state(path: Path) -> tuple[int, int]:
    """Give size and time of change, before the file is opened: a later change is then noticed."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


# ---- on disk ----


class _Cache:
    """Facts by path, in a database that several runs may use at once; of use or out of the way."""

    def __init__(self, file: Path | None, on_note: Callable[[str], None]) -> None:
        self._file, self._on_note = file, on_note
        self._unsaved: list[_Seen] = []
        self._saved_at = time.monotonic()
        self._database: sqlite3.Connection | None = None
        if file is not None:
            self._guarded(self._connect)

    def known(self, paths: Sequence[Path]) -> dict[Path, _Seen]:
        """Give what is remembered of these clips, current or not."""
        if self._database is None:
            return {}
        return self._guarded(lambda: self._select(paths)) or {}

    def remember(self, seen: Iterable[_Seen]) -> None:
        """Keep fresh facts of readable clips, writing them every now and then."""
        if self._database is None:
            return
        self._unsaved += [one for one in seen if one.fresh and one.size > 0 and not one.facts.error]
        late = time.monotonic() - self._saved_at > SAVE_EVERY_SEC
        if self._unsaved and (late or len(self._unsaved) >= SAVE_EVERY_CLIPS):
            self._guarded(self._save)

    def close(self) -> None:
        """Write what is not written yet."""
        if self._database is not None and self._unsaved:
            self._guarded(self._save)
        self._disconnect()

    def _guarded(self, action: Callable[[], _Item]) -> _Item | None:
        """Do something with the database; where that fails say so, and begin anew or go without."""
        try:
            return action()
        except (sqlite3.OperationalError, OSError) as error:
            self._disconnect()
            self._note(f"cannot be used ({error}), so that every clip is opened anew")
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise  # the kinds of this class are defects of ours, this one is a damaged file
            self._disconnect()
            self._note(f"is damaged ({error}) and begun anew")
            self._guarded(self._begin_anew)
        return None

    def _note(self, what: str) -> None:
        self._on_note(f"{self._file}: the cache of probed clips {what}.")

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None

    def _begin_anew(self) -> None:
        os.replace(self._file, self._file.with_name(self._file.name + ".damaged"))
        self._connect()

    def _connect(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(self._file, timeout=_LOCK_WAIT_SEC)
        self._database.execute(
            f"CREATE TABLE IF NOT EXISTS {_TABLE} (path BLOB PRIMARY KEY, size INTEGER, "
            "mtime_ns INTEGER, frames INTEGER, fps REAL, seconds REAL, width INTEGER, "
            "height INTEGER, codec TEXT) WITHOUT ROWID"
        )

    def _select(self, paths: Sequence[Path]) -> dict[Path, _Seen]:
        keys = {_key(path): path for path in paths}
        marks = ",".join("?" * len(keys))
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM {_TABLE} WHERE path IN ({marks})", list(keys)
        )
        found = {}
        for key, size, mtime_ns, *values in rows:
            facts = ClipFacts(*values, error=None)
            if _is_sound(facts):
                path = keys[key]
                found[path] = _Seen(path, size, mtime_ns, facts, fresh=False)
        return found

    def _save(self) -> None:
        rows = [
            (_key(one.path), one.size, one.mtime_ns, *astuple(one.facts)[:-1])
            for one in self._unsaved
        ]
        with self._database:
            self._database.executemany(
                f"INSERT OR REPLACE INTO {_TABLE} ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", rows
            )
        self._unsaved.clear()
        self._saved_at = time.monotonic()


def _key(path: Path) -> bytes:
    """Give the absolute path as the file system has it, which need not be text."""
    return os.fsencode(path.absolute())


def _is_sound(facts: ClipFacts) -> bool:
    """Tell whether facts from a file of the cache can be true."""
    numbers = (facts.frames, facts.fps, facts.seconds, facts.width, facts.height)
    return all(isinstance(n, int | float) and math.isfinite(n) and n > 0 for n in numbers)
