"""Define the file names in a work dir, move an old run aside, and check the disk space."""

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

WORK_DIRS = "work_dirs"
"""Parent folder of default work dirs, which are named after their data sets."""
LATEST, PREVIOUS = "latest.pth", "previous.pth"
BEST, BEST_SAFE = "best.pth", "best.safetensors"
CHECKPOINTS = (LATEST, PREVIOUS, BEST, BEST_SAFE)
CONFIG, RECORD = "config.py", "record.json"
TRAIN_LIST, VAL_LIST, TEST_LIST = "train.csv", "val.csv", "test.csv"
SPLIT = "split"
"""Folder with the list files of an automatic split."""
CLIPS = "clips.json"
"""File with the split, class and digest of each clip, for comparison with later listings."""
UNREADABLE = "unreadable.csv"
METRICS, LOG, MEMORY, BUDGET = "metrics.jsonl", "train.log", "memory.json", "budget.json"
LOCK = "run.lock"
SEARCH, LEADERBOARD = "search.db", "leaderboard.csv"
PROBE, FEATURES = "probe.pth", "features"
PROBES = (PROBE, "probe-2.pth", "probe-3.pth")
"""Files of the best probe and of the runners-up, which an ensemble may include."""
TRAINED, ENSEMBLE = "trained.pth", "ensemble.json"
"""Files of the best trained weights, if another model is kept, and of the ensemble's members."""
SOUP, TRIALS, FOLDS, REFIT = "soup", "trials", "folds", "refit"
"""Folders for the weights to be averaged in a model soup, and for side runs."""
STATE, LOGITS = "state.json", "logits.json"
"""Files in a side run's folder: the state needed for resuming, and the validation logits."""
RESULTS, MISTAKES = "results.json", "mistakes.csv"
CHECK, CHECK_REPORT = "check", "check.json"
EARLIER = "earlier"
"""Folder to which earlier runs are moved."""
FRESH = "--fresh"
"""Command-line option that moves an existing run to the folder EARLIER."""
FOR_PLAN = ".plan-"
"""Name prefix of the temporary work dirs that `--plan` uses."""

# Files of a run in the order in which they are moved. Checkpoints come first, so that a partly
# moved run never looks complete.
RUN_FILES = (
    *(PREVIOUS, LATEST, BEST, BEST_SAFE, RECORD, CONFIG, TRAIN_LIST, VAL_LIST, SPLIT, CLIPS),
    *(METRICS, LOG, UNREADABLE, MEMORY, BUDGET, SEARCH, TRIALS, SOUP, LEADERBOARD),
    *(
        f"{LEADERBOARD}.damaged",
        *PROBES,
        TRAINED,
        ENSEMBLE,
        FOLDS,
        REFIT,
        FEATURES,
        RESULTS,
        MISTAKES,
    ),
    *("plan.json", ".plan.json.copy"),  # the run record of earlier versions
)
_DAMAGED = re.compile(rf"({'|'.join(map(re.escape, CHECKPOINTS))})\.damaged(-\d+)?")
# Side files of databases, and results that newer results have replaced.
_BESIDE = re.compile(rf"{re.escape(SEARCH)}-(journal|wal|shm)|results-\d+(\.json|-mistakes\.csv)")
_MOVING = ".moving"
GIB = 2**30


def default_work_dir(data_root: str) -> str:
    """Return work_dirs/NAME, where NAME is the last component of the clips' folder or URL."""
    address = data_root.partition("://")[2].partition("?")[0]
    path = address.rstrip("/") or os.path.normpath(Path(data_root).absolute())
    return f"{WORK_DIRS}/{path.rpartition('/')[2] or 'clips'}"


def second_name(name: str) -> str:
    """Return the temporary name of a file that is about to replace `name`."""
    return f".{name}.link.part"


def is_for_plan(work_dir: Path) -> bool:
    """Return whether this is a temporary work dir for `--plan`, which messages must not mention."""
    return work_dir.name.startswith(FOR_PLAN)


def has_checkpoint(work_dir: Path) -> bool:
    """Return whether a folder holds a run that can be resumed."""
    return any((work_dir / name).exists() for name in (LATEST, PREVIOUS))


