"""The record of a model in a model file, which rebuilds the model on any machine.

The record is the part of the run record that defines the model, as JSON, without paths and without
what only concerns the training machine. Each model of an ensemble has its own record. Records of
earlier schemas are upgraded when they are read.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autox_video.backbones.weights.known_weights import known_file
from autox_video.backbones.weights.local_copies import repository_of
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import CheckpointError, ConfigError, InstallError
from autox_video.machine.installation import PROJECT, installed_version
from autox_video.planning.choice import RULE
from autox_video.planning.record import RunRecord
from autox_video.tasks.task import TASKS
from autox_video.video.files.remote import is_remote

MODEL_SCHEMA = 1
"""Version of the record in model files; files of this and of all earlier versions can be read."""
SCHEMA_KEY = "model_schema"
"""Key of the version in a record; records of version 0 lack it."""
NOT_STORED: Mapping[str, Any] = {
    **{"cache": None, "cache_gib": 0.0, "disk_gib": 0.0, "time_budget_sec": None},
    **{"device": "cpu", "processes": 1, "workers": 0, "accumulation": 1, "compile": False},
}
"""Fields of the plan that depend on the training machine, with the values that models have."""

_LIBRARIES = {
    **{"timm": "timm", "hf": "transformers", "torchvision": "torchvision"},
    "mmaction2": "mmaction2",
}
"""Package of each family of backbones."""
_REBUILDING = (
    ConfigError,
    InstallError,
    RuntimeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
)
"""Exceptions raised where the libraries refuse the stored values of a backbone."""
_DATA = ("classes", "num_train", "task", "class_clips")
_LICENCE = ("trained_on", "licence", "noncommercial")

Stored = Mapping[str, Any]


def model_record(run: Stored) -> dict[str, Any]:
    """Return the record that is stored with weights.

    The record contains no times and no paths, so that files with equal weights are identical.

    Args:
        run: the run record, as returned by `RunRecord.to_json`.
    """
    backbone = run["choices"]["backbone"]["value"]
    spec = BACKBONES[backbone]
    packages = (PROJECT, "torch", _LIBRARIES.get(BACKBONES.family_of(backbone)))
    norm = {"normalisation": {"mean": list(spec.mean), "std": list(spec.std)}}
    return {
        **_without_paths(run),
        **({} if spec.published else norm),  # the description contains both values
        "versions": {name: installed_version(name) for name in packages if name},
    }


def read_model_record(stored: Stored, source: Path) -> RunRecord:
    """Return the run record of a model, in which all paths are empty.

    Args:
        stored: record of a model of any schema, or a run record; the values are not trusted.
        source: name of the file that the values come from, for error messages.

    Raises:
        CheckpointError: the values are not a valid record, or were written by a newer version.
    """
    stored = upgraded(stored, source)
    try:
        record = RunRecord.of_model(stored, source)
    except _REBUILDING as error:
        reason = " ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__
        raise CheckpointError(f"{source}: its model cannot be rebuilt ({reason}).") from error
    if record.data.task not in TASKS:
        raise CheckpointError(f"{source}: the run record has an unknown task ({record.data.task}).")
    return record


def upgraded(stored: Stored, source: Path) -> dict[str, Any]:
    """Return a record as the newest schema has it; for the arguments, see `read_model_record`.

    Raises:
        CheckpointError: the record is invalid, or its schema is unknown.
    """
    schema = stored.get(SCHEMA_KEY, 0) if isinstance(stored, Mapping) else None
    if type(schema) is not int or schema < 0:
        raise CheckpointError(f"{source}: invalid run record ({SCHEMA_KEY}: {schema!r:.40}).")
    if schema > MODEL_SCHEMA:
        raise CheckpointError(
            f"{source}: written by a newer version of {PROJECT} (schema {schema}; this version "
            f"reads up to {MODEL_SCHEMA}): update {PROJECT}."
        )
    try:
        for step in _STEPS[schema:]:
            stored = step(stored)
        missing = {name: NOT_STORED[name] for name in NOT_STORED if name not in stored["choices"]}
        choices = {name: _choice(value, RULE) for name, value in missing.items()}
        return {**stored, "choices": {**stored["choices"], **choices}}
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"[:150]
        raise CheckpointError(f"{source}: invalid run record ({reason}).") from error


def root_digest(root: str) -> str:
    """Return a digest by which a `data_root` is recognised; links are resolved."""
    place = root.rstrip("/") if is_remote(root) else str(Path(root).resolve())
    return _digest(place)


def _without_paths(run: Stored) -> dict[str, Any]:
    """Return a record of schema 1 from a run record, which is also the record of schema 0."""
    data, published = run["data"], run.get("published") or {}
    choices = {
        name: _choice(choice["value"], choice["source"])
        for name, choice in run["choices"].items()
        if name not in NOT_STORED
    }
    choices["backbone"]["value"] = _name_without_path(choices["backbone"]["value"], published)
    choices["pretrained"] = _pretrained(run["choices"]["pretrained"])
    return {
        SCHEMA_KEY: 1,
        "fingerprint": run["fingerprint"],
        "data": {
            **{name: data[name] for name in _DATA if name in data},
            "root_digest": root_digest(data["data_root"]),
        },
        "choices": choices,
        "published": published,
    }


def _choice(value: Any, source: str) -> dict[str, Any]:
    return {"value": value, "source": source, "reason": ""}


def _name_without_path(backbone: str, published: Stored) -> str:
    """Return a backbone's name; for a local file or folder, a digest takes the place of its path.

    The name belongs to a single description of a model, so that models of several files can be
    loaded in one process.
    """
    if not published or published.get("revision") is not None:
        return backbone
    family = backbone.partition(":")[0]
    return f"{family}:local-{_digest(json.dumps(published, sort_keys=True))[:8]}"


def _pretrained(choice: Stored) -> dict[str, Any]:
    """Return the choice of pretrained weights with their name instead of their path."""
    path, figures = choice["value"], choice.get("figures")
    if path is None:
        return _choice(None, choice["source"])
    known = known_file(path)
    name = known.name if known else repository_of(path) or Path(path).name
    stored = _choice(name, choice["source"])
    if isinstance(figures, Mapping):
        stored["figures"] = {key: figures[key] for key in _LICENCE if key in figures}
    return stored


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


_STEPS: tuple[Callable[[Stored], dict[str, Any]], ...] = (_without_paths,)
"""Functions that upgrade a record from each schema to the next."""
