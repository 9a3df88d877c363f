"""The run record, WORK_DIR/record.json: the plan and the data of a run.

Checkpoints carry it too: latest.pth all of it, so that a damaged record.json can be restored, and
the best weights the part that rebuilds the model, so that they can be tested anywhere.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from autox_video.config.choices import BACKBONES
from autox_video.core.errors import CheckpointError, ResourceError
from autox_video.core.files import write_json
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Prediction
from autox_video.run.work_dir import BEST, RECORD, has_checkpoint

RECORD_SCHEMA = 7
"""Version of runs that can be resumed; earlier ones had another optimizer, loader or record."""
LARGEST_SIZE = 1 << 20
"""Upper bound for sizes in a record; larger numbers make no sense."""
SIZES = ("num_classes", "clip_len", "resolution", "short_side", "test_clips")

TO_TRAIN_ANEW = (
    "to start over, use --fresh, which moves this run to WORK_DIR/earlier, or give another "
    "work_dir."
)
WAYS_ON = f"To resume it, undo the change; {TO_TRAIN_ANEW}"


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The training and validation data of a run."""

    data_root: str
    train_list: str
    """CSV file of the readable training clips."""
    val_list: str | None
    classes: tuple[str, ...]
    num_train: int
    task: str = "single_label"
    """Name of the task in TASKS."""
    class_clips: tuple[int, ...] = ()
    """Training clips per class; empty for multi-label data."""
    fingerprint: str = ""
    """Fingerprint of the listed clips and classes."""
    remote_cache: str = "auto"
    """Folder for downloaded clips."""
    head_rows: tuple[int, ...] = ()
    """Class index in the starting weights of each class, -1 for a new class; empty unless those
    weights were trained on some of these clips."""
    sources: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the config that named the clips, for a run that repeats this one."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything a training config is built from."""

    plan: Plan
    data: TrainingData
    prediction: Prediction | None = None
    """Predicted time of the run, if known."""
    lists: Mapping[str, Any] = field(default_factory=dict)
    """For the lists `train` and `val`: clips, sha256 and the unreadable clips skipped."""
    finished: bool = False
    """Whether the run has come to its end."""

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must match to belong to this run."""
        return {
            "backbone": self.plan.backbone,
            "num_classes": self.plan.num_classes,
            "data": self.data.fingerprint[:16],
            "seed": self.plan.seed,
        }

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values, without the paths of its lists."""
        data = asdict(self.data)
        return {
            "schema": RECORD_SCHEMA,
            "fingerprint": data.pop("fingerprint"),
            "data": {k: v for k, v in data.items() if k not in _LIST_PATHS} | dict(self.lists),
            "prediction": self.prediction and self.prediction.to_json(),
            "choices": self.plan.to_json(),
            "finished": self.finished,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], folder: Path, source: Path) -> "RunRecord":
        """The record from what `to_json` or `of_weights` returned.

        Args:
            stored: plain JSON values, possibly not written by this project.
            folder: with the lists train.csv and val.csv.
            source: the file they were read from, for the message.

        Raises:
            CheckpointError: not a record, or one of an incompatible version.
        """
        if stored.get("schema") != RECORD_SCHEMA:
            raise CheckpointError(
                f"{source}: this run was made by another version of autox_video, which trained "
                f"differently. Resume it with that version; {TO_TRAIN_ANEW}"
            )
        paths = dict(zip(_LIST_PATHS, (str(folder / f"{n}.csv") for n in _LISTS), strict=True))
        try:
            data = {**stored["data"], **paths, "fingerprint": stored["fingerprint"]}
            prediction = stored["prediction"]
            record = cls(
                _plan(stored["choices"]),
                _DATA.validate_python(data),
                prediction and Prediction.from_json(prediction),
                {name: data[name] for name in _LISTS if name in data},
                finished=stored.get("finished") is True,
            )
            _check(record)
        except (ValidationError, KeyError, TypeError, AttributeError, ValueError) as error:
            reason = str(error).replace("\n", " ")[:150]
            raise CheckpointError(f"{source}: invalid run record ({reason}).") from error
        return record


