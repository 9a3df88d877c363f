"""The time that a run takes, over all of its starts, and what its budget leaves of it.

Time counts while a process works on the run, from the start of its command: WORK_DIR/budget.json
holds it, written every few seconds, so that a run which was killed knows what it has used.
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
"""Greatest time between two writes of budget.json: as much can be lost when a run is killed."""

_began: float | None = None
"""When the command of this process began, where that is known."""
_current: "BudgetClock | None" = None


@dataclass(frozen=True, slots=True)
class BudgetClock:
    """Wall time that a run has used."""

    budget_sec: float | None
    """What it may use; None: as much as it takes."""
    before_sec: float = 0.0
    """Used by earlier starts."""
    started: float = field(default_factory=time.monotonic)
    """When this start began, by `time.monotonic`."""

    @property
    def used_sec(self) -> float:
        """Time used so far, by all starts."""
        return self.before_sec + time.monotonic() - self.started

    @property
    def left_sec(self) -> float:
        """What is left of the budget, below 0 where more was used; infinity without one."""
        return math.inf if self.budget_sec is None else self.budget_sec - self.used_sec


def command_begins() -> None:
    """Note that the command of this process begins now: what it does before it trains counts."""
    global _began
    _began = time.monotonic()


def running_clock(folder: Path, budget_sec: float | None) -> BudgetClock:
    """The clock of the run that this process works on; outside of one, a clock for this moment.

    Args:
        folder: the work dir.
        budget_sec: what the run may use.
    """
    return _current or BudgetClock(budget_sec, read_used_sec(folder))


def command_clock(folder: Path, budget_sec: float | None) -> BudgetClock:
    """A clock from the beginning of this command on, which writes nothing."""
    return BudgetClock(budget_sec, read_used_sec(folder), _began or time.monotonic())


@contextmanager
def counting(folder: Path, budget_sec: float | None) -> Iterator[BudgetClock]:
    """Count the time of a run in a work dir until the block ends.

    Args:
        folder: the work dir; nothing is written to it without a budget.
        budget_sec: what the run may use; None: as much as it takes.
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
    """Time that earlier starts in a work dir have used; 0 where nothing is known of it."""
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
    with suppress(ResourceError):  # the disk is full: training says so
        write_json(folder / BUDGET, content)
