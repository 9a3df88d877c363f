"""leaderboard.csv: a row for each model that was tried, with its score and what it cost.

It is a report: no decision rests on it. A row of the same id takes the place of the one before, so
that what is done again after a stop is not counted twice.
"""

import csv
import io
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from autox_video.core.console import complain, say, table
from autox_video.core.errors import ResourceError
from autox_video.core.files import write_text
from autox_video.distributed import processes
from autox_video.metrics.intervals import FEW_VALIDATION_CLIPS, VALIDATION, score_text
from autox_video.planning.plan import Plan
from autox_video.run.work_dir import LEADERBOARD

Kind = Literal["probe", "finetune", "search", "fold", "refit"]
State = Literal["running", "done", "partial", "stopped", "failed", "pruned"]


@dataclass(frozen=True, slots=True)
class Row:
    """One model that was tried."""

    id: str
    """The same for the same trial of a run, also when that is done again."""
    kind: Kind
    """`probe`: a head on fixed features; `finetune`: the run's own training; `search`: a trial;
    `fold`: a part of a cross-validation, or all of it; `refit`: a last training on all clips."""
    backbone: str
    frames: int
    """Frames of a clip."""
    size: int
    """Side of the square that the model sees, in px."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What else it was made with: plain JSON values."""
    score: FiniteFloat | None = None
    """Top-1 or mAP, 0 to 1; None: not known (yet)."""
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    """The ends of the score's 95% interval."""
    scored_on: str = ""
    """`cross-validation` over training clips, or `validation` clips; "": not scored."""
    cost_sec: FiniteFloat = 0.0
    """What it took, in seconds, all starts together."""
    state: State = "done"
    """`partial`: scored on the clips there was time for; `pruned`: given up as hopeless."""


COLUMNS = tuple(column.name for column in fields(Row))
_OPTIONAL = ("score", "low", "high")
_ROW = TypeAdapter(Row)


def row_of(identity: str, kind: Kind, plan: Plan, about: Mapping[str, Any] | None = None) -> Row:
    """The row of a plan that is to be tried."""
    return Row(identity, kind, plan.backbone, plan.clip_len, plan.resolution, about or {})


def read_rows(work_dir: Path) -> list[Row]:
    """The rows of a work dir, in the order in which they were added; lines that are none left out.

    Raises:
        ResourceError: the file is there but cannot be read.
    """
    return _parse(_read(work_dir / LEADERBOARD))[0]


def put_row(work_dir: Path, row: Row) -> None:
    """Add a row, or put it in the place of the one with its id; to be called by the run's owner.

    Where lines are damaged, the file as it was stays beside it as `leaderboard.csv.damaged`. Where
    it cannot be written, that is said.
    """
    path = work_dir / LEADERBOARD
    try:
        text = _read(path)
        rows, damaged = _parse(text)
        if damaged:
            aside = path.with_name(f"{LEADERBOARD}.damaged")
            write_text(aside, text)
            say(f"{path}: {damaged} of its lines are no rows; as it was, it is now {aside.name}.")
        write_text(path, _text(({known.id: known for known in rows} | {row.id: row}).values()))
    except ResourceError as error:
        complain(f"{error} The run goes on without that row.")


def find_row(work_dir: Path, identity: str) -> Row | None:
    """The row of an id; None where there is none, or rows cannot be read, which is said."""
    return next((row for row in try_to_read(work_dir) if row.id == identity), None)


def try_to_read(work_dir: Path) -> list[Row]:
    """The rows of a work dir; where they cannot be read, say so and go on without."""
    try:
        return read_rows(work_dir)
    except ResourceError as error:
        complain(f"{error} The run goes on without its rows.")
        return []


class OpenRow:
    """The row of what is under way: what is noted here is in it at the end."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def note(self, **values: Any) -> None:
        """Set fields of the row."""
        self.row = replace(self.row, **values)


@contextmanager
def open_row(work_dir: Path, row: Row, *, anew: bool = False) -> Iterator[OpenRow]:
    """Keep a row up to date: `running` in the block, then its state and its cost.

    What resumes after a stop adds to the cost of before; what was done already keeps its row,
    unless its score is another now. `anew`: a row of this id is of something else, and counts for
    nothing. All processes may come here; the main one writes.
    """
    under_way = OpenRow(replace(row, state="done"))
    if not processes.current().is_main:
        yield under_way
        return
    before = None if anew else find_row(work_dir, row.id)
    was_done = before is not None and before.state in ("done", "partial")
    spent_sec = before.cost_sec if before else 0.0
    if not was_done:
        put_row(work_dir, replace(row, state="running", cost_sec=spent_sec))
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
        if not was_done or (state in ("done", "partial") and _is_scored_anew(now, before)):
            put_row(work_dir, now)


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


def _is_scored_anew(now: Row, before: Row) -> bool:
    """Whether a row has a score, and says more than the cost that it did not say before."""
    texts = [_text([replace(row, cost_sec=0.0)]) for row in (now, before)]
    return now.score is not None and texts[0] != texts[1]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror}).") from error


def _parse(text: str) -> tuple[list[Row], int]:
    """The rows of a file, and how many of its lines are none."""
    rows: dict[str, Row] = {}
    damaged = 0
    for cells in csv.reader(io.StringIO(text.replace("\0", ""))):
        if not cells or cells == list(COLUMNS):
            continue
        try:
            values: dict[str, Any] = dict(zip(COLUMNS, cells, strict=True))
            values["config"] = json.loads(values["config"])
            values |= {name: values[name] or None for name in ("id", *_OPTIONAL)}
            row = _ROW.validate_python(values)
        except (ValidationError, ValueError, RecursionError):
            damaged += 1
        else:
            rows[row.id] = row
    return list(rows.values()), damaged


def _text(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(name, getattr(row, name)) for name in COLUMNS] for row in rows)
    return out.getvalue()


def _cell(name: str, value: Any) -> str:
    if name == "config":
        return json.dumps(value, sort_keys=True, allow_nan=False)
    if name in _OPTIONAL:
        return "" if value is None else repr(round(value, 6))
    if name == "cost_sec":
        return repr(round(value, 3))
    return re.sub(r"[\r\n\0]", " ", str(value))
