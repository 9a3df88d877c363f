"""A work dir: the name of every file in it, moving a run aside, the disk space that a run takes."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

from autox_video.core.console import say
from autox_video.core.errors import ResourceError
from autox_video.core.files import flush_folder, remove_leftovers

LATEST, PREVIOUS = "latest.pth", "previous.pth"
BEST, BEST_SAFE = "best.pth", "best.safetensors"
CHECKPOINTS = (LATEST, PREVIOUS, BEST, BEST_SAFE)
CONFIG, RECORD = "config.py", "record.json"
TRAIN_LIST, VAL_LIST, TEST_LIST = "train.csv", "val.csv", "test.csv"
SPLIT = "split"
"""The folder of the lists of a split that was made here."""
UNREADABLE = "unreadable.csv"
METRICS, LOG, MEMORY, BUDGET = "metrics.jsonl", "train.log", "memory.json", "budget.json"
LOCK = "run.lock"
SEARCH, LEADERBOARD = "search.db", "leaderboard.csv"
PROBE, FEATURES = "probe.pth", "features"
SOUP, TRIALS, FOLDS, REFIT = "soup", "trials", "folds", "refit"
"""Folders: of the weights to average, and of the side runs."""
STATE, LOGITS = "state.json", "logits.json"
"""In the folder of a side run: what resuming it, or what follows from it, needs to know."""
RESULTS = "results.json"
CHECK, CHECK_REPORT = "check", "check.json"
EARLIER = "earlier"
"""The folder into which earlier runs are moved."""
FRESH = "--fresh"
"""The option of training that moves a run there."""
FOR_PLAN = ".plan-"
"""The start of the name of a folder that is there only while a plan is made."""

# In the order in which they are moved: what a run resumes from first, so that no instant leaves
# half a run that looks like a whole one.
RUN_FILES = (
    *(PREVIOUS, LATEST, BEST, BEST_SAFE, RECORD, CONFIG, TRAIN_LIST, VAL_LIST, SPLIT),
    *(METRICS, LOG, UNREADABLE, MEMORY, BUDGET, SEARCH, TRIALS, SOUP, LEADERBOARD),
    *(f"{LEADERBOARD}.damaged", PROBE, FOLDS, REFIT, FEATURES, RESULTS),
    *("plan.json", ".plan.json.copy"),  # the record of earlier versions
)
_DAMAGED = re.compile(rf"({'|'.join(map(re.escape, CHECKPOINTS))})\.damaged(-\d+)?")
# What databases write beside theirs, and results that later ones took the place of.
_BESIDE = re.compile(rf"{re.escape(SEARCH)}-(journal|wal|shm)|results-\d+\.json")
_MOVING = ".moving"
GIB = 2**30


def second_name(name: str) -> str:
    """What a file is called beside its own name while it takes the place of `name`."""
    return f".{name}.link.part"


def is_for_plan(work_dir: Path) -> bool:
    """Whether a folder is gone when the command ends, so that nothing is to be looked for there."""
    return work_dir.name.startswith(FOR_PLAN)


def has_checkpoint(work_dir: Path) -> bool:
    """Whether a folder holds a run to resume."""
    return any((work_dir / name).exists() for name in (LATEST, PREVIOUS))


def make_ready(work_dir: Path, *, fresh: bool, goes_on: bool = False) -> None:
    """Leave in a folder only a run to resume; to be called by the owner of its lock.

    What interrupted writes left behind is removed. The files of an old run are moved into
    WORK_DIR/earlier, never deleted: where `fresh` asks for it, and where its weights are there but
    nothing to resume from, since a new run would replace them.

    Args:
        work_dir: the folder.
        fresh: whether a run that is there is moved aside.
        goes_on: whether weights without a checkpoint are what is resumed.

    Raises:
        ResourceError: the files cannot be moved.
    """
    side_runs = chain.from_iterable((work_dir / name).glob("*") for name in (TRIALS, FOLDS, REFIT))
    for folder in (work_dir, work_dir / SPLIT, *side_runs):
        remove_leftovers(folder, {*RUN_FILES, STATE, TEST_LIST})
    if has_checkpoint(work_dir):
        (work_dir / second_name(PREVIOUS)).unlink(missing_ok=True)
    for moving in sorted((work_dir / EARLIER).glob(f"*{_MOVING}")):
        say(f"work_dir: the rest of the run before is now in {_move(work_dir, moving)}.")
    if fresh:
        earlier = set_aside(work_dir)
        moved = f"the files of the run before are now in {earlier}"
        say(f"work_dir: {moved if earlier else f'there was no run to move aside in {work_dir}'}.")
    elif not (goes_on or has_checkpoint(work_dir)) and _holds_weights(work_dir):
        say(
            f"work_dir: {work_dir} holds weights, but neither {LATEST} nor {PREVIOUS} to resume "
            f"from. What there was of that run is now in {set_aside(work_dir)}; training starts "
            "anew."
        )


def set_aside(work_dir: Path) -> Path | None:
    """Move the files of the run in a folder into a new one under `earlier`; give that, or None.

    Nothing is deleted or overwritten, and what is not a run's stays where it is. An interrupted
    move is finished by the next `make_ready`.

    Raises:
        ResourceError: the files cannot be moved.
    """
    if not _run_files_in(work_dir):
        return None
    with _move_errors(work_dir):
        moving = _new_folder(work_dir / EARLIER)
    return _move(work_dir, moving)


def _run_files_in(work_dir: Path) -> list[str]:
    names = [name for name in RUN_FILES if os.path.lexists(work_dir / name)]
    present = sorted(path.name for path in work_dir.iterdir())
    return names + [n for n in present if _DAMAGED.fullmatch(n) or _BESIDE.fullmatch(n)]


def _holds_weights(work_dir: Path) -> bool:
    names = _run_files_in(work_dir)
    return any(name in CHECKPOINTS or _DAMAGED.fullmatch(name) for name in names)


def _new_folder(earlier: Path) -> Path:
    """Make a folder named by the time, which keeps a mark in its name until all is moved."""
    earlier.mkdir(exist_ok=True)
    now = time.strftime("%Y-%m-%d_%H-%M-%S")
    for number in count(1):
        folder = earlier / (now if number == 1 else f"{now}_{number}")
        moving = folder.with_name(f"{folder.name}{_MOVING}")
        if not folder.exists() and not moving.exists():
            break
    moving.mkdir()
    return moving


def _move(work_dir: Path, moving: Path) -> Path:
    """Move the files of a run, by renames; give the folder under its final name."""
    with _move_errors(work_dir):
        for name in _run_files_in(work_dir):
            if not os.path.lexists(moving / name):
                (work_dir / name).rename(moving / name)
        flush_folder(moving)
        folder = moving.with_name(moving.name.removesuffix(_MOVING))
        moving.rename(folder)
        flush_folder(folder.parent)
        flush_folder(work_dir)
    return folder


@contextmanager
def _move_errors(work_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"work_dir: the run before cannot be moved into {work_dir / EARLIER} "
            f"({error.strerror}); nothing of it is lost. Give another work_dir to train anew."
        ) from error


def check_disk(work_dir: Path, need_gib: float) -> None:
    """Refuse a run whose checkpoints would not fit on the disk of its work dir.

    Args:
        work_dir: the folder; what the run has there already counts.
        need_gib: what the checkpoints take while one is written.

    Raises:
        ResourceError: with what is needed and what there is.
    """
    missing = still_needed_bytes(work_dir, need_gib)
    free = shutil.disk_usage(work_dir).free
    if missing > free:
        raise ResourceError(
            f"work_dir: the run needs {need_gib:.3g} GiB for its checkpoints, of which "
            f"{missing / GIB:.3g} GiB are still to be written; on the disk of {work_dir} "
            f"{free / GIB:.3g} GiB are free. Make room there, or give a work_dir on another disk."
        )


def still_needed_bytes(work_dir: Path, need_gib: float) -> int:
    """What a run still needs of the disk, beside the checkpoints that it has there already."""
    files = [*(work_dir / name for name in CHECKPOINTS), *work_dir.glob(f"{SOUP}/*.pth")]
    return max(0, int(need_gib * GIB) - sum(f.stat().st_size for f in files if f.exists()))


def free_for_others_bytes(folder: Path, free: int, work_dir: Path, need_gib: float) -> int:
    """What of the free space on the disk of a folder is not needed by the run's checkpoints.

    Args:
        folder: of another use, such as a cache; it may be yet to be made.
        free: free space on its disk, in bytes.
        work_dir: of the run.
        need_gib: what its checkpoints take while one is written.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.stat().st_dev != work_dir.stat().st_dev:
        return free
    return max(0, free - still_needed_bytes(work_dir, need_gib))
