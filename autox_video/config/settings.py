"""Define `Settings`, the typed, validated and immutable values of all config keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from autox_video.config.choices import BACKBONES, DECODERS, LIST_FORMATS
from autox_video.config.combinations import impossible_combinations, learns
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
from autox_video.run.work_dir import RESULTS, default_work_dir

Auto = Literal["auto"]

SHARE = number("a number from 0 to below 1", lambda x: 0 <= x < 1)


def _key(kind: Kind, meaning: str, default: Any = AUTO, *, basic: bool = False) -> Any:
    extra = {"kind": kind, "basic": basic}
    return Field(default, description=meaning, json_schema_extra=extra)


class Settings(BaseModel):
    """The user's settings; the plan or the lists later replace the values that are `auto`.

    Relative paths are resolved against the current folder. The `description` of a field gives its
    meaning and unit. The fields marked `basic` come first; most users need only these fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_root: str = _key(
        text("a folder, an address such as s3://bucket/clips"),
        "Folder of the clips. Paths in the lists are relative to it.",
        ...,
        basic=True,
    )
    ann_file_train: str = _key(
        text("a list file, its address"),
        "Training list. auto: metadata.csv in data_root, or one sub-folder per class.",
        basic=True,
    )
    ann_file_val: str = _key(
        text("a list file"),
        "Validation list. auto: part of the training clips is set aside.",
        basic=True,
    )
    ann_file_test: str = _key(
        text("a list file"),
        "Test list. auto: with class folders, part of the clips is set aside; else no test.",
        basic=True,
    )
    work_dir: str = _key(
        text("a folder on this machine", LOCAL),
        "Folder for everything a run writes. Running the same command again resumes the run. "
        "auto: work_dirs/NAME, where NAME is the last part of data_root.",
        basic=True,
    )
    mode: Literal["auto", "train", "probe"] = _key(
        choice("train", "probe"),
        "train: train the whole model (auto). probe: fit only a head on pretrained features, in "
        "minutes.",
        basic=True,
    )
    time_budget: float | Auto = _key(
        number(
            "a duration such as 45m, 1h30m, 90s or 2h, a number of seconds",
            lambda x: 0 < x <= 31_536_000,
            duration=True,
        ),
        "Time limit for the whole run, including the test of its best weights. auto: no limit, no "
        "test.",
        basic=True,
    )
    epoch: int | Auto = _key(
        whole(1, 1_000_000),
        "Number of training epochs. auto: depends on the number of clips, the "
        "weights and time_budget.",
        basic=True,
    )
    videos_per_gpu: int | Auto = _key(
        whole(1, 65536),
        "Batch size of each process, in clips. auto: depends on the number of training clips.",
        basic=True,
    )
    video_length: float | Auto = _key(
        number("seconds > 0 (at most 86400)", lambda x: 0 < x <= 86400),
        "Seconds of video in one input clip. auto: the median length, 8 at most.",
        basic=True,
    )
    backbone: str = _key(
        text(BACKBONES),
        "Model: fixed descriptors, a small CNN, a Video Swin or a model from another library. "
        "auto: depends on the weights and the clips.",
        basic=True,
    )
    load_from: str = _key(
        text("a file, the name of known weights, an address such as https://host/net.pth, none"),
        "Pretrained weights. none: train from scratch. auto: the best known weights that are "
        "on this machine or can be fetched (`autox-video weights` lists them).",
        basic=True,
    )

    data_format: str = _key(text(LIST_FORMATS), "Format of the lists. auto: detected.")
    official_split: int | Auto = _key(
        whole(1, 3), "Which official split of UCF101 or HMDB51 to use. auto: 1."
    )
    label_field: str = _key(
        text("a tier of ELAN, an attribute of VIA, a labelling control of Label Studio"),
        "Which labels in the export of an annotation tool to learn from. auto: the only ones.",
    )
    class_names: str = _key(
        text("a text file"),
        "File with one class name per line, in label order. auto: classes.txt next to the "
        "training list or in data_root, if there is one.",
    )
    num_class: int | Auto = _key(
        whole(2, 1_000_000), "Number of classes. auto: counted in the lists."
    )
    task: str = _key(
        text("classification, localisation, a task that a module of custom_imports registers"),
        "classification: classify clips. localisation: find segments in recordings. auto: "
        "localisation if most videos have several segments and unlabelled time.",
    )
    multi_label: bool | Auto = _key(
        FLAG,
        "Whether a clip can have several classes, written `one;other`. auto: "
        "depends on the labels.",
    )
    strict: bool = _key(FLAG, "Stop at unreadable clips instead of skipping them.", False)
    max_bad: float = _key(
        number("a number from 0 to 1", lambda x: 0 <= x <= 1),
        "Tolerated share of training clips that become unreadable during training.",
        0.05,
    )
    allow_outside: bool = _key(FLAG, "Allow lists to name clips outside data_root.", False)
    cache: str = _key(
        sized_folder("DIR, DIR:SIZE as in /fast/frames:200G, off", may_be_off=True),
        "Folder for decoded frames. auto: in ~/.cache, if decoding would slow training down.",
    )
    remote_cache: str = _key(
        sized_folder("DIR, DIR:SIZE as in /fast/clips:200G"),
        "Folder for downloaded clips. auto: in ~/.cache, up to half of the free disk space.",
    )
    demo: bool = _key(FLAG, "Create the demo data set (data_root and ../annotations).", False)

    clip_len: int | Auto = _key(
        whole(2, 128, multiple_of=2), "Frames per input clip. auto: depends on the video length."
    )
    resolution: int | Auto = _key(
        whole(32, 1024, multiple_of=4),
        "Side of the square input, in pixels. auto: depends on the model and the video size.",
    )
    progressive: bool | Auto = _key(
        FLAG,
        "Progressive resizing: smaller clips in the first half of training. auto: if time_budget "
        "is short.",
    )
    flip: bool | Auto = _key(
        FLAG,
        "Flip half of the training clips horizontally. auto: unless class names mention a "
        "direction or probes score clearly better without flips.",
    )
    augment: Literal["auto", "light", "recolour", "medium", "strong"] = _key(
        choice("light", "recolour", "medium", "strong"),
        "Augmentation besides flips. light: random crops. recolour: also random colours and "
        "negatives. medium: crops, colour jitter and random erasing. strong: RandAugment, random "
        "erasing, MixUp and CutMix. auto: recolour for few clips from scratch, else light.",
    )
    augment_strength: float | Auto = _key(
        number("a number from 0 to 2", lambda x: 0 <= x <= 2),
        "Scales `augment`, crops included. 0: off, 1: as defined (auto), 2: twice as strong.",
    )

    download: Literal["auto", "never"] = _key(
        choice("never"),
        "Whether pretrained weights may be fetched. auto: yes, if there is a network; a message "
        "names them.",
    )
    noncommercial: bool = _key(
        FLAG, "Also use weights whose licence excludes commercial use.", False
    )
    freeze: int | Literal["auto", "all"] = _key(
        whole(0, 100, or_word="all"),
        "Number of first backbone stages that are not trained; needs pretrained weights. auto: 0.",
    )
    lora: int | Literal["auto", "off"] = _key(
        whole(1, 1024, or_word="off"),
        "Rank of LoRA adapters, trained in place of a library's pretrained weights; off: none. "
        "auto: 16 if a backbone with over 100 M parameters would not fit in memory otherwise, else "
        "off.",
    )
    lr: float | Auto = _key(
        number("a number > 0 (at most 1000)", lambda x: 0 < x <= 1000),
        "Learning rate of the head, for the total batch. auto: depends on the model and the "
        "batch size.",
    )
    layer_decay: float | Auto = _key(
        number("a number > 0 (at most 1)", lambda x: 0 < x <= 1),
        "Layer-wise learning-rate decay: factor from each block to the one before it; 1: off. "
        "auto: 0.9 with pretrained weights, else 1.",
    )
    warmup_epochs: float | Auto = _key(
        number("a number from 0 to 1000", lambda x: 0 <= x <= 1000),
        "Epochs of linear warm-up; may be fractional. auto: 2.5 with pretrained weights, else 1; a "
        "quarter of all epochs at most.",
    )
    weight_decay: float | Auto = _key(
        number("a number from 0 to 1", lambda x: 0 <= x <= 1),
        "Weight decay of AdamW; norms and position biases are exempt. auto: 0.05.",
    )
    label_smoothing: float | Auto = _key(
        SHARE,
        "Label smoothing. auto: 0.1 with pretrained weights and more than two classes, else 0.",
    )
    class_balance: bool | Auto = _key(
        FLAG,
        "Class-balanced loss and validation. auto: if the largest class has at least four times "
        "the clips of the smallest.",
    )
    time_shift: bool | Auto = _key(
        FLAG,
        "Shift channels between frames (TSM) in a convolutional image model of timm, so that it "
        "sees motion. auto: if the model is trained; never for probes.",
    )
    drop_path: float | Auto = _key(
        SHARE,
        "Drop-path (stochastic depth) rate of the last block; earlier blocks get less. auto: as "
        "published.",
    )
    ema: float | Auto = _key(
        SHARE, "EMA decay of the weights, such as 0.99; 0: off (auto). The average is evaluated."
    )
    evaluation: int = _key(
        whole(0, 1_000_000), "Evaluate every N epochs and at the end; 0: never.", 2
    )
    patience: int | Auto = _key(
        whole(0, 1_000_000),
        "Stop early after N evaluations without improvement; 0: never. auto: a third of the "
        "evaluations with pretrained weights; from scratch, without `epoch` and `time_budget`, "
        "soon after all of 35 or more validation clips are classified correctly and confidently.",
    )
    search: Literal["auto", "off"] = _key(
        choice("off"),
        "Use what is left of time_budget for a hyperparameter search or cross-validation, then a "
        "refit on train + validation.",
    )
    ensemble: Literal["auto", "off"] = _key(
        choice("off"),
        "Average the predictions of several models if this scores better than the best of them.",
    )
    storage: str = _key(
        text("an address as Optuna takes, such as postgresql+psycopg://user:password@host/name"),
        "Database of the search; machines that use the same database search together. auto: "
        "WORK_DIR/search.db.",
    )
    from_plan: str = _key(
        text("a record.json, a work dir", LOCAL),
        "Repeat the choices of an earlier run; other keys take precedence. auto: repeat none.",
    )
    seed: int | Auto = _key(whole(0, 2**32 - 1), "Random seed. auto: 0.")

    device: str = _key(
        text("cpu, cuda, cuda:N", r"cpu|cuda(:[0-9]{1,3})?"),
        "Where to compute. auto: the GPUs if there are any, else the CPU.",
    )
    gpus: int | tuple[int, ...] | Auto = _key(
        GPUS,
        "Number of processes on this machine, or which GPUs to use, as in [0, 2]. auto: one per "
        "GPU.",
    )
    strategy: Literal["ddp", "fsdp"] = _key(
        choice("ddp", "fsdp"),
        "How processes share the model. ddp: each holds the whole model; fsdp: each holds a part, "
        "for models that do not fit on one GPU.",
        "ddp",
    )
    workers: int | Auto = _key(
        whole(0, 1024),
        "Data-loading processes per GPU; 0: load in the training process. auto: depends on the "
        "CPU cores.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = _key(
        choice("float32", "bfloat16", "float16"),
        "Precision (dtype) of the backbone. auto: the fastest safe precision on this device.",
    )
    compile: bool | Auto = _key(
        FLAG,
        "Use torch.compile: faster steps after a minute or two. auto: on a GPU, if it saves time.",
    )
    gradient_checkpointing: bool | Auto = _key(
        FLAG,
        "Recompute blocks in the backward pass: less memory, more time. auto: if memory is short.",
    )
    deterministic: bool = _key(FLAG, "Bitwise reproducible on a GPU, but slower.", False)
    decoder: str = _key(
        text(DECODERS),
        "Video decoder. auto: pyav. The other decoders skip clips that they would decode wrongly.",
    )

    verbose: bool | Auto = _key(
        FLAG, "true: print every choice and detail; false: print warnings only; auto: a summary."
    )
    test_results_path: str = _key(
        text("a .json file on this machine", LOCAL_JSON),
        "File for the test results. auto: results.json in work_dir.",
    )
    checkpoint_minutes: float = _key(
        number("minutes > 0 (at most 10080)", lambda x: 0 < x <= 10080),
        "Longest time between two checkpoints, in minutes.",
        10,
    )
    custom_imports: tuple[str, ...] = _key(
        MODULES, "Your own modules, imported first, that add backbones, tasks and more.", ()
    )

    @property
    def results_file(self) -> Path:
        """Path of the file with the test results."""
        if self.test_results_path == AUTO:
            return Path(self.work_dir, RESULTS)
        return Path(self.test_results_path)

    @property
    def only_probes(self) -> bool:
        """Whether only a head is trained, on fixed features."""
        return self.mode == "probe" or not learns(self.backbone)

    @field_validator("*", mode="plain")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        return read_value(info.field_name, value)

    @model_validator(mode="after")
    def _name_work_dir(self) -> "Settings":
        if self.work_dir == AUTO:  # not marked as set, so that it follows data_root
            object.__setattr__(self, "work_dir", default_work_dir(self.data_root))
        return self

    @model_validator(mode="after")
    def _refuse_impossible_combinations(self) -> "Settings":
        problems = [
            f"{keys[0]} {sentence}" for keys, sentence in impossible_combinations(dict(self))
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def is_open(key: str, value: Any) -> bool:
    """Return whether a value is None, or is `auto` for a key whose default is `auto`."""
    if key not in Settings.model_fields or value is None:
        return value is None
    is_auto = isinstance(value, str) and value.strip().lower() == AUTO
    return is_auto and Settings.model_fields[key].default == AUTO


def read_value(key: str, value: Any) -> Any:
    """Parse the value of a key; raise ValueError if the value is not allowed."""
    if is_open(key, value) and value is not None:
        return AUTO
    return Settings.model_fields[key].json_schema_extra["kind"].read(value)


def allowed(key: str) -> str:
    """Return the values that a key allows, in words, including names that user modules register."""
    field = Settings.model_fields[key]
    return field.json_schema_extra["kind"].allowed(field.default)


def _help(key: str) -> str:
    field = Settings.model_fields[key]
    default = "none" if field.default == () else str(field.default).lower()
    need = "required" if field.is_required() else f"default {default}"
    return f"{field.description} ({allowed(key)}; {need})"


KEY_HELP: Mapping[str, str] = {key: _help(key) for key in Settings.model_fields}
"""The meaning, allowed values and default of each key, in the order of config.yaml."""

BASIC_KEYS: tuple[str, ...] = tuple(
    key for key, field in Settings.model_fields.items() if field.json_schema_extra["basic"]
)
"""The keys that most users need."""
