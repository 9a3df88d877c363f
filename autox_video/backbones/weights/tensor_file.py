"""Trained weights as a safetensors file: tensors by name and text beside them, nothing to run."""

import json
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


def read_tensor_file(path: str | Path, *, tensors: bool = True) -> dict[str, Any]:
    """`state_dict`, on the CPU, and `meta`, as a checkpoint of this project has them.

    A file of someone else has an empty `meta`.

    Args:
        path: the file.
        tensors: whether to read the tensors; else `state_dict` is empty.

    Raises:
        CheckpointError: the file is missing, damaged, or something else.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = file.keys() if tensors else ()
            state = {name: file.get_tensor(name) for name in names}
            meta = json.loads((file.metadata() or {}).get(META, "{}"))
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
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path}: its `{META}` is no JSON object; no training run wrote it.")
    return {"state_dict": state, "meta": meta}
