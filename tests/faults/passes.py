"""Shared by kills and signals: the reference run, finishing other runs, detecting writes."""

import os
import time
from pathlib import Path

from tests.faults.compare import differences
from tests.faults.runs import MissedError, Place, Run

BOTH = "tests/faults/train_and_test.py"
"""The script that trains and tests: a start of Python takes longer than such a test."""


def train_reference(place: Place) -> tuple[Run, float]:
    """Train and test without interruption; return the run, and the seconds to its first step."""
    reference = place.run("reference")
    life, began = reference.start(script=BOTH), time.monotonic()
    life.until_training()
    startup_sec = time.monotonic() - began
    if code := life.wait():
        raise MissedError(f"the reference ended with {code}:\n{life.said()}")
    seconds = time.monotonic() - began
    steps = reference.steps_done()
    print(f"reference: {steps} steps in {seconds:.0f} s, the first after {startup_sec:.1f} s")
    return reference, startup_sec


def finish(run: Run, reference: Run) -> list[str]:
    """Let a run finish, test it, and compare it; return the differences from the reference."""
    run.finish(script=BOTH)
    found = differences(run, reference, results=True)
    found += [f"{name} was left behind" for name in run.left_over()]
    print(f"{run.folder.name} came to its end: {'; '.join(found) or 'equal'}", flush=True)
    return [f"{run.folder.name}: {sentence}" for sentence in found]


def writes(work: Path, *names: str) -> bool:
    """Return whether there is a temporary file for one of `names`."""
    try:
        return any(n.startswith(tuple(f".{x}" for x in names)) for n in os.listdir(work))
    except FileNotFoundError:
        return False


def stamp(path: Path) -> tuple[int, int] | None:
    """Return the modification time and the size of a file; None if it is missing."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
