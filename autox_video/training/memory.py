"""Running out of memory: how it shows, and what a work dir remembers of it."""

import json
from pathlib import Path
from typing import Any

import torch

from autox_video.core.files import write_json
from autox_video.run.work_dir import MEMORY

NOT_EVEN_ONE = (
    "Not even one clip fits in memory at a time. Give a smaller `resolution` or `clip_len`, "
    "`gradient_checkpointing: on`, or a smaller `backbone`, with --fresh."
)
NEVER = 65_536
"""Parts, in place of which a work dir remembers that not even one clip fits."""
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of a GPU or the machine, was not enough."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def read_accumulation(folder: Path, tried: str | None = None) -> int | None:
    """In how many parts steps have to be done in this work dir; None where it is not known.

    Args:
        folder: the work dir.
        tried: take only what was found for this.
    """
    content = _read(folder)
    found = content.get("accumulation")
    if tried is not None and content.get("tried") != tried:
        return None
    return found if isinstance(found, int) and 1 <= found <= NEVER else None


def write_accumulation(folder: Path, parts: int, tried: str | None = None) -> None:
    """Remember in how many parts steps have to be done.

    Args:
        folder: the work dir.
        parts: how many.
        tried: for what that was found; None: for what is remembered already.
    """
    tried = tried or _read(folder).get("tried")
    write_json(folder / MEMORY, {"accumulation": parts, "tried": tried})


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