_LISTS = ("train", "val")
_LIST_PATHS = ("train_list", "val_list")
_PLAN, _DATA = TypeAdapter(Plan), TypeAdapter(TrainingData)


def write_record(folder: Path, record: RunRecord) -> None:
    """Write record.json; raises ResourceError if it cannot be written."""
    write_stored(folder, record.to_json())


def write_stored(folder: Path, stored: Mapping[str, Any]) -> None:
    """Write what `RunRecord.to_json` returns, with a checksum."""
    write_json(folder / RECORD, {**stored, "digest": _digest(stored)})


def mark_finished(folder: Path) -> None:
    """Note in record.json that the run has come to its end; on a full disk, nothing is noted."""
    stored = load_stored(folder)
    if stored is not None:
        with suppress(ResourceError):
            write_stored(folder, {**stored, "finished": True})


def read_record(folder: Path) -> RunRecord:
    """The record of the run in a folder.

    Raises:
        CheckpointError: it is missing, damaged or of an incompatible version.
    """
    path, stored = folder / RECORD, load_stored(folder)
    if stored is None:
        raise CheckpointError(
            f"{path}: missing, damaged or of another version of autox_video, so the run in this "
            f"folder cannot be resumed. Restore the file, or use that version; {TO_TRAIN_ANEW}"
        )
    return RunRecord.from_json(stored, folder, path)


def load_stored(folder: Path, name: str = RECORD) -> dict[str, Any] | None:
    """The content of record.json; None if it is missing or its checksum does not match."""
    try:
        stored = json.loads((folder / name).read_bytes())
        return stored if stored.pop("digest") == _digest(stored) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def of_weights(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record that the best weights carry.

    It has no times, reasons or lists, so that equal weights give equal files.
    """
    data = {k: v for k, v in stored["data"].items() if k not in (*_LISTS, "sources")}
    choices = {
        name: {"value": choice["value"], "source": choice["source"], "reason": ""}
        for name, choice in stored["choices"].items()
    }
    return {**stored, "data": data, "prediction": None, "choices": choices}


def is_probe_run(folder: Path) -> bool:
    """Whether a folder holds the weights of a `mode: probe` run and no training run."""
    if has_checkpoint(folder) or not (folder / BEST).is_file():
        return False
    stored = load_stored(folder) or {}
    return stored.get("choices", {}).get("mode", {}).get("value") == "probe"


def _plan(choices: Mapping[str, Mapping[str, Any]]) -> Plan:
    plan = Plan.from_json(choices)
    return _PLAN.validate_python({**plan.as_dict(), "choices": plan.choices})


def _check(record: RunRecord) -> None:
    """Raise ValueError if a value cannot belong to a run."""
    plan, grids = record.plan, (record.plan.window_size, record.plan.head_grid or (1,))
    sizes = {name: getattr(plan, name) for name in SIZES}
    sizes |= {"window_size": min(grids[0]), "head_grid": min(grids[1])}
    for name, value in sizes.items():
        if not 0 < value < LARGEST_SIZE:
            raise ValueError(f"{name}: {value}")
    if not 0 < plan.frame_interval_sec < LARGEST_SIZE:
        raise ValueError(f"frame_interval_sec: {plan.frame_interval_sec}")
    if plan.backbone not in BACKBONES:
        raise ValueError(f"backbone: {plan.backbone}")
    if not 0 <= plan.freeze <= BACKBONES[plan.backbone].stages:
        raise ValueError(f"freeze: {plan.freeze}")
    if len(record.data.classes) != plan.num_classes:
        raise ValueError(f"{len(record.data.classes)} classes, but num_classes {plan.num_classes}")


def _digest(stored: Mapping[str, Any]) -> str:
    """SHA-256 of the content, independent of spacing and key order."""
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
