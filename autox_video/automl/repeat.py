"""Repeat the choices of an earlier run, specified by the key `from_plan`, in a new run."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autox_video.config.settings import AUTO, Settings
from autox_video.core.durations import duration
from autox_video.core.errors import CheckpointError, ConfigError
from autox_video.planning.choice import USER, Choice
from autox_video.planning.draft import Basis
from autox_video.planning.optimization import END_KEYS
from autox_video.planning.plan import FIELDS, Plan
from autox_video.planning.record import RECORD_SCHEMA, RunRecord, load_stored
from autox_video.run.work_dir import RECORD
from autox_video.tasks.task import TASKS
from autox_video.video.files.remote import full_root

DATA_KEYS = (
    *("data_format", "official_split", "label_field", "task", "multi_label", "class_names"),
    *("num_class", "ann_file_train", "ann_file_val", "ann_file_test", "allow_outside"),
)
"""Config keys that, with `data_root`, determine the clips of a run."""

_FILES = ("class_names", "ann_file_train", "ann_file_val", "ann_file_test")

_AS_KEYS = {"mode", "backbone", "pretrained", "window_size", "seed"}
"""Fields needed before planning, which `keys_of_plan` returns as config keys."""
_OF_DATA = {"num_classes", "test_clips"}
_OF_MACHINE = {
    *("device", "processes", "workers", "accumulation", "gradient_checkpointing", "compile"),
    *("cache", "cache_gib", "disk_gib"),
}
_FOLLOWING = {
    *("short_side", "early_side", "head_grid", "soup"),
    *("warmup_epochs", "flat_epochs", "patience"),
}
"""Fields that need not be repeated, because the rules derive them from other fields."""


def data_keys(settings: Settings) -> dict[str, Any]:
    """Return the config keys that determine the clips, with absolute paths."""
    given = settings.model_dump(include=settings.model_fields_set & {*DATA_KEYS})
    files = {key: full_root(given[key]) for key in _FILES if given.get(key, AUTO) != AUTO}
    return {**given, **files}


def keys_of_plan(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config keys that repeat the `from_plan` run; keys in `values` take precedence.

    If `values` has no `data_root`, the new run also uses the clips of the earlier run.

    Raises:
        CheckpointError: the earlier run has no usable record.
        ConfigError: the weights that the earlier run started from no longer exist.
    """
    path = Path(values["from_plan"]).expanduser()
    record = _read(path)
    plan, keys = record.plan, {}
    if "data_root" not in values:
        keys |= {**record.data.sources, "data_root": record.data.data_root}
    keys |= {"seed": plan.seed, "backbone": plan.backbone}
    if plan.mode == "probe":
        keys["mode"] = plan.mode
    if "load_from" not in values and values.get("backbone", plan.backbone) == plan.backbone:
        keys["load_from"] = _weights_of(plan, path)
    return {**keys, **values}


def _weights_of(plan: Plan, path: Path) -> str:
    if plan.pretrained is None:
        return "none"
    if not Path(plan.pretrained).is_file():
        raise ConfigError(
            f"from_plan: the run of {path} started from {plan.pretrained}, which no longer exists. "
            "Give the weights as load_from=FILE, or load_from=none to train from scratch."
        )
    return plan.pretrained


def with_plan(basis: Basis) -> tuple[Basis, list[str]]:
    """Return a basis that repeats the plan of `from_plan`, and notes on any differences.

    Raises:
        CheckpointError: the earlier run has no usable record.
    """
    path = basis.settings.from_plan
    if path == AUTO:
        return basis, []
    plan = _read(Path(path)).plan
    left_out = {*_AS_KEYS, *_OF_DATA, *_OF_MACHINE, *_FOLLOWING, "time_budget_sec"}
    left_out -= {name for name in ("warmup_epochs", "patience") if plan.is_given(name)}
    left_out |= set() if basis.weights else {"freeze", "lora"}
    if basis.settings.backbone != plan.backbone:  # the new one may have no layers for adapters
        left_out.add("lora")
    if any(basis.asked(key) is not None for key in END_KEYS):
        left_out.add("finish_loss")
    notes, unfit = _what_does_not_fit(plan, basis)
    values = {n: getattr(plan, n) for n in FIELDS if n not in {*left_out, *unfit}}
    if (frames := basis.asked("clip_len")) is not None:  # clips keep their duration
        values["frame_interval_sec"] *= plan.clip_len / frames
    count = basis.hardware.processes
    if "batch_size" in values:
        values["batch_size"] = math.ceil(values["batch_size"] / count) * count
    given = {name: Choice(value, USER, f"as in {path}") for name, value in values.items()}
    return replace(basis, given=given), notes


def _what_does_not_fit(plan: Plan, basis: Basis) -> tuple[list[str], set[str]]:
    """Return notes on unrepeatable choices, and the fields that the rules choose instead."""
    notes, unfit = [], set()
    stats, hardware = basis.stats, basis.hardware
    count, batch = hardware.processes, plan.batch_size
    asks_batch = basis.asked("videos_per_gpu") is not None
    if (plan.device == "cpu") != (hardware.device == "cpu"):
        what = "this machine has none" if hardware.device == "cpu" else "this run uses one"
        where = "no GPU" if plan.device == "cpu" else "a GPU"
        notes.append(f"The repeated run used {where}; {what}: expect a different speed.")
    fast = {"bfloat16": hardware.fast_bfloat16, "float16": hardware.fast_float16}
    chosen = not plan.is_given("precision") and basis.asked("precision") is None
    if chosen and not fast.get(plan.precision, True):
        name = hardware.device_name
        notes.append(f"precision: {plan.precision} is not repeated, as it is slow on {name}.")
        unfit.add("precision")
    if batch > stats.num_train and not asks_batch:
        notes.append(
            f"The batch size of the repeated run, {batch}, exceeds the number of training clips "
            f"here, {stats.num_train}: batch size and learning rate are chosen again."
        )
        unfit |= {"batch_size", "lr"}
    elif batch % count and not asks_batch:
        notes.append(
            f"The batch size of the repeated run, {batch}, is not a multiple of {count} "
            f"processes: it is now {math.ceil(batch / count) * count}."
        )
    if plan.class_balance and not TASKS[stats.task].balances_loss:
        notes.append("class_balance is not repeated, as clips can have several classes here.")
        unfit.add("class_balance")
    if plan.time_budget_sec is not None and basis.asked("time_budget") is None:
        notes.append(
            f"time_budget: the limit of the repeated run, {duration(plan.time_budget_sec)}, does "
            "not apply to this run, which repeats the number of epochs."
        )
    return notes, unfit


def _read(path: Path) -> RunRecord:
    file = path / RECORD if path.is_dir() else path
    if not file.is_file():
        raise CheckpointError(
            f"from_plan: {file} does not exist; give the work dir of a run, or its {RECORD}."
        )
    stored = load_stored(file.parent, file.name)
    if stored is None:
        raise CheckpointError(f"from_plan: {file} is damaged, or is not the record of a run.")
    if stored.get("schema") != RECORD_SCHEMA:
        raise CheckpointError(
            f"from_plan: {file} was written by another version, whose choices cannot be repeated."
        )
    return RunRecord.from_json(stored, file.parent, file)
