"""leaderboard.csv: one row for each model that was tried, with its score and what it cost.

A row is written at once and as a whole: the file is replaced, under a lock that all who add rows
take. A row of the same id takes the place of the one before, so that what is done again after a
stop is not counted twice.
"""

import csv
import fcntl
import io
import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from autox_video.core.console import complain, say, table
from autox_video.core.errors import ResourceError
from autox_video.core.files import write_text
from autox_video.metrics.intervals import FEW_VALIDATION_CLIPS, VALIDATION, score_text
from autox_video.run.work_dir import LEADERBOARD

KINDS = ("probe", "finetune", "search", "fold", "refit")
STATES = ("running", "done", "partial", "stopped", "failed", "pruned")


@dataclass(frozen=True, slots=True)
class Row:
    """One model that was tried."""

    id: str
    """The same for the same trial of a run, also when that is done again."""
    kind: str
    """`probe`: a head on fixed features; `finetune`: the run's own training; `search`: a trial;
    `fold`: a part of a cross-validation, or all of it; `refit`: a last training on all clips."""
    backbone: str
    frames: int
    """Frames of a clip."""
    size: int
    """Side of the square that the model sees, in px."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What else it was made with: plain JSON values."""
    score: float | None = None
    """Top-1 or mAP, 0 to 1; None: not known (yet)."""
    low: float | None = None
    high: float | None = None
    """The ends of the score's 95% interval."""
    scored_on: str = ""
    """`cross-validation` over training clips, or `validation` clips; "": not scored."""
    cost_sec: float = 0.0
    """What it took, in seconds, all starts together."""
    state: str = "done"
    """`running`, `done`, `partial` (scored on the clips there was time for), `stopped`, `failed`
    or `pruned`."""


COLUMNS = tuple(column.name for column in fields(Row))
_NUMBERS = ("score", "low", "high")


def read_rows(work_dir: Path) -> list[Row]:
    """The rows of a work dir, in the order in which they were added; lines that are none left out.

    Raises:
        ResourceError: the file is there but cannot be read.
    """
    return _parse(_read(work_dir / LEADERBOARD))[0]


def put_row(work_dir: Path, row: Row) -> None:
    """Add a row, or put it in the place of the one with its id; it is on the disk then.

    Several processes may do so at once. Where lines are damaged, the file as it was is kept beside
    it as `leaderboard.csv.damaged`.

    Raises:
        ResourceError: the file cannot be written; it is as it was.
    """
    path = work_dir / LEADERBOARD
    with _alone(path):
        text = _read(path)
        rows, damaged = _parse(text)
        if damaged:
            aside = path.with_name(f"{LEADERBOARD}.damaged")
            write_text(aside, text)
            say(f"{path}: {damaged} of its lines are no rows; as it was, it is now {aside.name}.")
        ids = [each.id for each in rows]
        if row.id in ids:
            rows[ids.index(row.id)] = row
        else:
            rows.append(row)
        write_text(path, _text(rows))


def find_row(work_dir: Path, identity: str) -> Row | None:
    """The row of an id, None if there is none."""
    return next((row for row in read_rows(work_dir) if row.id == identity), None)


def best_first(rows: Sequence[Row]) -> list[Row]:
    """Rows by falling score, those without one last; of equal scores the cheaper before."""
    return sorted(rows, key=lambda row: (1.0 if row.score is None else -row.score, row.cost_sec))


def show_leaderboard(rows: Sequence[Row], title: str = "Leaderboard") -> None:
    """Print rows as a table, the best first."""
    known = (row.config["clips"] for row in rows if isinstance(row.config.get("clips"), int))
    clips = min(known, default=math.inf)  # of one table all scores have as many digits
    columns = ("id", "backbone", "frames", "size", "score", "95% interval", "on", "cost", "state")
    shown = [
        (
            *(row.id, row.backbone, row.frames, f"{row.size} px"),
            "" if row.score is None else score_text(row.score, clips),
            *(interval_text(row.low, row.high, clips), _scored_on(row)),
            *(f"{row.cost_sec:.1f} s", row.state),
        )
        for row in best_first(rows)
    ]
    table(title, columns, shown)


def interval_text(low: float | None, high: float | None, clips: float) -> str:
    """The interval of a score on so many clips for the user, "" where there is none."""
    if low is None or high is None:
        return ""
    return f"{score_text(low, clips)} to {score_text(high, clips)}"