def make_ready(work_dir: Path, *, fresh: bool, resumes: bool = False) -> None:
    """Prepare a work dir for a new or resumed run; the caller must hold the lock.

    Temporary files left by interrupted writes are removed. Files of an old run are never deleted.
    The files of an old run are moved to WORK_DIR/earlier if `fresh` is set, or if there are weights
    but no checkpoint to resume from, since a new run would overwrite the weights.

    Args:
        work_dir: the folder.
        fresh: whether to move an existing run aside.
        resumes: whether to resume a probe run, which has weights but no checkpoint.

    Raises:
        ResourceError: the files cannot be moved.
    """
    side_runs = chain.from_iterable((work_dir / name).glob("*") for name in (TRIALS, FOLDS, REFIT))
    for folder in (work_dir, work_dir / SPLIT, *side_runs):
        remove_leftovers(folder, {*RUN_FILES, STATE, TEST_LIST})
    if has_checkpoint(work_dir):
        (work_dir / second_name(PREVIOUS)).unlink(missing_ok=True)
    for moving in sorted((work_dir / EARLIER).glob(f"*{_MOVING}")):
        say(f"work_dir: the rest of the previous run is now in {_move(work_dir, moving)}.")
    if fresh:
        earlier = set_aside(work_dir)
        moved = f"the files of the previous run are now in {earlier}"
        say(f"work_dir: {moved if earlier else f'there was no run to move aside in {work_dir}'}.")
    elif not (resumes or has_checkpoint(work_dir)) and _holds_weights(work_dir):
        say(
            f"work_dir: {work_dir} holds weights, but neither {LATEST} nor {PREVIOUS} to resume "
            f"from. The files of that run are now in {set_aside(work_dir)}; training starts from "
            "the beginning."
        )


def set_aside(work_dir: Path) -> Path | None:
    """Move a run's files to a new folder in `earlier`; return it, or None if there is no run.

    No file is deleted or overwritten, and other files stay where they are. An interrupted move is
    completed by the next call to `make_ready`.

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
    """Create a folder named after the current time, with a suffix that marks an incomplete move."""
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
    """Move a run's files by renaming them; return the folder under its final name."""
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
            f"work_dir: the previous run cannot be moved to {work_dir / EARLIER} "
            f"({error.strerror}). No file is lost. Use another work_dir for the new run."
        ) from error


def check_disk(work_dir: Path, need_gib: float) -> None:
    """Check that the checkpoints of a run fit on the disk that holds its work dir.

    Args:
        work_dir: the work dir; existing checkpoints count towards the space needed.
        need_gib: peak total size of the checkpoints, reached while one is being written.

    Raises:
        ResourceError: there is too little space; the message gives the space needed and available.
    """
    missing = still_needed_bytes(work_dir, need_gib)
    free = shutil.disk_usage(work_dir).free
    if missing > free:
        raise ResourceError(
            f"work_dir: not enough disk space. The run needs {need_gib:.3g} GiB for its "
            f"checkpoints, of which {missing / GIB:.3g} GiB are still to be written, but the disk "
            f"of {work_dir} has {free / GIB:.3g} GiB free. Free some space there, or use a "
            "work_dir on another disk."
        )


def still_needed_bytes(work_dir: Path, need_gib: float) -> int:
    """Return the disk space in bytes that a run needs beyond the checkpoints it already has."""
    files = [*(work_dir / name for name in CHECKPOINTS), *work_dir.glob(f"{SOUP}/*.pth")]
    return max(0, int(need_gib * GIB) - sum(f.stat().st_size for f in files if f.exists()))


def free_for_others_bytes(folder: Path, free: int, work_dir: Path, need_gib: float) -> int:
    """Return the free space on a folder's disk, minus the space that the run's checkpoints need.

    Args:
        folder: a folder for other files, such as a cache; the folder need not exist yet.
        free: free space on the folder's disk, in bytes.
        work_dir: the work dir of the run.
        need_gib: peak total size of the run's checkpoints, reached while one is being written.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.stat().st_dev != work_dir.stat().st_dev:
        return free
    return max(0, free - still_needed_bytes(work_dir, need_gib))
