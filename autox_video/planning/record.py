"""The run record, WORK_DIR/record.json, which contains the plan and the data of a run.

latest.pth also contains the whole record, so that a damaged record.json can be restored. Model
files contain the part that rebuilds the model (`training.checkpoints.model_record`).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
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
"""Version of the run record; only runs with the same version can be resumed."""
LARGEST_SIZE = 1 << 20
"""Upper bound for the sizes in a record; valid sizes are smaller."""
HIGHEST_RANK = 1024
"""Upper bound for the rank of LoRA adapters."""
PRECISIONS = ("float32", "bfloat16", "float16")
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
    """Path of the CSV list of the readable training clips."""
    val_list: str | None
    classes: tuple[str, ...]
    num_train: int
    task: str = "single_label"
    """Name of the task, a key of TASKS."""
    class_clips: tuple[int, ...] = ()
    """Number of training clips of each class; empty for multi-label data."""
    fingerprint: str = ""
    """Fingerprint of the listed clips and the classes."""
    remote_cache: str = "auto"
    """Folder for downloaded clips."""
    head_rows: tuple[int, ...] = ()
    """Index of each class in the starting weights, or -1 for a new class; set only if the starting
    weights were trained on some of the run's clips."""
    sources: Mapping[str, Any] = field(default_factory=dict)
    """The config keys that specify the clips, and their values, so that the run can be repeated."""
    root_digest: str = ""
    """Digest of `data_root`; only in model files, which contain no paths."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How the pixel values (0 to 255) of red, green and blue are normalised."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All values from which a training config is built."""

    plan: Plan
    data: TrainingData
    prediction: Prediction | None = None
    """Predicted time of the run; None if unknown."""
    lists: Mapping[str, Any] = field(default_factory=dict)
    """For each of the lists `train` and `val`: the number of clips, the SHA-256 digest, and the
    unreadable clips that were skipped."""
    finished: bool = False
    """Whether the run has finished."""
    normalisation: Normalisation | None = None
    """The normalisation in a model file; None for the backbone's."""

    @property
    def identity(self) -> dict[str, Any]:
        """The values that must match those in a checkpoint for the run to accept the checkpoint.

        They contain no paths, so the backbone is left out if its name is the path of a local file.
        """
        named = {} if BACKBONES[self.plan.backbone].is_local else {"backbone": self.plan.backbone}
        return {
            **named,
            "num_classes": self.plan.num_classes,
            "data": self.data.fingerprint[:16],
            "seed": self.plan.seed,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values, without the paths of the clip lists."""
        data = asdict(self.data)
        return {
            "schema": RECORD_SCHEMA,
            "fingerprint": data.pop("fingerprint"),
            "data": {k: v for k, v in data.items() if k not in _NOT_IN_RECORD} | dict(self.lists),
            "prediction": self.prediction and self.prediction.to_json(),
            "choices": self.plan.to_json(),
            "published": dict(BACKBONES[self.plan.backbone].published),
            "finished": self.finished,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], folder: Path, source: Path) -> "RunRecord":
        """Return the record built from the values that `to_json` returned.

        Args:
            stored: plain JSON values, which are not trusted.
            folder: folder with the clip lists train.csv and val.csv.
            source: name of the file that the values come from, for error messages.

        Raises:
            CheckpointError: the values are not a valid record, or their version is incompatible.
        """
        if stored.get("schema") != RECORD_SCHEMA:
            raise CheckpointError(
                f"{source}: this run was made by another version of autox_video, which trained "
                f"differently. Resume it with that version; {TO_TRAIN_ANEW}"
            )
        with _errors_about(source):
            lists = (str(folder / f"{name}.csv") for name in _LISTS)
            data = {**stored["data"], "fingerprint": stored["fingerprint"]}
            data |= zip(_LIST_PATHS, lists, strict=True)
            prediction = stored["prediction"]
            return replace(
                cls._rebuilt(stored, data),
                prediction=prediction and Prediction.from_json(prediction),
                lists={name: data[name] for name in _LISTS if name in data},
                finished=stored.get("finished") is True,
            )

    @classmethod
    def of_model(cls, stored: Mapping[str, Any], source: Path) -> "RunRecord":
        """Return the record of a model, in which all paths are empty.

        Args:
            stored: record in a model file, of the newest schema; the values are not trusted.
            source: name of the model file, for error messages.

        Raises:
            CheckpointError: the values are not a valid record.
        """
        with _errors_about(source):
            data = {**stored["data"], "fingerprint": stored["fingerprint"]}
            data |= {"data_root": "", "train_list": "", "val_list": None}
            norm = stored.get("normalisation")
            norm = None if norm is None else _NORMALISATION.validate_python(norm)
            if norm and not all(0 < value < LARGEST_SIZE for value in norm.std):
                raise ValueError(f"std: {norm.std}")
            return replace(cls._rebuilt(stored, data), normalisation=norm)

    @classmethod
    def _rebuilt(cls, stored: Mapping[str, Any], data: Mapping[str, Any]) -> "RunRecord":
        """Return a checked record with a plan and data; raise ValueError if a value is invalid."""
        if stored.get("published"):
            BACKBONES.restore(stored["choices"]["backbone"]["value"], stored["published"])
        record = cls(_plan(stored["choices"]), _DATA.validate_python(data))
        _check(record)
        return record


@contextmanager
def _errors_about(source: Path) -> Iterator[None]:
    """Convert errors about invalid values in a record to CheckpointErrors."""
    try:
        yield
    except (ValidationError, LookupError, TypeError, AttributeError, ValueError) as error:
        reason = str(error).replace("\n", " ")[:150]
        raise CheckpointError(f"{source}: invalid run record ({reason}).") from error


_LISTS = ("train", "val")
_LIST_PATHS = ("train_list", "val_list")
_NOT_IN_RECORD = (*_LIST_PATHS, "root_digest")
_PLAN, _DATA = TypeAdapter(Plan), TypeAdapter(TrainingData)
_NORMALISATION = TypeAdapter(Normalisation)


def write_record(folder: Path, record: RunRecord) -> None:
    """Write record.json; raise ResourceError if it cannot be written."""
    write_stored(folder, record.to_json())


def write_stored(folder: Path, stored: Mapping[str, Any]) -> None:
    """Write the values that `RunRecord.to_json` returns, with a checksum, to record.json."""
    write_json(folder / RECORD, {**stored, "digest": _digest(stored)})


def mark_finished(folder: Path) -> None:
    """Mark the run as finished in record.json, if the file can be written."""
    stored = load_stored(folder)
    if stored is not None:
        with suppress(ResourceError):
            write_stored(folder, {**stored, "finished": True})


def read_record(folder: Path) -> RunRecord:
    """Return the record of the run in a folder.

    Raises:
        CheckpointError: the record is missing, damaged or from an incompatible version.
    """
    path, stored = folder / RECORD, load_stored(folder)
    if stored is None:
        raise CheckpointError(
            f"{path}: missing, damaged or from another version of autox_video, so the run in this "
            f"folder cannot be resumed. Restore the file, or use that version; {TO_TRAIN_ANEW}"
        )
    return RunRecord.from_json(stored, folder, path)


def load_stored(folder: Path, name: str = RECORD) -> dict[str, Any] | None:
    """Return the content of record.json; None if the file is missing or its checksum is wrong."""
    try:
        stored = json.loads((folder / name).read_bytes())
        return stored if stored.pop("digest") == _digest(stored) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def is_probe_run(folder: Path) -> bool:
    """Return whether a folder contains the weights of a probe run but no training run."""
    if has_checkpoint(folder) or not (folder / BEST).is_file():
        return False
    stored = load_stored(folder) or {}
    return stored.get("choices", {}).get("mode", {}).get("value") == "probe"


def _plan(choices: Mapping[str, Mapping[str, Any]]) -> Plan:
    plan = Plan.from_json(choices)
    return _PLAN.validate_python({**plan.as_dict(), "choices": plan.choices})


def _check(record: RunRecord) -> None:
    """Raise ValueError if a value of the record is invalid."""
    plan, grids = record.plan, (record.plan.window_size, record.plan.head_grid or (1,))
    sizes = {name: getattr(plan, name) for name in SIZES}
    sizes |= {"window_size": min(grids[0]), "head_grid": min(grids[1])}
    for name, value in sizes.items():
        if not 0 < value < LARGEST_SIZE:
            raise ValueError(f"{name}: {value}")
    if not 0 < plan.frame_interval_sec < LARGEST_SIZE:
        raise ValueError(f"frame_interval_sec: {plan.frame_interval_sec}")
    if plan.precision not in PRECISIONS:
        raise ValueError(f"precision: {plan.precision}")
    if plan.backbone not in BACKBONES:
        raise ValueError(f"backbone: {plan.backbone}")
    if not 0 <= plan.freeze <= BACKBONES[plan.backbone].stages:
        raise ValueError(f"freeze: {plan.freeze}")
    if not 0 <= plan.lora <= (HIGHEST_RANK if BACKBONES[plan.backbone].linears else 0):
        raise ValueError(f"lora: {plan.lora}")
    if len(record.data.classes) != plan.num_classes:
        raise ValueError(f"{len(record.data.classes)} classes, but num_classes {plan.num_classes}")


def _digest(stored: Mapping[str, Any]) -> str:
    """Return a SHA-256 digest of the content, independent of spacing and key order."""
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
