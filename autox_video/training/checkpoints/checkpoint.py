"""Checkpoint files, written atomically and verified when read.

`latest.pth` contains everything needed to resume a run, and `previous.pth` is the checkpoint before
that. `best.pth` and `best.safetensors` contain the best weights. The files consist of tensors and
plain values only, so loading a file never runs code. Each file includes a digest of its content.
"""

import hashlib
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from autox_video.backbones.weights.reading import code_in
from autox_video.backbones.weights.tensor_file import (
    META,
    is_tensor_file,
    read_tensor_file,
)
from autox_video.core.errors import CheckpointError, ResourceError
from autox_video.core.files import atomic_write
from autox_video.run.work_dir import BEST, BEST_SAFE, LATEST, PREVIOUS, second_name
from autox_video.training.checkpoints.members import flattened, unflattened
from autox_video.training.checkpoints.model_record import SCHEMA_KEY

SCHEMA = 4
"""Version of the checkpoints from which runs resume."""
WEIGHTS_SCHEMA = 4
"""The `schema` of the best weights. It never changes, since the checksum covers it; the record of
the model has a version of its own (`model_record.MODEL_SCHEMA`)."""
RECORD_KEY, ORIGIN, PARAMS, ALL_CLIPS = "record", "origin", "params", "all_clips"
"""Keys in the `meta` of a weight file: run record, leaderboard row (if missing, the main run),
hyperparameters and epochs of a search trial, and whether the weights were also trained on the
validation clips."""

# Exceptions that PyTorch raises for damaged files.
_DAMAGE = (
    *(OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError),
    *(AssertionError, OverflowError, MemoryError, ImportError, struct.error),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)

_BEGINNINGS = (b"PK", b"\x80\x02")
"""First bytes of PyTorch's files, which are ZIP archives or, in old versions, pickles."""

# ---- any checkpoint ----


def write_checkpoint(path: Path, state: dict[str, Any], *, keep: str | None = None) -> None:
    """Write a checkpoint to `path`, replacing an existing file.

    Args:
        path: the checkpoint file.
        state: tensors and plain values; a digest is added to the `meta` entry.
        keep: new name for the replaced file; None to delete the replaced file.

    Raises:
        ResourceError: the checkpoint cannot be written; existing files stay unchanged.
    """
    content = {**state, "meta": {**state["meta"], "digest": digest(state)}}
    with _writing(path) as temporary:
        with open(temporary, "wb") as file:
            torch.save(content, file)
        if keep is not None and path.exists():
            keep_copy(path, path.with_name(keep))


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    with atomic_write(path) as temporary:
        try:
            yield temporary
        except (RuntimeError, SafetensorError) as error:  # raised on a full disk
            raise ResourceError(f"{path}: cannot be written ({_first_line(error)}).") from error


def keep_copy(path: Path, new: Path) -> None:
    """Give a file that is about to be replaced a second name, overwriting any file at `new`."""
    if new.is_dir():  # a folder that the user made cannot be replaced
        _move_aside(new)
    link = new.with_name(second_name(new.name))
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
        os.replace(link, new)
    except OSError:  # without hard links, only the new name exists for a moment
        os.replace(path, new)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, loading its tensors onto the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, or not a checkpoint of autox-video.
    """
    if is_tensor_file(path):
        state = {"schema": WEIGHTS_SCHEMA, **unflattened(read_tensor_file(path))}
    else:
        state = _load(path)
    if not (
        isinstance(state, dict)
        and isinstance(state.get("state_dict"), Mapping)
        and isinstance(state.get("meta"), dict)
    ):
        raise CheckpointError(f"{path} is not a checkpoint of autox-video.")
    expected, record = state["meta"].pop("digest", None), state["meta"].get(RECORD_KEY)
    if expected is None and isinstance(record, Mapping) and SCHEMA_KEY in record:
        raise CheckpointError(_damaged(path, "its checksum is missing"))
    if expected is not None and expected != digest(state):
        raise CheckpointError(_damaged(path, "its checksum does not match"))
    return state


def read_meta(path: Path) -> Mapping[str, Any]:
    """Read the `meta` of a checkpoint without its weights; return {} if it has no `meta`.

    Raises:
        CheckpointError: the file is missing, damaged, or not a checkpoint.
    """
    if is_tensor_file(path):
        return read_tensor_file(path, tensors=False)["meta"]
    state = _load(path, mmap=True)
    meta = state.get("meta") if isinstance(state, dict) else None
    return meta if isinstance(meta, Mapping) else {}


def _load(path: Path, **options: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, **options)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: there is no such checkpoint. Train a model first, or check the path."
        ) from error
    except _DAMAGE as error:
        raise CheckpointError(_why_unreadable(path, error)) from error


def _why_unreadable(path: Path, error: BaseException) -> str:
    """Return a message for a file that torch cannot load."""
    if path.is_dir():
        return f"{path} is a folder. Use a checkpoint in the folder, such as {path / BEST_SAFE}."
    if isinstance(error, PermissionError):
        return f"{path}: cannot be read ({error.strerror})."
    if code := code_in(error):
        return f"{path}: not loaded, as reading it would run code ({code})."
    with path.open("rb") as file:
        beginning = file.read(2)
    if beginning and beginning not in _BEGINNINGS:
        return f"{path}: not a weight file."
    return _damaged(path, _first_line(error) if beginning else "it is empty")


def _put_aside(path: Path, reason: str) -> str:
    return f"{reason} It has been renamed to {_move_aside(path).name}."


def _move_aside(path: Path) -> Path:
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    return path.rename(aside)


def _damaged(path: Path, reason: str) -> str:
    return f"{path}: the checkpoint is damaged ({reason})."


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:150]


# ---- the state of a run ----


def read_newest(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the newest intact checkpoint of a run, if any, and messages for the user.

    Damaged files are renamed, not deleted.

    Raises:
        CheckpointError: there are checkpoints, but all of them are damaged or were written by
            another version of this package.
    """
    problems: list[tuple[Path, str]] = []
    for path in filter(os.path.lexists, (folder / LATEST, folder / PREVIOUS)):
        try:
            state = _read_resumable(path)
        except CheckpointError as error:
            problems.append((path, error.problems[0]))
            continue
        notes = [_put_aside(*problem) for problem in problems]
        return state, [f"{note} Resuming from {path.name}." for note in notes]
    if not problems:
        return None, []
    raise CheckpointError(
        *(reason for _, reason in problems),
        "There is no other checkpoint to resume from. Restore a good copy, or start a new run with "
        "--fresh, which keeps the old files.",
    )


