"""Measure the time that a run has used, including the time before a resume, and the time left.

Time is counted from the start of a command until the command has finished with the run.
WORK_DIR/budget.json is updated every few seconds, so that the time used is known even after a run
is killed.
"""

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from autox_video.core.errors import ResourceError
from autox_video.core.files import write_json
from autox_video.run.work_dir import BUDGET

BEAT_SEC = 2.0
"""Interval between writes of budget.json; after a kill, at most this much time is not counted."""

_began: float | None = None
"""Start time of this process's command, by `time.monotonic`; None if unknown."""
_current: "BudgetClock | None" = None


@dataclass(frozen=True, slots=True)
class BudgetClock:
    """Measures the wall-clock time that a run has used."""

    budget_sec: float | None
    """Time that the run may use; None if unlimited."""
    before_sec: float = 0.0
    """Time that the run had used before the current command started."""
    started: float = field(default_factory=time.monotonic)
    """Start time of the current command, by `time.monotonic`."""

    @property
    def used_sec(self) -> float:
        """Time that the run has used so far."""
        return self.before_sec + time.monotonic() - self.started

    @property
    def left_sec(self) -> float:
        """Time left; negative once the budget is exceeded, infinite if there is no budget."""
        return math.inf if self.budget_sec is None else self.budget_sec - self.used_sec


def command_begins() -> None:
    """Record that this process's command starts now, since the time before training also counts."""
    global _began
    _began = time.monotonic()


def running_clock(folder: Path, budget_sec: float | None) -> BudgetClock:
    """Return the clock of the current run, or a new clock if no run is in progress.

    Args:
        folder: the work dir.
        budget_sec: time that the run may use.
    """
    return _current or BudgetClock(budget_sec, read_used_sec(folder))


def command_clock(folder: Path, budget_sec: float | None) -> BudgetClock:
    """Return a clock that started with the current command and does not write budget.json."""
    return BudgetClock(budget_sec, read_used_sec(folder), _began or time.monotonic())


@contextmanager
def counting(folder: Path, budget_sec: float | None) -> Iterator[BudgetClock]:
    """Count the time that a run in a work dir uses while the `with` block runs.

    Args:
        folder: the work dir; budget.json is written there only if there is a budget.
        budget_sec: time that the run may use; None if unlimited.
    """
    global _began, _current
    before_sec = 0.0 if budget_sec is None else read_used_sec(folder)
    _current = clock = BudgetClock(budget_sec, before_sec, _began or time.monotonic())
    _began = None
    over = threading.Event()
    heart = threading.Thread(target=_beat, args=(folder, clock, over), daemon=True)
    try:
        if budget_sec is not None:
            heart.start()
        yield clock
    finally:
        _current = None
        over.set()
        if budget_sec is not None:
            heart.join()
            _write(folder, clock)


def read_used_sec(folder: Path) -> float:
    """Return the time that the run in a work dir has used so far; 0 if unknown."""
    try:
        used_sec = float(json.loads((folder / BUDGET).read_bytes())["used_sec"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0.0
    return max(0.0, used_sec) if math.isfinite(used_sec) else 0.0


def _beat(folder: Path, clock: BudgetClock, over: threading.Event) -> None:
    _write(folder, clock)
    while not over.wait(BEAT_SEC):
        _write(folder, clock)


def _write(folder: Path, clock: BudgetClock) -> None:
    content = {"budget_sec": clock.budget_sec, "used_sec": round(clock.used_sec, 3)}
    with suppress(ResourceError):  # a full disk is reported by training
        write_json(folder / BUDGET, content)
