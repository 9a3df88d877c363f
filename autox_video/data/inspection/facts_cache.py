"""What was found out about clips, remembered on disk."""

import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import NamedTuple, TypeVar

from autox_video.core.files import user_cache
from autox_video.data.inspection.clip_facts import DIGEST_BYTES, ClipFacts, Found
from autox_video.data.inspection.fingerprint import FINGERPRINT_BYTES
from autox_video.data.inspection.scene import SCENE_BYTES

SAVE_EVERY_SEC = 2.0
"""At least this often the clips probed so far are written to the cache."""

SAVE_EVERY_CLIPS = 1000
"""At least after this many clips they are written to the cache."""

LOCK_WAIT_SEC = 10.0
"""How long to wait for another run that writes to the same cache."""

TABLE = "clips_6"
"""Another layout or meaning of the facts gets another number."""

# Each with its SQL type, in the order of `_row`.
_COLUMNS = {
    "path": "BLOB PRIMARY KEY",
    "size": "INTEGER",
    "mtime_ns": "INTEGER",
    "frames": "INTEGER",
    "fps": "REAL",
    "seconds": "REAL",
    "width": "INTEGER",
    "height": "INTEGER",
    "codec": "TEXT",
    "start": "REAL",
    "odd": "TEXT",
    "is_even": "INTEGER",
    "digest": "BLOB",
    "fingerprint": "BLOB",
    "scene": "BLOB",
}

_Item = TypeVar("_Item")


class Seen(NamedTuple):
    """A clip, the file that it was, and what was found."""

    path: str
    size: int
    mtime_ns: int
    found: Found
    fresh: bool


class ProbeCache:
    """Clips by path, in a database that several runs may use at once; of use or out of the way."""

    def __init__(self, file: Path | None, on_note: Callable[[str], None]) -> None:
        self._file, self._on_note = file, on_note
        self._unsaved: list[Seen] = []
        self._saved_at = time.monotonic()
        self._database: sqlite3.Connection | None = None
        if file is not None:
            self._guarded(self._connect)

    def known(self, paths: Sequence[str]) -> dict[str, Seen]:
        """Give what is remembered of these clips, current or not."""
        if self._database is None:
            return {}
        return self._guarded(lambda: self._select(paths)) or {}

    def remember(self, seen: Iterable[Seen]) -> None:
        """Keep what is fresh of readable clips, writing it every now and then."""
        if self._database is None:
            return
        self._unsaved += [
            one for one in seen if one.fresh and one.size > 0 and not one.found.facts.error
        ]
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
        self._database = sqlite3.connect(self._file, timeout=LOCK_WAIT_SEC)
        columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
        self._database.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({columns}) WITHOUT ROWID")

    def _select(self, paths: Sequence[str]) -> dict[str, Seen]:
        keys = {_key(path): path for path in paths}
        marks = ",".join("?" * len(keys))
        rows = self._database.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM {TABLE} WHERE path IN ({marks})", list(keys)
        )
        known = {}
        for key, size, mtime_ns, *values, start, odd, is_even, digest, fingerprint, scene in rows:
            facts = ClipFacts(*values, None, start, odd, bool(is_even))
            found = Found(facts, digest, fingerprint, scene)
            if _is_sound(found):
                known[keys[key]] = Seen(keys[key], size, mtime_ns, found, fresh=False)
        return known

    def _save(self) -> None:
        marks = ",".join("?" * len(_COLUMNS))
        with self._database:
            self._database.executemany(
                f"INSERT OR REPLACE INTO {TABLE} ({', '.join(_COLUMNS)}) VALUES ({marks})",
                map(_row, self._unsaved),
            )
        self._unsaved.clear()
        self._saved_at = time.monotonic()


def _row(seen: Seen) -> tuple:
    *facts, _, start, odd, is_even = astuple(seen.found.facts)
    known = (*facts, start, odd, is_even)
    return (_key(seen.path), seen.size, seen.mtime_ns, *known, *seen.found[1:])


def _key(path: str) -> bytes:
    """Give the absolute path as the file system has it, which need not be text."""
    return os.fsencode(os.path.join(os.getcwd(), path))  # noqa: PTH109, PTH118 (twice as quick)


def _is_sound(found: Found) -> bool:
    """Tell whether what a file of the cache says can be true."""
    facts = found.facts
    numbers = (facts.frames, facts.fps, facts.seconds, facts.width, facts.height)
    sizes = DIGEST_BYTES, FINGERPRINT_BYTES, SCENE_BYTES
    return (
        isinstance(facts.codec, str)
        and isinstance(facts.odd, str)
        and isinstance(facts.start, float)
        and 0 <= facts.start < math.inf
        and all(isinstance(n, int | float) and math.isfinite(n) and n > 0 for n in numbers)
        and all(isinstance(b, bytes) and len(b) == n for b, n in zip(found[1:], sizes, strict=True))
    )


def default_cache_path() -> Path | None:
    """This user's cache of probed clips; None where there is no home."""
    return user_cache("probe.sqlite")
