"""Recognise out-of-memory errors, and store the number of gradient accumulation parts."""

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
"""Number of parts to store if not even one clip fits in memory."""
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that GPU memory or main memory has run out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def read_accumulation(work_dir: Path, tried: str | None = None) -> int | None:
    """Return the stored number of parts; None if unknown or stored for a different setup."""
    content = _read(work_dir)
    parts = content.get("accumulation")
    is_known = isinstance(parts, int) and 1 <= parts <= NEVER
    return parts if is_known and tried in (None, content.get("tried")) else None


def write_accumulation(work_dir: Path, parts: int, tried: str | None = None) -> None:
    """Store the number of parts for the setup `tried`; None keeps the stored setup."""
    tried = tried or _read(work_dir).get("tried")
    write_json(work_dir / MEMORY, {"accumulation": parts, "tried": tried})


def _read(work_dir: Path) -> dict[str, Any]:
    try:
        content = json.loads((work_dir / MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
