"""What the user can choose, as typed, checked, frozen `Settings`; `read_settings` reads them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from autox_video.config.choices import BACKBONES, DECODERS, LIST_FORMATS
from autox_video.config.value_types import DESCRIPTORS as DESCRIPTORS
from autox_video.config.value_types import OFF as OFF
from autox_video.config.value_types import (
    Auto,
    Flag,
    GpuNumbers,
    LocalPath,
    ModuleNames,
    Number,
    PathText,
    Seconds,
    SizedFolder,
    Text,
    Whole,
    check_json_suffix,
    one_of,
    read_off,
)
from autox_video.core.registry import Registry
from autox_video.run.work_dir import RESULTS

AUTO = "auto"


def _key(default: Any, meaning: str, allowed: str | Registry) -> Any:
    return Field(default, description=meaning, json_schema_extra={"allowed": allowed})


class Settings(BaseModel):
    """What the user chose; `auto` marks what is left for the plan or the lists to find out.

    Relative paths start from the current folder. The `description` of a field is its meaning with
    its unit, `KEY_HELP` gives them all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_root: PathText = _key(
        ...,
        "Folder of the clips; list entries are relative to it.",
        "a folder, or an address such as s3://bucket/clips",
    )
    data_format: one_of(LIST_FORMATS) = _key(
        AUTO, "Format of the lists; auto: recognised by what is in them.", LIST_FORMATS
    )
    ann_file_train: PathText = _key(
        AUTO,
        "Training list: `path label` lines, or CSV with a header; "
        "auto: metadata.csv or class folders in data_root.",
        "a list file, its address or auto",
    )
    ann_file_val: PathText = _key(
        AUTO,
        "Validation list; auto: a part of the training clips is set aside.",
        "a list file or auto",
    )
    ann_file_test: PathText = _key(
        AUTO,
        "Test list; auto: none, or a part of the class folders.",
        "a list file or auto",
    )
    official_split: Annotated[Whole, Field(ge=1, le=3)] | Auto = _key(
        AUTO,
        "Which of the three divisions of a folder of UCF101's or HMDB51's lists; auto: 1.",
        "1, 2, 3 or auto",
    )
    task: Text = _key(
        AUTO,
        "What the model is trained for; auto: single_label, or multi_label where labels look like "
        "it.",
        "auto, single_label, multi_label, or a task that a module of custom_imports registers",
    )
    multi_label: Flag | Auto = _key(
        AUTO,
        "Whether a clip may be of several classes, `one;other`; auto: where labels look like it.",
        "true, false or auto",
    )
    remote_cache: SizedFolder = _key(
        AUTO,
        "Folder for clips fetched from an address, with its largest size; auto: half of what is "
        "free on the disk of ~/.cache.",
        "DIR, DIR:SIZE as in /fast/clips:200G, or auto",
    )
    class_names: PathText = _key(
        AUTO,
        "Text file with one class name per line, in the order of the labels; "
        "auto: classes.txt beside the training list or in data_root, where there is one.",
        "a text file or auto",
    )
    video_length: Annotated[Number, Field(gt=0, le=86400)] | Auto = _key(
        AUTO,
        "Seconds of a clip that the model sees at once; auto: the median length, 8 at most.",
        "seconds > 0 (at most 86400) or auto",
    )
    num_class: Annotated[Whole, Field(ge=2, le=1_000_000)] | Auto = _key(
        AUTO, "Number of classes; auto: from the lists.", "a whole number from 2 to 1000000 or auto"
    )
    videos_per_gpu: Annotated[Whole, Field(ge=1, le=65536)] | Auto = _key(
        AUTO,
        "Clips in one training step of each process.",
        "a whole number from 1 to 65536 or auto",
    )
    epoch: Annotated[Whole, Field(ge=1, le=1_000_000)] | Auto = _key(
        AUTO, "How often training goes through the training list.", "a whole number >= 1 or auto"
    )
    time_budget: Annotated[Seconds, Field(gt=0, le=31_536_000)] | Auto = _key(
        AUTO,
        "Longest time of the whole run, the test of its best weights included; auto: what the "
        "rules choose, without limit and without a test.",
        "a duration such as 45m, 1h30m, 90s or 2h, a number of seconds, or auto",
    )
    work_dir: LocalPath = _key(
        "work_dirs/default",
        "Folder for weights, logs, the plan and splits.",
        "a folder on this machine",
    )
    test_results_path: Annotated[LocalPath, AfterValidator(check_json_suffix)] = _key(
        AUTO,
        "File for the test results; auto: WORK_DIR/results.json.",
        "a file name that ends in .json, or auto",
    )
    backbone: one_of(BACKBONES) = _key(
        AUTO,
        "The backbone: fixed descriptors, a small convolution network, or a Video Swin of some "
        "size.",
        BACKBONES,
    )
    load_from: LocalPath = _key(
        AUTO,
        "Pretrained weights; auto: a known file in checkpoints/, none: from scratch.",
        "a file on this machine, auto or none",
    )
    mode: Literal["auto", "train", "probe"] = _key(
        AUTO,
        "probe: only a head is fitted, on features of pretrained weights, in minutes; train: all "
        "of the model is trained; auto: train.",
        "auto, train or probe",
    )
    patience: Annotated[Whole, Field(ge=0, le=1_000_000)] | Auto = _key(
        AUTO,
        "Evaluations without a better one, after which training ends; 0: it goes on to its end.",
        "a whole number from 0 to 1000000, or auto",
    )
    search: Annotated[Literal["auto", "off"], BeforeValidator(read_off)] = _key(
        AUTO,
        "Whether other choices are tried in what a time_budget leaves, or the plan is "
        "cross-validated where clips are too few for that, and the best plan learns from all "
        "clips at last.",
        "auto or off",
    )
    storage: Text = _key(
        AUTO,
        "Address of the database of the search, which several machines may share; "
        "auto: WORK_DIR/search.db.",
        "an address as Optuna takes, such as postgresql+psycopg://user:password@host/name, or auto",
    )
    seed: Annotated[Whole, Field(ge=0, le=2**32 - 1)] | Auto = _key(
        AUTO, "Seed of everything random.", "a whole number from 0 to 4294967295 or auto"
    )
    device: Annotated[Text, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")] = _key(
        AUTO, "Where to compute.", "auto, cpu, cuda or cuda:N"
    )
    class_balance: Flag | Auto = _key(
        AUTO,
        "Whether the loss makes up for classes being common or rare; auto: where the commonest "
        "has four times the clips of the rarest.",
        "on, off or auto",
    )
    ema: Annotated[Number, Field(ge=0, lt=1)] | Auto = _key(
        AUTO,
        "Share of the weights' moving average that a step leaves; the average is what is evaluated "
        "and kept. 0: none.",
        "a number from 0 to below 1, or auto",
    )
    drop_path: Annotated[Number, Field(ge=0, lt=1)] | Auto = _key(
        AUTO,
        "Share of training clips that the last block of the backbone leaves as they are, and the "
        "earlier ones fewer (stochastic depth).",
        "a number from 0 to below 1, or auto",
    )
    evaluation: Annotated[Whole, Field(ge=0, le=1_000_000)] = _key(
        2,
        "Evaluate on the validation list each time that many epochs are over, and at the end; "
        "0: never.",
        "a whole number >= 0",
    )
    workers: Annotated[Whole, Field(ge=0, le=1024)] | Auto = _key(
        AUTO,
        "Processes that load data; 0: load in the training process itself.",
        "a whole number from 0 to 1024 or auto",
    )
    decoder: one_of(DECODERS) = _key(
        AUTO,
        "What decodes the clips; auto: pyav, which reads everything and is the fastest here. "
        "torchcodec and decord refuse clips whose frames they would get wrong.",
        DECODERS,
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = _key(
        AUTO, "Number type for computing.", "auto, float32, bfloat16 or float16"
    )
    compile: Flag | Auto = _key(
        AUTO,
        "Whether PyTorch compiles the model: faster steps after a minute or two of compiling.",
        "on, off or auto",
    )
    gradient_checkpointing: Flag | Auto = _key(
        AUTO,
        "Whether blocks are computed again in the backward pass instead of kept in memory.",
        "on, off or auto",
    )
    flip: Flag | Auto = _key(
        AUTO,
        "Mirror half of the training clips left to right; wrong where left and right matter.",
        "true, false or auto",
    )
    resolution: Annotated[Whole, Field(ge=32, le=1024, multiple_of=4)] | Auto = _key(
        AUTO,
        "Pixels along a side of the square that the model sees.",
        "a multiple of 4 from 32 to 1024 or auto",
    )
    progressive: Flag | Auto = _key(
        AUTO,
        "Whether clips are smaller in the first half of training, which saves time; auto: where "
        "not all useful epochs fit into time_budget.",
        "on, off or auto",
    )
    augment: Literal["auto", "light", "recolour", "medium", "strong"] = _key(
        AUTO,
        "Changes to training clips: light are crops and mirror images, recolour adds other colours "
        "and negatives, medium a little of other colours and blanked parts, strong RandAugment, "
        "MixUp and CutMix.",
        "auto, light, recolour, medium or strong",
    )
    repeats: Annotated[Whole, Field(ge=1, le=64)] | Auto = _key(
        AUTO,
        "Samples of training from one reading of a clip (repeated augmentation).",
        "a whole number from 1 to 64 or auto",
    )
    cache: Annotated[SizedFolder, BeforeValidator(read_off)] = _key(
        AUTO,
        "Where decoded frames are kept between epochs and runs; auto: in ~/.cache where decoding "
        "would slow training down.",
        "DIR, DIR:SIZE as in /fast/frames:200G, off or auto",
    )
    allow_outside: Flag = _key(
        False,
        "Whether lists may name clips outside data_root, by absolute paths or `..`.",
        "true or false",
    )
    checkpoint_minutes: Annotated[Number, Field(gt=0, le=10080)] = _key(
        10, "Greatest time between two checkpoints, in minutes.", "minutes > 0 (at most 10080)"
    )
    deterministic: Flag = _key(
        False,
        "Whether a GPU computes the same bits in every run, at some cost in speed; a CPU always "
        "does.",
        "true or false",
    )
    gpus: Annotated[Whole, Field(ge=1, le=1024)] | GpuNumbers | Auto = _key(
        AUTO,
        "Processes that train together on this machine, or the numbers of their GPUs; auto: one "
        "for each GPU, one on a CPU.",
        "a whole number from 1 to 1024, GPU numbers as in [0, 2], or auto",
    )
    strategy: Literal["ddp", "fsdp"] = _key(
        "ddp",
        "How several processes share the model: ddp, each holds all of it; fsdp, each holds a "
        "part, for models that do not fit.",
        "ddp or fsdp",
    )
    max_bad: Annotated[Number, Field(ge=0, le=1)] = _key(
        0.05,
        "Share of the training clips that may turn out unreadable during training before it stops.",
        "a number from 0 to 1",
    )
    clip_len: Annotated[Whole, Field(ge=2, le=128, multiple_of=2)] | Auto = _key(
        AUTO, "Frames of a clip that the model sees.", "an even number from 2 to 128 or auto"
    )
    lr: Annotated[Number, Field(gt=0, le=1000)] | Auto = _key(
        AUTO, "Learning rate for the whole batch.", "a number > 0 (at most 1000) or auto"
    )
    strict: Flag = _key(
        False,
        "Whether an unreadable clip is an error; else it is named and left out.",
        "true or false",
    )
    custom_imports: ModuleNames = _key(
        (),
        "Modules of your own to import first, from the folder of the config file, the current "
        "folder or installed packages; backbones, list formats and decoders that they register "
        "can be chosen.",
        "a list of module names, as in [my_backbone]",
    )
    demo: Flag = _key(
        False,
        "Make the demo data set (data_root and ../annotations) when it is not there.",
        "true or false",
    )

    @property
    def results_file(self) -> Path:
        """Where the test results go."""
        if self.test_results_path == AUTO:
            return Path(self.work_dir, RESULTS)
        return Path(self.test_results_path)

    @property
    def only_probes(self) -> bool:
        """Whether nothing but a head is to be fitted."""
        return self.mode == "probe" or self.backbone == DESCRIPTORS

    @field_validator("*", mode="before")
    @classmethod
    def _read_auto(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        # Elsewhere it may be the name of a folder.
        may_be_auto = cls.model_fields[info.field_name].default == AUTO
        return AUTO if may_be_auto and value.strip().lower() == AUTO else str(value)

    @model_validator(mode="after")
    def _refuse_impossible_combinations(self) -> "Settings":
        found = list(_impossible_combinations(self))
        if found:
            text = "; ".join(f"{keys[0]} {sentence}" for keys, sentence in found)
            raise PydanticCustomError("combination", "{text}", {"text": text, "found": found})
        return self


def _impossible_combinations(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the keys that do not go together, the one to change first, and what to do."""
    train, val = settings.ann_file_train, settings.ann_file_val
    if val != AUTO and train == AUTO:
        keys = ("ann_file_val", "ann_file_train")
        yield keys, "needs `ann_file_train` too; give the training list, or leave both at auto."
    elif val != AUTO and os.path.normpath(val) == os.path.normpath(train):
        keys = ("ann_file_val", "ann_file_train")
        yield keys, "is the training list too; give another list, or auto to set clips aside."
    if os.path.normpath(settings.work_dir) == os.path.normpath(settings.data_root):
        keys = ("work_dir", "data_root")
        yield keys, "is `data_root` too, which is never written to; give another folder."
    if settings.demo and Path(settings.data_root).name != "videos":
        keys = ("demo", "data_root")
        yield keys, "needs a `data_root` that ends in /videos, as data/demo/videos."
    if settings.backbone == DESCRIPTORS and settings.mode == "train":
        keys = ("mode", "backbone")
        yield keys, "needs a backbone that learns; `descriptors` has nothing to train but a head."
    if isinstance(settings.gpus, tuple) and settings.device not in (AUTO, "cuda"):
        keys = ("gpus", "device")
        yield keys, f"names GPUs, and `device: {settings.device}` another; leave that at auto."
    if settings.data_format == "folders" and train != AUTO:
        keys = ("data_format", "ann_file_train")
        yield keys, "takes no list; leave `ann_file_train` at auto, or give the list's format."


def allowed(name: str) -> str:
    """What a key may hold, in words; names that a user's modules have registered are among it."""
    what = Settings.model_fields[name].json_schema_extra["allowed"]
    if isinstance(what, Registry):
        *names, last = what
        return f"{', '.join([AUTO, *names])} or {last}"
    return what


def _help(name: str) -> str:
    field = Settings.model_fields[name]
    value = "none" if field.default == () else str(field.default).lower()
    default = "needed" if field.is_required() else f"default {value}"
    return f"{field.description} ({allowed(name)}; {default})"


KEY_HELP: Mapping[str, str] = {name: _help(name) for name in Settings.model_fields}
"""What each key means, what it may hold and its default, in the order of config.yaml."""
