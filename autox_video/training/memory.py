"""Recognising out-of-memory errors, and storing the gradient accumulation that fits."""

import json
from pathlib import Path
from typing import Any

import torch

from autox_video.core.files import write_json
from autox_video.run.work_dir import MEMORY

NOT_EVEN_ONE = (
    "Not even one clip fits in memory. Lower `resolution` or `clip_len`, set "
    "`gradient_checkpointing: on`, or use a smaller `backbone`, and run with --fresh."
)
NEVER = 65_536
"""Stored as the number of parts if not even one clip fits."""
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that GPU or main memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def read_accumulation(work_dir: Path, tried: str | None = None) -> int | None:
    """Return the stored number of parts of a step; None if unknown or not for setup `tried`."""
    content = _read(work_dir)
    parts = content.get("accumulation")
    is_known = isinstance(parts, int) and 1 <= parts <= NEVER
    return parts if is_known and tried in (None, content.get("tried")) else None


def write_accumulation(work_dir: Path, parts: int, tried: str | None = None) -> None:
    """Store the number of parts of a step for the setup `tried`, or for the stored setup."""
    tried = tried or _read(work_dir).get("tried")
    write_json(work_dir / MEMORY, {"accumulation": parts, "tried": tried})


def _read(work_dir: Path) -> dict[str, Any]:
    try:
        content = json.loads((work_dir / MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