def _read_resumable(path: Path) -> dict[str, Any]:
    state = read_checkpoint(path)
    if "optimizer" not in state or "iter" not in state["meta"]:
        raise CheckpointError(f"{path}: contains only weights, so no run can be resumed from it.")
    if state.get("schema") != SCHEMA:
        raise CheckpointError(f"{path}: was written by another version of autox-video.")
    return state


# ---- the best weights ----


def write_best(folder: Path, state: dict[str, Any]) -> None:
    """Replace best.pth and best.safetensors; raise ResourceError if they cannot be written."""
    state = {**state, "schema": WEIGHTS_SCHEMA}
    write_checkpoint(folder / BEST, state)
    tensors, meta = flattened(state)
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    meta = {**meta, "digest": digest(state)}
    with _writing(folder / BEST_SAFE) as temporary:
        mode = temporary.stat().st_mode
        save_file(tensors, temporary, metadata={META: json.dumps(meta)})
        temporary.chmod(mode)  # safetensors lets no other user read its files


def read_best(folder: Path, identity: dict) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the metrics of the best weights in a work dir, if any, and messages for the user.

    If either best.pth or best.safetensors is missing, damaged or outdated, it is rewritten from the
    other file.
    """
    notes, states = [], []
    for path in filter(os.path.lexists, (folder / BEST, folder / BEST_SAFE)):
        try:
            states.append(_read_scored(path, identity))
        except CheckpointError as error:
            notes.append(_put_aside(path, error.problems[0]))
    if not states:
        return None, notes
    if len(states) == 1 or digest(states[0]) != digest(states[1]):
        with suppress(ResourceError):  # one of the two files is still intact
            write_best(folder, states[0])
    return states[0]["meta"]["metrics"], notes


def _read_scored(path: Path, identity: dict) -> dict[str, Any]:
    state = read_checkpoint(path)
    if "metrics" not in state["meta"]:
        raise CheckpointError(f"{path}: the metrics of the weights are missing.")
    refuse_other_model(path, state["meta"].get("identity", {}), identity)
    return state


# ---- checks of a checkpoint ----


def refuse_other_model(path: Path, saved: dict, wanted: dict) -> None:
    """Raise CheckpointError, listing the differences, if a checkpoint belongs to another run."""
    differing = [k for k in wanted if k in saved and saved[k] != wanted[k]]
    if differing:
        difference = "; ".join(
            f"{k}: {saved[k]} in the checkpoint, {wanted[k]} now" for k in differing
        )
        raise CheckpointError(
            f"{path}: belongs to a different run ({difference}). Use another work_dir, or --fresh, "
            "which moves the old run aside."
        )


def load_state(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load weights into a model; raise CheckpointError if the weights do not match exactly."""
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reasons = [line.strip() for line in str(error).splitlines()[1:4]]
        raise CheckpointError(
            f"{path}: the weights belong to a different model ({' '.join(reasons)[:300]})."
        ) from error


def digest(value: Any) -> str:
    """Return a checksum of tensors and plain values, independent of the file format."""
    checksum = hashlib.blake2b(digest_size=16)
    _feed(checksum, value)
    return checksum.hexdigest()


def _feed(checksum: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        checksum.update(f"{value.dtype} {tuple(value.shape)}".encode())
        checksum.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        checksum.update(f"map {len(value)}".encode())
        for key in sorted(value, key=repr):
            checksum.update(f"{key!r}:".encode())
            _feed(checksum, value[key])
    elif isinstance(value, (list, tuple)):
        checksum.update(f"list {len(value)}".encode())
        for item in value:
            _feed(checksum, item)
    else:
        checksum.update(f"{value!r},".encode("utf-8", "backslashreplace"))
