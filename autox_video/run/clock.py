"""The time that a run has used, over all its starts, and the time left in its budget.

Time counts while a process works on the run, from the start of its command. WORK_DIR/budget.json is
updated every few seconds, so that a run knows how much time it used before it was killed.
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
"""Longest time between two writes of budget.json; a killed run loses at most this much."""

_began: float | None = None
"""When the command of this process started, if known."""
_current: "BudgetClock | None" = None


@dataclass(frozen=True, slots=True)
class BudgetClock:
    """Measures the wall time that a run has used."""

    budget_sec: float | None
    """Time that the run may use; None: no limit."""
    before_sec: float = 0.0
    """Time used by earlier starts."""
    started: float = field(default_factory=time.monotonic)
    """Time at which the current start began, by `time.monotonic`."""

    @property
    def used_sec(self) -> float:
        """Time used so far by all starts."""
        return self.before_sec + time.monotonic() - self.started

    @property
    def left_sec(self) -> float:
        """Time left, negative once the budget is exceeded; infinite without a budget."""
        return math.inf if self.budget_sec is None else self.budget_sec - self.used_sec


def command_begins() -> None:
    """Record that the command of this process starts now, as time before training counts too."""
    global _began
    _began = time.monotonic()


def running_clock(folder: Path, budget_sec: float | None) -> BudgetClock:
    """Return the clock of the current run; outside a run, a new clock that starts now.

    Args:
        folder: the work dir.
        budget_sec: time that the run may use.
    """
    return _current or BudgetClock(budget_sec, read_used_sec(folder))


def command_clock(folder: Path, budget_sec: float | None) -> BudgetClock:
    """Return a clock that started with this command and writes nothing."""
    return BudgetClock(budget_sec, read_used_sec(folder), _began or time.monotonic())


@contextmanager
def counting(folder: Path, budget_sec: float | None) -> Iterator[BudgetClock]:
    """Count the time of a run in a work dir until the block ends.

    Args:
        folder: the work dir; nothing is written to it without a budget.
        budget_sec: time that the run may use; None: no limit.
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
    """Return the time that earlier starts in a work dir have used; 0 if that is not known."""
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
