"""leaderboard.csv, in which each row gives the score and the cost of a model that was tried.

The file is only a report: no decision depends on it. A new row replaces any row with the same id,
so a trial repeated after an interruption is not counted twice.
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
from textwrap import wrap
from typing import Any, Literal

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from autox_video.core.console import complain, short_path, table
from autox_video.core.durations import duration
from autox_video.core.errors import ResourceError
from autox_video.core.files import write_text
from autox_video.core.wording import counted
from autox_video.distributed import processes
from autox_video.metrics.intervals import (
    CROSS_VALIDATION,
    FEW_VALIDATION_CLIPS,
    VALIDATION,
    score_text,
)
from autox_video.planning.plan import Plan
from autox_video.run.work_dir import LEADERBOARD

Kind = Literal["probe", "finetune", "search", "fold", "refit", "ensemble"]
State = Literal["running", "done", "partial", "stopped", "failed", "pruned"]


@dataclass(frozen=True, slots=True)
class Row:
    """A leaderboard row for one model."""

    id: str
    """Id of the model within its run; it does not change if the trial is repeated."""
    kind: Kind
    """`probe`: a head trained on fixed features; `finetune`: the main training run; `search`: a
    search trial; `fold`: one fold of the cross-validation, or all folds; `refit`: the final
    training run on training and validation clips; `ensemble`: the mean of several models."""
    backbone: str
    frames: int
    """Frames per clip."""
    size: int
    """Height and width of the model's input in pixels."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Other settings of the model, as JSON values."""
    score: FiniteFloat | None = None
    """The main score, such as top-1 or mAP, from 0 to 1; None if the model has not been scored."""
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    """Lower and upper bounds of the score's 95% interval."""
    scored_on: str = ""
    """`cross-validation` on the training clips, or `validation`; "" if not scored."""
    cost_sec: FiniteFloat = 0.0
    """Time spent on the model, in seconds, including interrupted attempts."""
    state: State = "done"
    """`partial`: scored on only some of the clips because time ran out; `pruned`: stopped early
    because other trials were better."""


ID_WIDTH = 20
"""Width of the ids in the table; longer ids are broken at hyphens."""
COLUMNS = tuple(column.name for column in fields(Row))
_OPTIONAL = ("score", "low", "high")
_ROW = TypeAdapter(Row)


def row_of(identity: str, kind: Kind, plan: Plan, about: Mapping[str, Any] | None = None) -> Row:
    """Return a new leaderboard row for a plan that is about to be tried."""
    return Row(identity, kind, plan.backbone, plan.clip_len, plan.resolution, about or {})


def read_rows(work_dir: Path) -> list[Row]:
    """Return a work dir's leaderboard rows in the order they were added, skipping damaged lines.

    Raises:
        ResourceError: the file exists but cannot be read.
    """
    return _parse(_read(work_dir / LEADERBOARD))[0]


def put_row(work_dir: Path, row: Row) -> None:
    """Add a row, replacing any row with the same id; only the run's own process may call this.

    A file with damaged lines is kept as `leaderboard.csv.damaged`. If the file cannot be written,
    a warning is shown.
    """
    path = work_dir / LEADERBOARD
    try:
        text = _read(path)
        rows, damaged = _parse(text)
        if damaged:
            aside = path.with_name(f"{LEADERBOARD}.damaged")
            write_text(aside, text)
            complain(
                f"{short_path(path)}: {counted(damaged, 'damaged line')} skipped; the original "
                f"file is kept as {aside.name}."
            )
        write_text(path, _text(({known.id: known for known in rows} | {row.id: row}).values()))
    except ResourceError as error:
        complain(f"{error} The run continues without that row.")


def find_row(work_dir: Path, identity: str) -> Row | None:
    """Return the row with this id, or None if it is missing or the file cannot be read."""
    return next((row for row in try_to_read(work_dir) if row.id == identity), None)


def try_to_read(work_dir: Path) -> list[Row]:
    """Return a work dir's leaderboard rows; if reading fails, warn and return an empty list."""
    try:
        return read_rows(work_dir)
    except ResourceError as error:
        complain(f"{error} The run continues without its rows.")
        return []


class OpenRow:
    """The row for a model that is being tried; the row is rewritten when the trial ends."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def note(self, **values: Any) -> None:
        """Set fields of the row."""
        self.row = replace(self.row, **values)


@contextmanager
def open_row(work_dir: Path, row: Row, *, anew: bool = False) -> Iterator[OpenRow]:
    """Write a row as `running`, then update its state and its cost when the block ends.

    The cost of a resumed trial is added to its earlier cost. A finished trial keeps its row unless
    its score has changed. If `anew` is set, an existing row with this id belongs to a different
    trial and is replaced. All processes may call this; only the main process writes.
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
    """Return the rows sorted by descending score, then by cost, with unscored rows last."""
    return sorted(rows, key=lambda row: (1.0 if row.score is None else -row.score, row.cost_sec))


def show_leaderboard(
    rows: Sequence[Row], title: str = "Leaderboard", *, detail: bool = False
) -> None:
    """Print the rows as a table, best first, with fewer columns than leaderboard.csv.

    Args:
        rows: the rows to show.
        title: title of the table.
        detail: if true, the table is only printed when `verbose` is true.
    """
    counts = (row.config.get(key) for row in rows for key in ("clips", "validation_clips"))
    known = (count for count in counts if isinstance(count, int))
    clips = min(known, default=math.inf)  # all scores in a table have the same number of digits
    shown = [
        (
            *(place, wrap(row.id, ID_WIDTH), _score_with_interval(row, clips), _scored_on(row)),
            *(duration(row.cost_sec), row.state),
        )
        for place, row in enumerate(best_first(rows), start=1)
    ]
    columns = ("", "model", "score (95% interval)", "scored on", "time", "state")
    table(title, columns, shown, detail=detail, lines=False)


def _score_with_interval(row: Row, clips: float) -> str:
    if row.score is None:
        return ""
    interval = interval_text(row.low, row.high, clips)
    return score_text(row.score, clips) + (f" ({interval})" if interval else "")


def interval_text(low: float | None, high: float | None, clips: float) -> str:
    """Return a score's interval as text, rounded to suit the number of clips; "" if unknown."""
    if low is None or high is None:
        return ""
    return f"{score_text(low, clips)} to {score_text(high, clips)}"


def _scored_on(row: Row) -> list[str]:
    """Say which clips a score was measured on, with details if there are few validation clips."""
    scored_on = "folds" if row.scored_on == CROSS_VALIDATION else row.scored_on
    clips, behind = (row.config.get(f"validation_{name}") for name in ("clips", "score"))
    if behind is not None:
        return [scored_on, f"(validation {score_text(behind, clips)}, {clips} clips)"]
    few = row.scored_on == VALIDATION and clips is not None and clips < FEW_VALIDATION_CLIPS
    return [scored_on, f"({clips} clips)"] if few else [scored_on]


def _is_scored_anew(now: Row, before: Row) -> bool:
    """Return whether a row has a score and differs from the old row in more than its cost."""
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
    """Return the rows in a file's text, and the number of damaged lines."""
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
