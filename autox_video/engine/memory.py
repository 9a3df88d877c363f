"""Running out of memory: how it shows, and what a work dir remembers of it."""

import json
from pathlib import Path

import torch

from autox_video.fileio import write_json

MEMORY = "memory.json"
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of a GPU or the machine, was not enough."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def read_accumulation(folder: Path) -> int:
    """In how many parts steps had to be done in this work dir; 1 where nothing is known."""
    try:
        found = json.loads((folder / MEMORY).read_text(encoding="utf-8"))["accumulation"]
    except (OSError, ValueError, LookupError, TypeError):
        return 1
    return found if isinstance(found, int) and 1 <= found <= 65536 else 1


def write_accumulation(folder: Path, parts: int) -> None:
    """Remember in how many parts steps have to be done."""
    write_json(folder / MEMORY, {"accumulation": parts})
