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


def read_accumulation(work_dir: Path, tried: str | None = None) -> int | None:
    """In how many parts steps have to be done, if need be for `tried`; None: it is not known."""
    content = _read(work_dir)
    parts = content.get("accumulation")
    is_known = isinstance(parts, int) and 1 <= parts <= NEVER
    return parts if is_known and tried in (None, content.get("tried")) else None


def write_accumulation(work_dir: Path, parts: int, tried: str | None = None) -> None:
    """Remember in how many parts steps have to be done, of `tried` or what is remembered now."""
    tried = tried or _read(work_dir).get("tried")
    write_json(work_dir / MEMORY, {"accumulation": parts, "tried": tried})


def _read(work_dir: Path) -> dict[str, Any]:
    try:
        content = json.loads((work_dir / MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
