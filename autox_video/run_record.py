"""plan.json: what a run decided, and what it learns from; kept twice, and checked when read."""

import hashlib
import json
from pathlib import Path
from typing import Any

from autox_video.console import say
from autox_video.errors import CheckpointError
from autox_video.fileio import write_text
from autox_video.plan.choose import Plan

PLAN, COPY = "plan.json", ".plan.json.copy"
PLAN_SCHEMA = 5
"""What runs can be gone on with: each number before had another optimizer or another loader."""

WAYS_ON = (
    "To go on with it, take the change back; to train anew, start with --fresh, which moves it to "
    "WORK_DIR/earlier, or give another work_dir."
)


def write_plan(folder: Path, plan: Plan, fingerprint: str, data: dict[str, Any]) -> None:
    """Write plan.json, and then its copy.

    Args:
        folder: the work dir.
        plan: every choice, which goes in with its reason.
        fingerprint: of the listed clips and classes.
        data: of the clips that the run learns from, as `run_data.record` gives it.

    Raises:
        ResourceError: a file cannot be written.
    """
    values = plan.as_dict()
    reasons = values.pop("reasons")
    choices = {f: {"value": v, "reason": reasons[f]} for f, v in values.items()}
    write_stored(
        folder,
        {"schema": PLAN_SCHEMA, "fingerprint": fingerprint, "data": data, "choices": choices},
    )


def write_stored(folder: Path, stored: dict[str, Any]) -> None:
    """Write what `read_plan` gives, with a digest of it."""
    value = {**stored, "digest": _digest(stored)}
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name on Linux need not be text
        text = json.dumps(value, indent=1, allow_nan=False)
    for name in (PLAN, COPY):
        write_text(folder / name, text + "\n")


def read_plan(folder: Path) -> dict[str, Any]:
    """The content of plan.json, or of its copy where that is missing or damaged.

    Raises:
        CheckpointError: both are missing or damaged, or of another version of this project.
    """
    path = folder / PLAN
    stored = _read(path)
    if stored is None or "digest" not in stored:
        copy = _read(folder / COPY)
        if copy is not None and "digest" in copy:
            say(f"{path}: missing or damaged; its copy {COPY} is used, and it is written again.")
            stored = copy
    if stored is None:
        raise CheckpointError(
            f"{path}: missing or damaged, and so is its copy {COPY}, though the folder holds a run "
            "to go on with. Put one of them back; to train anew, start with --fresh, which moves "
            "the run to WORK_DIR/earlier, or give another work_dir."
        )
    if stored["schema"] != PLAN_SCHEMA:
        raise CheckpointError(
            f"{path}: the folder holds a run of another version of this project, which trained in "
            "another way. Go on with that version; to train anew, start with --fresh, which moves "
            "the run to WORK_DIR/earlier, or give another work_dir."
        )
    return stored


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


def _digest(stored: dict[str, Any]) -> str:
    """SHA-256 of the content, however it is spaced and sorted."""
    text = json.dumps(stored, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
