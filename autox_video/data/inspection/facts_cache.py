"""The on-disk cache of inspected clips."""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

from autox_video.core.files import user_cache
from autox_video.data.inspection.clip_facts import ClipFacts, Inspection

SAVE_EVERY_SEC, SAVE_EVERY_CLIPS = 2.0, 1000
"""New inspections are written to the cache after at most this many seconds or clips."""

LOCK_WAIT_SEC = 10.0
"""Maximum time to wait for another run that is writing to the same cache, in seconds."""

TABLE = "clips_7"
"""Name of the table; increase the number whenever the layout or meaning of the facts changes."""

_COLUMNS = (
    "path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, facts TEXT, "
    "digest BLOB, fingerprint BLOB, scene BLOB, checksum BLOB"
)


def default_cache_path() -> Path | None:
    """Return the path to the user's cache of inspected clips; None if there is no home folder."""
    return user_cache("probe.sqlite")


class FactsCache:
    """Stores inspected clips in a database that runs can share; database errors are not fatal.

    Args:
        file: path to the database, which is created if needed; None: no cache.
        on_note: called with a message if the database cannot be used.
    """

    def __init__(self, file: Path | None, on_note: Callable[[str], None]) -> None:
        self._file, self._on_note = file, on_note
        self._unsaved: list[tuple] = []
        self._saved_at = time.monotonic()
        self._database: sqlite3.Connection | None = None
        if file is not None:
            with self._failing_softly():
                self._connect()

    def known(self, paths: Sequence[str]) -> Iterator[tuple[str, int, int, Inspection]]:
        """Yield the path, size, modification time and inspection of each cached clip."""
        query = f"SELECT * FROM {TABLE} WHERE path = ?"
        with self._failing_softly():
            for path in paths if self._database is not None else ():
                row = self._database.execute(query, [_key(path)]).fetchone()
                if row is None:
                    continue
                _, size, mtime_ns, facts, *contents, checksum = row
                if checksum == _checksum(facts, *contents):
                    yield path, size, mtime_ns, Inspection(ClipFacts(*json.loads(facts)), *contents)

    def remember(self, path: str, size: int, mtime_ns: int, inspection: Inspection) -> None:
        """Add a readable clip to the cache; the cache is written to disk periodically."""
        facts, *contents = inspection
        if self._database is None or size <= 0 or facts.error is not None:
            return
        text = json.dumps(astuple(facts))
        checksum = _checksum(text, *contents)
        self._unsaved.append((_key(path), size, mtime_ns, text, *contents, checksum))
        is_due = time.monotonic() - self._saved_at > SAVE_EVERY_SEC
        if is_due or len(self._unsaved) >= SAVE_EVERY_CLIPS:
            self._save()

    def close(self) -> None:
        """Write all pending clips, and close the database."""
        self._save()
        self._disconnect()

    def _save(self) -> None:
        if self._database is None or not self._unsaved:
            return
        with self._failing_softly(), self._database:
            self._database.executemany(
                f"INSERT OR REPLACE INTO {TABLE} VALUES (?,?,?,?,?,?,?,?)", self._unsaved
            )
            self._unsaved.clear()
            self._saved_at = time.monotonic()

    @contextmanager
    def _failing_softly(self) -> Iterator[None]:
        """Report any database error in the block, and recreate the database or stop using it."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            self._disconnect()
            self._note(f"cannot be used ({error}); all clips are inspected again")
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise  # a subclass means a bug in this module; this class means a damaged file
            self._disconnect()
            self._note(f"is damaged ({error}) and was recreated")
            with self._failing_softly():
                os.replace(self._file, self._file.with_name(self._file.name + ".damaged"))
                self._connect()

    def _note(self, what: str) -> None:
        self._on_note(f"{self._file}: the cache of inspected clips {what}.")

    def _connect(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(self._file, timeout=LOCK_WAIT_SEC)
        self._database.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({_COLUMNS}) WITHOUT ROWID")

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
        self._database = None


def _checksum(facts: object, *contents: object) -> bytes:
    return hashlib.blake2b(repr((facts, *contents)).encode(), digest_size=8).digest()


def _key(path: str) -> bytes:
    """Return the absolute path as bytes, since file names need not be valid text."""
    return os.fsencode(os.path.join(os.getcwd(), path))  # noqa: PTH109, PTH118 (twice as fast)
