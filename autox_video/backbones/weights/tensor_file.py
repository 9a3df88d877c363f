"""Trained weights as a safetensors file: tensors by name and text beside them, nothing to run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from autox_video.core.errors import CheckpointError

SUFFIX = ".safetensors"
META = "meta"
"""Under this name the file's metadata hold what a checkpoint calls so, as JSON."""


def is_tensor_file(path: str | Path) -> bool:
    """Whether a file should be a safetensors one, by its name."""
    return Path(path).suffix.lower() == SUFFIX


def read_tensor_file(path: str | Path) -> dict[str, Any]:
    """Give `state_dict`, on the CPU, and `meta`, as a checkpoint of this project has them.

    A file of someone else has an empty `meta`.

    Raises:
        CheckpointError: the file is missing, damaged, or something else.
    """
    with _opened(path) as file:
        names = file.keys()
        state = {name: file.get_tensor(name) for name in names}
        return {"state_dict": state, "meta": _meta(file, path)}


def read_tensor_meta(path: str | Path) -> dict[str, Any]:
    """Give `meta` alone; raises as `read_tensor_file` does."""
    with _opened(path) as file:
        return _meta(file, path)


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: there is no such checkpoint; train first with autotrain.py."
        ) from error
    except (OSError, SafetensorError, ValueError, RuntimeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise CheckpointError(
            f"{path}: the weights are damaged, or no safetensors file ({reason}). Put a good copy "
            "in its place."
        ) from error


def _meta(file: Any, path: str | Path) -> dict[str, Any]:
    meta = json.loads((file.metadata() or {}).get(META, "{}"))
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path}: its `{META}` is no JSON object; no training run wrote it.")
    return meta
