"""Read trained weights from safetensors files, which contain tensors and metadata but no code."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from autox_video.core.errors import CheckpointError

SUFFIX = ".safetensors"
META = "meta"
"""Metadata key under which the checkpoint's `meta` entry is stored as JSON."""
OTHERS = "members."
"""Prefix for the tensor names of an ensemble's models other than the first."""


def is_tensor_file(path: str | Path) -> bool:
    """Whether a path ends in .safetensors."""
    return Path(path).suffix.lower() == SUFFIX


def read_tensor_file(path: str | Path, *, tensors: bool = True) -> dict[str, Any]:
    """Return a dict with `state_dict` (on the CPU) and `meta`, like a checkpoint of this project.

    `meta` is empty for files from other tools.

    Args:
        path: path to the safetensors file.
        tensors: whether to read the tensors; otherwise `state_dict` is empty.

    Raises:
        CheckpointError: the file is missing, damaged or not a safetensors file.
    """
    path = Path(path)
    try:
        with path.open("rb"):  # safetensors reports some of these errors as damage
            pass
        with safe_open(path, framework="pt", device="cpu") as file:
            names = file.keys() if tensors else ()
            state = {name: file.get_tensor(name) for name in names}
            meta = json.loads((file.metadata() or {}).get(META, "{}"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: there is no such checkpoint; run `autox-video train` first."
        ) from error
    except IsADirectoryError as error:
        raise CheckpointError(f"{path} is a folder; give the file of a model in it.") from error
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from error
    except (OSError, SafetensorError, ValueError, RuntimeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:150]
        raise CheckpointError(
            f"{path}: damaged or not a safetensors file ({reason}); replace it with an intact copy."
        ) from error
    if not isinstance(meta, dict):
        raise CheckpointError(
            f"{path}: its `{META}` is not a JSON object; the file was not written by autox-video."
        )
    return {"state_dict": state, "meta": meta}
