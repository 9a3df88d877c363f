"""Read weight files as tensors with mmaction2's names, without running any code in the files."""

import pickle
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from autox_video.backbones.weights.known_weights import known_file
from autox_video.backbones.weights.layouts import NamedWeights, State, named_weights
from autox_video.backbones.weights.tensor_file import OTHERS
from autox_video.core.errors import CheckpointError

_UNREADABLE = (
    *(SafetensorError, struct.error, OSError, EOFError, RuntimeError, ValueError, TypeError),
    *(LookupError, AttributeError, OverflowError, AssertionError),
)
"""Exceptions that torch and safetensors raise for truncated, damaged or unsuitable files."""

_BOOKKEEPING = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.ndarray",
    "numpy.dtype",
    "builtins.getattr",
)
"""Classes and functions in mmengine's logging state, which are replaced by `_Inert`."""


_CONTAINERS = ("state_dict", "model_state_dict", "model", "ema_encoder", "target_encoder")
"""Keys under which checkpoints store the weights; the last two are used by V-JEPA."""


class _Inert:
    """A placeholder for logging objects in training checkpoints."""

    def __init__(self, *_arguments: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass


def read_weights(path: str | Path, *, as_named: bool = False) -> NamedWeights:
    """Read a weight file and return its tensors under mmaction2's names.

    Args:
        path: path to the weight file.
        as_named: whether to keep the file's tensor names, as required for backbones from other
            libraries.

    Raises:
        CheckpointError: the file is missing or damaged, would run code when read, or does not
            contain a backbone in a known layout.
    """
    content = _read_file(Path(path))
    with errors_about(path):
        state = _state_of(content)
        weights = NamedWeights(state, "as published") if as_named else named_weights(state)
        _refuse_odd_values(weights.tensors, counters=as_named)
    if "schema" in content and weights.layout in ("mmaction2", "as published"):
        return replace(weights, layout="autox-video checkpoint")
    return weights


@contextmanager
def errors_about(path: str | Path) -> Iterator[None]:
    """Add the file's path to any CheckpointError raised in the `with` block."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _read_file(path: Path) -> Any:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; set load_from to the weight file in it.")
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such weight file; check load_from.")
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
            return {name: t for name, t in tensors.items() if not name.startswith(OTHERS)}
        with torch.serialization.safe_globals([(_Inert, name) for name in _BOOKKEEPING]):
            # Memory-mapped, since training checkpoints can be several times as large as their
            # weights.
            mapped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, *_UNREADABLE) as error:
        if code := code_in(error):
            raise CheckpointError(
                f"{path}: not loaded, as reading it would run code ({code}); save only its "
                'tensors with `torch.save({"state_dict": model.state_dict()}, file)` where it was '
                "created."
            ) from error
        raise CheckpointError(
            f"{path}: damaged or not a weight file; {_get_again(path)}."
        ) from error


def code_in(error: BaseException) -> str | None:
    """Return the function that a pickle would have called, given the error of torch.load."""
    code = re.search(r"(?i:unsupported) (?:global: )?(?:GLOBAL|class) (\S+)", str(error))
    return code[1] if isinstance(error, pickle.UnpicklingError) and code else None


def _get_again(path: Path) -> str:
    size = path.stat().st_size
    known = known_file(path.name)
    if known is None:
        return f"it has {size:,} bytes; download it again"
    mib = f"{size / 2**20:.1f} MiB of about {known.size_mib}"
    return f"it has {mib}; download it again from {known.url}"


def _state_of(content: Any) -> State:
    """Return the state dict in a file's content, with `module.` prefixes removed."""
    for key in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"it contains a {type(content).__name__}, not weights.")
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"it is not a plain state dict; '{name}' is not a tensor.")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def _refuse_odd_values(tensors: State, *, counters: bool) -> None:
    """Raise CheckpointError for NaN, infinity and (unless `counters` allows them) integers."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() and not counters:
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise CheckpointError(
                f"{name} has dtype {dtype} instead of a floating-point one; use weights that are "
                "not quantised."
            )
    broken = [name for name, tensor in tensors.items() if not tensor.float().isfinite().all()]
    if broken:
        raise CheckpointError(
            f"{len(broken)} tensors contain NaN or infinity (first: {broken[0]}); the file is "
            "damaged, download it again."
        )
