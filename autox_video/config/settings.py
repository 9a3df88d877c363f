"""What the user can choose, as typed, checked, frozen `Settings`; `load_settings` reads them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from autox_video.config.choices import BACKBONES, DECODERS, LIST_FORMATS
from autox_video.config.value_types import (
    AUTO,
    FLAG,
    GPUS,
    LOCAL,
    LOCAL_JSON,
    MODULES,
    Kind,
    choice,
    number,
    sized_folder,
    text,
    whole,
)
from autox_video.config.value_types import OFF as OFF
from autox_video.run.work_dir import RESULTS

Auto = Literal["auto"]


def _key(kind: Kind, meaning: str, default: Any = AUTO) -> Any:
    return Field(default, description=meaning, json_schema_extra={"kind": kind})


class Settings(BaseModel):
    """What the user chose; `auto` marks what is left for the plan or the lists to find out.

    Relative paths start from the current folder. The `description` of a field is its meaning with
    its unit, `KEY_HELP` gives them all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_root: str = _key(
        text("a folder, an address such as s3://bucket/clips"), "Folder of the clips.", ...
    )
    data_format: str = _key(text(LIST_FORMATS), "Format of the lists; auto: recognised.")
    ann_file_train: str = _key(
        text("a list file, its address"),
        "Training list; auto: metadata.csv or class folders in data_root.",
    )
    ann_file_val: str = _key(
        text("a list file"), "Validation list; auto: a part of the training clips is set aside."
    )
    ann_file_test: str = _key(
        text("a list file"), "Test list; auto: none, or a part of the class folders."
    )
    official_split: int | Auto = _key(
        whole(1, 3), "Which of the three splits of UCF101's or HMDB51's lists to use; auto: 1."
    )
    task: str = _key(
        text("single_label, multi_label, a task that a module of custom_imports registers"),
        "What the model is trained for; auto: single_label, or multi_label as labels look.",
    )
    multi_label: bool | Auto = _key(
        FLAG, "Whether a clip may be of several classes, `one;other`; auto: as labels look."
    )
    remote_cache: str = _key(
        sized_folder("DIR, DIR:SIZE as in /fast/clips:200G"),
        "Folder for clips from an address; auto: half of what is free on the disk of ~/.cache.",
    )
    class_names: str = _key(
        text("a text file"),
        "File with a class name per line, in the order of the labels; auto: classes.txt beside the "
        "training list or in data_root, where there is one.",
    )
    video_length: float | Auto = _key(
        number("seconds > 0 (at most 86400)", lambda x: 0 < x <= 86400),
        "Seconds of a clip that the model sees at once; auto: the median length, 8 at most.",
    )
    num_class: int | Auto = _key(whole(2, 1_000_000), "Number of classes; auto: from the lists.")
    videos_per_gpu: int | Auto = _key(whole(1, 65536), "Batch size of each process, in clips.")
    epoch: int | Auto = _key(whole(1, 1_000_000), "Passes of training through the training list.")
    time_budget: float | Auto = _key(
        number(
            "a duration such as 45m, 1h30m, 90s or 2h, a number of seconds",
            lambda x: 0 < x <= 31_536_000,
            duration=True,
        ),
        "Longest time of the whole run, a test of its best weights included; auto: no limit, no "
        "test.",
    )
    work_dir: str = _key(
        text("a folder on this machine", LOCAL),
        "Folder for weights, logs, the plan and splits.",
        "work_dirs/default",
    )
    test_results_path: str = _key(
        text("a .json file on this machine", LOCAL_JSON),
        "File for the test results; auto: results.json in work_dir.",
    )
    backbone: str = _key(
        text(BACKBONES),
        "Fixed descriptors, a small convolution network, or a Video Swin of some size.",
    )
    load_from: str = _key(
        text("a file on this machine, none", LOCAL),
        "Pretrained weights; auto: a known file in checkpoints/, none: from scratch.",
    )
    mode: Literal["auto", "train", "probe"] = _key(
        choice("train", "probe"),
        "train all of the model (auto), or fit only a head on pretrained features, in minutes.",
    )
    patience: int | Auto = _key(
        whole(0, 1_000_000), "Evaluations without a better one that end training; 0: none do."
    )
    search: Literal["auto", "off"] = _key(
        choice("off"),
        "Whether what a time_budget leaves goes to other choices or a cross-validation, and to a "
        "refit on train + validation.",
    )
    storage: str = _key(
        text("an address as Optuna takes, such as postgresql+psycopg://user:password@host/name"),
        "Database of the search, which machines may share; auto: WORK_DIR/search.db.",
    )
    seed: int | Auto = _key(whole(0, 2**32 - 1), "Seed of everything random.")
    device: str = _key(text("cpu, cuda, cuda:N", r"cpu|cuda(:[0-9]{1,3})?"), "Where to compute.")
    class_balance: bool | Auto = _key(
        FLAG, "Class-balanced loss; auto: where one class has four times the clips of another."
    )
    ema: float | Auto = _key(
        number("a number from 0 to below 1", lambda x: 0 <= x < 1),
        "EMA decay of the weights; the average is evaluated and kept. 0: off.",
    )
    drop_path: float | Auto = _key(
        number("a number from 0 to below 1", lambda x: 0 <= x < 1),
        "Drop-path (stochastic depth) rate of the last block; earlier blocks have less.",
    )
    evaluation: int = _key(
        whole(0, 1_000_000), "Evaluate every N epochs, and at the end; 0: never.", 2
    )
    workers: int | Auto = _key(
        whole(0, 1024), "Processes that load data; 0: load in the training process itself."
    )
    decoder: str = _key(
        text(DECODERS), "What decodes the clips; auto: pyav. Others refuse what they get wrong."
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = _key(
        choice("float32", "bfloat16", "float16"), "Precision (dtype) of the backbone."
    )
    compile: bool | Auto = _key(
        FLAG, "Whether PyTorch compiles the model: faster steps after a minute or two."
    )
    gradient_checkpointing: bool | Auto = _key(
        FLAG, "Compute blocks again in the backward pass: less memory, more time."
    )
    flip: bool | Auto = _key(
        FLAG, "Horizontal flip of half of the training clips; wrong where left and right matter."
    )
    resolution: int | Auto = _key(
        whole(32, 1024, multiple_of=4), "Side of the square that the model sees, in pixels."
    )
    progressive: bool | Auto = _key(
        FLAG, "Progressive resizing: smaller clips at first; auto: where a time_budget is short."
    )
    augment: Literal["auto", "light", "recolour", "medium", "strong"] = _key(
        choice("light", "recolour", "medium", "strong"),
        "light: crops and flips; recolour: other colours and negatives; medium: a little of "
        "colours and blanked parts; strong: RandAugment, MixUp and CutMix.",
    )
    cache: str = _key(
        sized_folder("DIR, DIR:SIZE as in /fast/frames:200G, off", may_be_off=True),
        "Folder for decoded frames; auto: in ~/.cache where decoding would slow training down.",
    )
    allow_outside: bool = _key(FLAG, "Whether lists may name clips outside data_root.", False)
    checkpoint_minutes: float = _key(
        number("minutes > 0 (at most 10080)", lambda x: 0 < x <= 10080),
        "Greatest time between two checkpoints, in minutes.",
        10,
    )
    deterministic: bool = _key(FLAG, "The same bits in every run on a GPU, at some cost.", False)
    gpus: int | tuple[int, ...] | Auto = _key(
        GPUS, "Processes on this machine, or the numbers of their GPUs; auto: one for each GPU."
    )
    strategy: Literal["ddp", "fsdp"] = _key(
        choice("ddp", "fsdp"), "Each process holds the model (ddp), or a part of it (fsdp).", "ddp"
    )
    max_bad: float = _key(
        number("a number from 0 to 1", lambda x: 0 <= x <= 1),
        "Tolerated share of training clips that turn out unreadable during training.",
        0.05,
    )
    clip_len: int | Auto = _key(
        whole(2, 128, multiple_of=2), "Frames of a clip that the model sees."
    )
    lr: float | Auto = _key(
        number("a number > 0 (at most 1000)", lambda x: 0 < x <= 1000),
        "Learning rate for the whole batch.",
    )
    strict: bool = _key(FLAG, "Whether an unreadable clip is an error, not skipped.", False)
    custom_imports: tuple[str, ...] = _key(
        MODULES, "Modules of your own to import first; what they register can be chosen.", ()
    )
    demo: bool = _key(FLAG, "Make the demo data set (data_root and ../annotations).", False)

    @property
    def results_file(self) -> Path:
        """Where the test results go."""
        if self.test_results_path == AUTO:
            return Path(self.work_dir, RESULTS)
        return Path(self.test_results_path)

    @property
    def only_probes(self) -> bool:
        """Whether nothing but a head is to be fitted."""
        return self.mode == "probe" or not _learns(self.backbone)

    @field_validator("*", mode="plain")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        return read_value(info.field_name, value)

    @model_validator(mode="after")
    def _refuse_impossible_combinations(self) -> "Settings":
        problems = [
            f"{keys[0]} {sentence}" for keys, sentence in impossible_combinations(dict(self))
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def read_value(key: str, value: Any) -> Any:
    """Give the value of a key for what is written; raises ValueError where it is not allowed."""
    field = Settings.model_fields[key]
    # Elsewhere it may be the name of a folder.
    if field.default == AUTO and isinstance(value, str) and value.strip().lower() == AUTO:
        return AUTO
    return field.json_schema_extra["kind"].read(value)


def allowed(key: str) -> str:
    """What a key may hold, in words; names that a user's modules have registered are among it."""
    field = Settings.model_fields[key]
    return field.json_schema_extra["kind"].allowed(field.default)


def _learns(backbone: str) -> bool:
    return backbone == AUTO or BACKBONES[backbone].learns


def impossible_combinations(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield two keys that do not go together, the one to change first, and what to do.

    Args:
        values: of every key.
    """
    train, val = values["ann_file_train"], values["ann_file_val"]
    data_root, device = values["data_root"], values["device"]
    lists = ("ann_file_val", "ann_file_train")
    if val != AUTO and train == AUTO:
        yield lists, "needs `ann_file_train` too; give the training list, or leave both at auto."
    elif val != AUTO and os.path.normpath(val) == os.path.normpath(train):
        yield lists, "is the training list too; give another list, or auto to set clips aside."
    if os.path.normpath(values["work_dir"]) == os.path.normpath(data_root):
        keys = ("work_dir", "data_root")
        yield keys, "is `data_root` too, which is never written to; give another folder."
    if values["demo"] and Path(data_root).name != "videos":
        keys = ("demo", "data_root")
        yield keys, "needs a `data_root` that ends in /videos, as data/demo/videos."
    if not _learns(values["backbone"]) and values["mode"] == "train":
        what = f"`{values['backbone']}` has nothing to train but a head"
        yield ("mode", "backbone"), f"needs a backbone that learns; {what}."
    if isinstance(values["gpus"], tuple) and device not in (AUTO, "cuda"):
        keys = ("gpus", "device")
        yield keys, f"names GPUs, and `device: {device}` another; leave that at auto."
    if values["data_format"] == "folders" and train != AUTO:
        keys = ("data_format", "ann_file_train")
        yield keys, "takes no list; leave `ann_file_train` at auto, or give the list's format."


def _help(key: str) -> str:
    field = Settings.model_fields[key]
    default = "none" if field.default == () else str(field.default).lower()
    need = "needed" if field.is_required() else f"default {default}"
    return f"{field.description} ({allowed(key)}; {need})"


KEY_HELP: Mapping[str, str] = {key: _help(key) for key in Settings.model_fields}
"""What each key means, what it may hold and its default, in the order of config.yaml."""
