"""plan.json: what a run decided, and what it learns from; kept twice, and checked when read."""

import hashlib
import json
from pathlib import Path
from typing import Any

from autox_video.core.console import say
from autox_video.core.errors import CheckpointError
from autox_video.core.files import write_json
from autox_video.planning.plan import FIELDS, Plan
from autox_video.run.work_dir import BEST, PLAN, PLAN_COPY, has_checkpoint

PLAN_SCHEMA = 6
"""What runs can be gone on with: each number before had another optimizer or another loader."""

TO_TRAIN_ANEW = (
    "to train anew, start with --fresh, which moves the run to WORK_DIR/earlier, or give another "
    "work_dir."
)
WAYS_ON = f"To go on with it, take the change back; {TO_TRAIN_ANEW}"


def write_plan(
    folder: Path,
    plan: Plan,
    fingerprint: str,
    data: dict[str, Any],
    prediction: dict[str, Any] | None = None,
) -> None:
    """Write plan.json, and then its copy.

    Args:
        folder: the work dir.
        plan: every choice, which goes in with its reason, source, figures and alternatives.
        fingerprint: of the listed clips and classes.
        data: of the clips that the run learns from, as `run_data.record` gives it.
        prediction: how long the run takes, in seconds by part, where that is known.

    Raises:
        ResourceError: a file cannot be written.
    """
    stored = {"schema": PLAN_SCHEMA, "fingerprint": fingerprint, "data": data}
    write_stored(folder, {**stored, "prediction": prediction, "choices": plan.to_json()})


def write_stored(folder: Path, stored: dict[str, Any]) -> None:
    """Write what `read_plan` gives, with a digest of it."""
    value = {**stored, "digest": _digest(stored)}
    for name in (PLAN, PLAN_COPY):
        write_json(folder / name, value)


def read_plan(folder: Path) -> dict[str, Any]:
    """The content of plan.json, or of its copy where that is missing or damaged.

    Raises:
        CheckpointError: both are missing or damaged, they are of different runs, or of another
            version of this project.
    """
    path = folder / PLAN
    stored, copy = _read(path), _read(folder / PLAN_COPY)
    whole, copy_whole = ("digest" in (each or {}) for each in (stored, copy))
    if whole and copy_whole and _settled(stored) != _settled(copy):
        raise CheckpointError(
            f"{path}: it and its copy {PLAN_COPY} are of different runs. Delete the one that does "
            f"not belong to this folder; {TO_TRAIN_ANEW}"
        )
    if not whole and copy_whole:
        say(f"{path}: missing or damaged; its copy {PLAN_COPY} is used, and it is written again.")
        stored = copy
    if stored is None:
        raise CheckpointError(
            f"{path}: missing or damaged, and so is its copy {PLAN_COPY}, though the folder holds "
            f"a run to go on with. Put one of them back; {TO_TRAIN_ANEW}"
        )
    if stored["schema"] != PLAN_SCHEMA:
        raise CheckpointError(
            f"{path}: the folder holds a run of another version of this project, which trained in "
            f"another way. Go on with that version; {TO_TRAIN_ANEW}"
        )
    return stored


def is_probe_run(folder: Path) -> bool:
    """Whether a folder holds weights that `mode: probe` made, and no run that trains."""
    if has_checkpoint(folder) or not (folder / BEST).is_file():
        return False
    stored = _read(folder / PLAN) or _read(folder / PLAN_COPY) or {}
    return stored.get("choices", {}).get("mode", {}).get("value") == "probe"


def _read(path: Path) -> dict[str, Any] | None:
    """What a file holds: None where that is damaged, without a digest where it is another's."""
    try:
        stored = json.loads(path.read_bytes())
        given = stored.pop("digest", None)
        if given == _digest(stored):
            return {**stored, "digest": given}
        other = isinstance(stored["schema"], int) and stored["schema"] < PLAN_SCHEMA
        return stored if other and given is None else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _settled(stored: dict[str, Any]) -> dict[str, Any]:
    """What stays the same as long as a run goes on."""
    choices = stored.get("choices", {}).items()
    fixed = {f for f, field in FIELDS.items() if field.change is None}
    values = {f: choice["value"] for f, choice in choices if f in fixed}
    return {**stored, "choices": values, "prediction": None, "digest": None}


def _digest(stored: dict[str, Any]) -> str:
    """SHA-256 of the content, however it is spaced and sorted."""
    text = json.dumps(stored, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