def _scored_on(row: Row) -> str | list[str]:
    """What a score was measured on; of few validation clips, how many, and their score behind."""
    clips, behind = (row.config.get(f"validation_{name}") for name in ("clips", "score"))
    if behind is not None:
        return [row.scored_on, f"(validation {score_text(behind, clips)}, {clips} clips)"]
    few = row.scored_on == VALIDATION and clips is not None and clips < FEW_VALIDATION_CLIPS
    return f"{row.scored_on}, {clips} clips" if few else row.scored_on


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror}).") from error


def _parse(text: str) -> tuple[list[Row], int]:
    """Give the rows of a file, and how many of its lines are none."""
    lines = list(csv.reader(io.StringIO(text.replace("\0", ""))))
    found: dict[str, Row] = {}
    damaged = 0
    for cells in lines:
        if not cells or cells == list(COLUMNS):
            continue
        try:
            row = _row(cells)
        except (ValueError, TypeError, RecursionError):
            damaged += 1
            continue
        found[row.id] = row
    return list(found.values()), damaged


def _row(cells: Sequence[str]) -> Row:
    given: dict[str, Any] = dict(zip(COLUMNS, cells, strict=True))
    for name in _NUMBERS:
        given[name] = float(given[name]) if given[name] else None
    given |= {name: int(given[name]) for name in ("frames", "size")}
    given |= {"cost_sec": float(given["cost_sec"]), "config": json.loads(given["config"])}
    numbers = [given[name] for name in (*_NUMBERS, "cost_sec") if given[name] is not None]
    if given["kind"] not in KINDS or given["state"] not in STATES or not given["id"]:
        raise ValueError("no row")
    if not isinstance(given["config"], dict) or not all(map(math.isfinite, numbers)):
        raise ValueError("no row")
    return Row(**given)


def _text(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_cells(row) for row in rows)
    return out.getvalue()


def _cells(row: Row) -> Iterator[str]:
    for name in COLUMNS:
        value = getattr(row, name)
        if name == "config":
            yield json.dumps(value, sort_keys=True, allow_nan=False)
        elif name in _NUMBERS:
            yield "" if value is None else repr(round(value, 6))
        elif name == "cost_sec":
            yield repr(round(value, 3))
        else:
            yield re.sub(r"[\r\n\0]", " ", str(value))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file while it is read and replaced: who comes second sees what the first wrote."""
    try:
        while True:
            file = open(path, "ab")  # noqa: SIM115 (held until the new one is in its place)
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(path, file.fileno()):
                break
            file.close()
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror or error}).") from error
    try:
        yield
    finally:
        file.close()


def _is_still(path: Path, handle: int) -> bool:
    """Whether a path is still the file that is open: another may have put a new one there."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


class Trial:
    """A trial under way: what is noted here is in its row when it ends."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def note(self, **values: Any) -> None:
        """Set fields of the row."""
        self.row = replace(self.row, **values)


@contextmanager
def trial(work_dir: Path, row: Row) -> Iterator[Trial]:
    """Keep the row of a trial up to date: `running` in the block, then its state and its cost.

    One that goes on after a stop adds to the cost of before; one that was done already keeps its
    row, unless its score is another now. Where the row cannot be written, that is said, and the
    trial goes on.
    """
    before = next((each for each in try_to_read(work_dir) if each.id == row.id), None)
    done = before is not None and before.state in ("done", "partial")
    spent_sec = before.cost_sec if before is not None else 0.0
    under_way = Trial(replace(row, state="done"))
    if not done:
        try_to_put(work_dir, replace(row, state="running", cost_sec=spent_sec))
    started, state = time.monotonic(), "failed"
    try:
        yield under_way
        state = under_way.row.state
    except BaseException as error:
        state = "failed" if isinstance(error, Exception) else "stopped"
        raise
    finally:
        spent_sec += time.monotonic() - started
        now = replace(under_way.row, state=state, cost_sec=spent_sec)
        scored_anew = now.score is not None and not _same(now, before or row)
        if not done or (state in ("done", "partial") and scored_anew):
            try_to_put(work_dir, now)


def _same(one: Row, other: Row) -> bool:
    """Whether two rows say the same but for the cost."""
    return _text([replace(one, cost_sec=0)]) == _text([replace(other, cost_sec=0)])


def try_to_put(work_dir: Path, row: Row) -> None:
    """Put a row; where it cannot be written, say so and go on."""
    try:
        put_row(work_dir, row)
    except ResourceError as error:
        complain(f"{error} The run goes on without that row.")


def try_to_read(work_dir: Path) -> list[Row]:
    """The rows of a work dir; where they cannot be read, say so and go on without."""
    try:
        return read_rows(work_dir)
    except ResourceError as error:
        complain(f"{error} The run goes on without its rows.")
        return []
