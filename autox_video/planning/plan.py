"""Settings, statistics and hardware → a Plan: every automatic choice, made here and nowhere else.

The choices are rules with their reasons beside them. Whatever the user set is taken as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from autox_video.backbones.specs import BACKBONES, PUBLISHED_WINDOW, Pretrained
from autox_video.config.settings import AUTO, DESCRIPTORS, Settings
from autox_video.core.errors import ConfigError
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.machine.hardware import Hardware
from autox_video.planning import clip_shape, optimization
from autox_video.planning.augmentation import (
    augment,
    early_clips,
    flip,
    jitter,
    smallest_crop,
)
from autox_video.planning.batch import (
    accumulation,
    batch_size,
    disk_gib,
    gradient_checkpointing,
    room_for_clips,
    whole_readings,
)
from autox_video.planning.source import GIVEN, RULE, USER, Choice, Chosen, Source
from autox_video.tasks.task import TASKS

HALF_TYPE_SHARE = 0.55  # memory of a clip in a 16-bit type over that in float32
CHECKPOINTING_SHARE = 0.35  # the same with checkpointing over without: an estimate
COMPILING_SEC = 90.0  # an estimate
SAVED_BY_COMPILING = 0.3  # an estimate, below the 40% that timm's Swin saves on a GPU
GPU_FLOPS = 100e12  # an H100-class GPU in training, at the published 15 to 25% of its peak
ROOM_FOR_CROPS = 8 / 7  # frames' shorter side over the model's: 256 for 224, as is usual


@dataclass(frozen=True, slots=True)
class Plan:
    """Every choice that a training run rests on, with its reason and its source, field by field."""

    mode: str
    """`train`: all of the model learns; `probe`: a head on features that stay as they are."""
    backbone: str
    pretrained: str | None
    """Path of the weights to start from; None: from scratch."""
    window_size: tuple[int, int, int]
    """Time steps, rows and columns of an attention window."""
    head_grid: tuple[int, int, int] | None
    """Cells over time, rows and columns that the head attends over; None: it takes their mean."""
    num_classes: int
    clip_len: int
    """Frames in one clip."""
    frame_interval_sec: float
    """Seconds between two frames of a clip."""
    resolution: int
    """Side of the square the model sees, in px."""
    early_side: int
    """Side of the clips in the first part of training, in px: smaller ones save time."""
    early_share: float
    """Of the training steps, that part."""
    decoder: str
    """What decodes the clips: `pyav`, `torchcodec` or `decord`."""
    short_side: int
    """Frames at least twice as large are scaled down to this shorter side in decoding, in px."""
    jitter: bool
    """Whether training frames are moved within their slot of time at random."""
    test_clips: int
    """Clips taken over time from a video in testing, each with three crops."""
    batch_size: int
    """Clips in one training step, of all processes together."""
    accumulation: int
    """Parts into which a process cuts its clips of a step, one after the other, to save memory."""
    epochs: int
    warmup_epochs: float
    flat_epochs: float
    """Epochs at the full learning rate between warm-up and cosine."""
    lr: float
    """Learning rate of the head, for the whole batch."""
    backbone_lr_mult: float
    """The learning rate of the backbone's last block over the head's."""
    layer_decay: float
    """The learning rate of a block over that of the next."""
    beta2: float
    """How long AdamW remembers squared gradients: 1 / (1 - beta2) steps."""
    weight_decay: float
    max_grad_norm: float
    """Gradients are scaled down to this 2-norm."""
    ema: float
    """Share of the weights' moving average that a step leaves; 0: there is no average."""
    soup: int
    """So many of the best weights are averaged at the end; 0: none."""
    drop_path: float
    label_smoothing: float
    class_balance: bool
    """Whether the loss makes up for classes being common or rare."""
    smallest_crop: float
    """Least share of a frame's area that a random crop in training keeps."""
    flip: bool
    augment: dict[str, float]
    """What training adds to crops and mirror images: fields of models.augment.Strengths."""
    repeats: int
    """Samples of training from one reading of a clip, each cut out anew."""
    cache: str | None
    """Folder for decoded frames; None: every clip is decoded each time."""
    cache_gib: float
    """Greatest size of that folder, in GiB."""
    max_bad: float
    """Greatest share of the training clips that may turn out unreadable in training."""
    precision: str
    """Number type of the computation: `float32`, `bfloat16` or `float16`."""
    gradient_checkpointing: bool
    """Whether blocks are computed again in the backward pass instead of kept."""
    compile: bool
    """Whether torch compiles the backbone's blocks."""
    device: str
    processes: int
    """Processes that train together."""
    strategy: str
    """How they share the model: `ddp` or `fsdp`."""
    deterministic: bool
    """Whether a GPU computes the same bits in every run."""
    workers: int
    """Processes that decode clips, for each that trains."""
    checkpoint_minutes: float
    """Greatest time between two checkpoints."""
    disk_gib: float
    """What the checkpoints of the run take while one is written, in GiB."""
    evaluation: int
    """Epochs between two evaluations; 0: none."""
    patience: int
    """Evaluations without a better one, after which training ends; 0: it goes on to its end."""
    time_budget_sec: float | None
    """What the whole run may take; None: as long as it takes."""
    seed: int
    reasons: dict[str, str]
    """Why, in words for people: no code reads them."""
    sources: dict[str, Source]
    """Who or what chose."""
    evidence: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of some fields: `figures` that the choice rests on, and `alternatives` with theirs."""

    def as_dict(self) -> dict[str, Any]:
        """The choices and reasons as plain JSON values."""
        values = asdict(self)
        del values["evidence"], values["sources"]
        return values

    def choice(self, field: str) -> Choice:
        """One choice with its reason and its source."""
        return Choice(getattr(self, field), self.reasons[field], self.sources[field])

    def is_given(self, field: str) -> bool:
        """Whether the user chose this."""
        return self.sources[field] == USER

    def with_choices(self, choices: Mapping[str, Choice]) -> "Plan":
        """The plan with other choices, which bring their reasons and sources."""
        return replace(
            self,
            **{field: choice.value for field, choice in choices.items()},
            reasons={**self.reasons, **{f: choice.reason for f, choice in choices.items()}},
            sources={**self.sources, **{f: choice.source for f, choice in choices.items()}},
        )

    def settle(self, source: Source, reason: str, **values: Any) -> "Plan":
        """The plan with values that one source chose, for one reason."""
        return self.with_choices({f: Choice(v, reason, source) for f, v in values.items()})


def choose(
    settings: Settings,
    stats: DatasetStats,
    hardware: Hardware,
    pretrained: Pretrained | None = None,
    settled: Mapping[str, Choice] | None = None,
) -> Plan:
    """Make every choice for a training run; a pure function.

    Args:
        settings: what the user asked for.
        stats: the readable clips in figures.
        hardware: the machine.
        pretrained: weights that were found, or None.
        settled: choices that are made already, whoever made them; the others follow from them.
    """
    choices, scratch = _Choices(settings, settled or {}), pretrained is None
    made, decide = choices.made, choices.decide
    decide("mode", "mode", lambda: _mode(settings))
    backbone = decide("backbone", "backbone", lambda: _backbone(stats, hardware, pretrained))
    facts = BACKBONES[backbone]
    made["pretrained"] = _pretrained(pretrained)
    made["window_size"] = _window_size(pretrained)
    made["head_grid"] = None, "the mean over the feature map, as published"
    made["num_classes"] = _num_classes(settings, stats)
    size = _choose_clips(choices, stats, hardware, backbone)
    precision = decide("precision", "precision", lambda: _precision(hardware, backbone))
    cost_gib = facts.gib_per_clip * size * (1.0 if precision == "float32" else HALF_TYPE_SHARE)
    room_gib = room_for_clips(facts, hardware)
    key = "gradient_checkpointing"
    if decide(key, key, lambda: gradient_checkpointing(room_gib / cost_gib)):
        cost_gib *= CHECKPOINTING_SHARE
    batch = _choose_batch(choices, stats, hardware, room_gib / cost_gib, scratch=scratch)
    epochs = decide("epochs", "epoch", lambda: optimization.epochs(stats, scratch))
    _choose_optimization(choices, batch, epochs, scratch=scratch)
    decide("drop_path", "drop_path", lambda: optimization.drop_path(backbone))
    made["label_smoothing"] = optimization.label_smoothing(stats, scratch)
    _choose_balance(choices, stats)
    _choose_reading(choices, stats, scratch=scratch)
    macs = facts.gmacs_per_clip * 1e9 * size * epochs * stats.num_train
    if decide("compile", "compile", lambda: _compile(macs, hardware)) and not hardware.compiler:
        made["compile"] = True, f"{GIVEN}; does nothing, as there is no C compiler", USER
    made["device"] = hardware.device, hardware.device_name
    _choose_processes(choices, hardware)
    made["disk_gib"] = disk_gib(facts)
    decide("workers", "workers", lambda: _workers(hardware))
    choices.take("evaluation", "epochs between two evaluations")
    decide("patience", "patience", lambda: optimization.patience(settings, epochs, scratch))
    early = early_clips(settings, made["resolution"][0])
    made["early_side"], made["early_share"] = early
    budget = settings.time_budget
    made["time_budget_sec"] = (None, "no limit") if budget == AUTO else (budget, GIVEN, USER)
    decide("seed", "seed", lambda: (0, "the same run every time"))
    every = {name: Choice(*chosen) for name, chosen in made.items()}
    return Plan(
        **{name: choice.value for name, choice in every.items()},
        reasons={name: choice.reason for name, choice in every.items()},
        sources={name: choice.source for name, choice in every.items()},
    )


class _Choices:
    """What is chosen so far; what the user set, or is settled already, is taken as it is."""

    def __init__(self, settings: Settings, settled: Mapping[str, Choice]) -> None:
        self.settings = settings
        self.settled = settled
        self.made: dict[str, Chosen] = {}

    def decide(self, field: str, key: str, rule: Callable[[], Chosen]) -> Any:
        """Choose `field` by the config's `key`, or by the rule where that is auto."""
        asked = getattr(self.settings, key)
        if field in self.settled:
            self.made[field] = self.settled[field]
        else:
            self.made[field] = rule() if asked == AUTO else (asked, GIVEN, USER)
        return self.made[field][0]

    def take(self, key: str, reason: str) -> None:
        """Take a key of the config whose default is a value, for that reason."""
        given = key in self.settings.model_fields_set
        self.made[key] = getattr(self.settings, key), reason, USER if given else RULE


def _choose_clips(
    choices: _Choices, stats: DatasetStats, hardware: Hardware, backbone: str
) -> float:
    """Choose what a clip is; gives its size as a multiple of 8x224x224."""
    made, decide = choices.made, choices.decide
    span_sec = clip_shape.span(choices.settings, stats.seconds_median)
    clip_len = decide(
        "clip_len", "clip_len", lambda: clip_shape.clip_len(span_sec, backbone, hardware)
    )
    given = choices.settings.video_length != AUTO
    interval = clip_shape.frame_interval(span_sec, clip_len, given=given, stats=stats)
    made["frame_interval_sec"] = interval
    side = decide("resolution", "resolution", lambda: clip_shape.resolution(backbone, stats))
    made["short_side"] = round(side * ROOM_FOR_CROPS), "room for crops; for larger frames"
    made["test_clips"] = clip_shape.test_clips(stats.seconds_median, span_sec)
    return clip_len / 8 * (side / 224) ** 2


def _choose_batch(
    choices: _Choices,
    stats: DatasetStats,
    hardware: Hardware,
    clips_that_fit: float,
    *,
    scratch: bool,
) -> int:
    """Choose the clips of a step by what learns well, and cut them up by what fits."""
    processes, asked = hardware.processes, choices.settings.videos_per_gpu
    of_each = GIVEN if processes == 1 else f"{asked} of each process, {GIVEN}"
    one_each = 1, "a clip is read again for each sample"
    repeats = choices.decide("repeats", "repeats", lambda: one_each)
    auto = batch_size(stats, processes, scratch=scratch)
    chosen = auto if asked == AUTO else (asked * processes, of_each, USER)
    choices.made["batch_size"] = whole_readings(chosen, repeats)
    batch = choices.made["batch_size"][0]
    choices.made["accumulation"] = accumulation(batch, processes, clips_that_fit)
    return batch


def _choose_processes(choices: _Choices, hardware: Hardware) -> None:
    made, settings = choices.made, choices.settings
    where = f"{hardware.local_processes} on this machine"
    made["processes"] = hardware.processes, where if hardware.processes > 1 else "this one"
    choices.take("strategy", "how processes share the model")
    on_gpu = "the same bits in every run" if settings.deterministic else "off, which is faster"
    on_cpu = "a CPU computes the same bits in any case"
    choices.take("deterministic", on_cpu if hardware.device == "cpu" else on_gpu)
    choices.take("checkpoint_minutes", "at most that much can be lost")


def _choose_optimization(choices: _Choices, batch: int, epochs: int, *, scratch: bool) -> None:
    made = choices.made
    made["warmup_epochs"] = optimization.warmup(epochs, scratch)
    made["flat_epochs"] = optimization.flat(epochs, scratch)
    choices.decide("lr", "lr", lambda: optimization.lr(batch, scratch, choices.made["backbone"][0]))
    made["backbone_lr_mult"] = optimization.backbone_lr(scratch)
    made["layer_decay"] = optimization.layer_decay(scratch)
    made["beta2"] = optimization.beta2(scratch)
    made["weight_decay"] = 0.05, "AdamW's value in the Video Swin paper"
    choices.decide("ema", "ema", lambda: (0.0, "none: the best weights are averaged at the end"))
    made["soup"] = optimization.soup(choices.settings)
    made["max_grad_norm"] = 1.0, "stops a rare bad batch from throwing the weights off"


def _choose_balance(choices: _Choices, stats: DatasetStats) -> None:
    key = "class_balance"
    balanced = choices.decide(key, key, lambda: optimization.class_balance(stats))
    if balanced and not TASKS[stats.task].balances_loss:
        raise ConfigError(
            "class_balance: on needs clips of one class each; here they have several."
        )


def _choose_reading(choices: _Choices, stats: DatasetStats, *, scratch: bool) -> None:
    """Choose how clips are read and changed; the cache stays open until speeds are known."""
    made, decide = choices.made, choices.decide
    decide("decoder", "decoder", lambda: ("pyav", "decodes no more than is wanted, and is exact"))
    made["jitter"] = jitter(scratch)
    made["smallest_crop"] = smallest_crop(scratch)
    decide("flip", "flip", lambda: flip(stats))
    made["augment"] = augment(choices.settings, stats, scratch, made["backbone"][0])
    made["cache"], made["cache_gib"] = (None, "not decided yet"), (0.0, "not decided yet")
    choices.take("max_bad", "more is taken for a fault of the disk")


def _mode(settings: Settings) -> Chosen:
    if settings.backbone == DESCRIPTORS:
        return "probe", "descriptors have nothing to train but a head"
    return "train", "all of the model learns"


def _backbone(stats: DatasetStats, hardware: Hardware, pretrained: Pretrained | None) -> Chosen:
    if pretrained is not None:
        return pretrained.backbone, f"fits the pretrained weights ({pretrained.source})"
    if hardware.device == "cpu":
        return "conv_nano", "from scratch on a CPU: learns more than swin_nano in the same time"
    fitting = [n for n, f in BACKBONES.items() if f.scratch_clips <= stats.num_train]
    return fitting[-1], f"from scratch: the size that {stats.num_train} clips can train"


def _pretrained(pretrained: Pretrained | None) -> Chosen:
    if pretrained is None:
        return None, "no weights were found or named: training starts from scratch"
    return pretrained.path, pretrained.source


def _window_size(pretrained: Pretrained | None) -> Chosen:
    if pretrained is None or pretrained.window_size == PUBLISHED_WINDOW:
        return PUBLISHED_WINDOW, "as published"
    return pretrained.window_size, "that of the pretrained weights"


def _num_classes(settings: Settings, stats: DatasetStats) -> Chosen:
    why = ("from the lists", RULE) if settings.num_class == AUTO else (GIVEN, USER)
    return stats.num_classes, *why


def _precision(hardware: Hardware, backbone: str) -> Chosen:
    name = hardware.device_name
    if backbone == DESCRIPTORS:
        return "float32", "that of all descriptors"
    if hardware.fast_bfloat16:
        return "bfloat16", f"fast on {name}; weights and loss stay float32"
    if hardware.fast_float16:
        return "float16", f"fast on {name}; weights and loss stay float32, the loss is scaled"
    return "float32", f"the fastest safe type on {name}"


def _compile(macs: float, hardware: Hardware) -> Chosen:
    if hardware.device == "cpu":
        return False, "on a CPU it takes longer than it saves"
    if not hardware.compiler:
        return False, "there is no C compiler, which it needs"
    # A training step takes three forward passes, each two operations per multiply-accumulate.
    saved_sec = SAVED_BY_COMPILING * 6 * macs / GPU_FLOPS
    why = f"about {saved_sec:.0f} s saved over the run, {COMPILING_SEC:.0f} s to compile"
    return saved_sec > COMPILING_SEC, why


def _workers(hardware: Hardware) -> Chosen:
    cores = hardware.cores // hardware.local_processes
    if hardware.device == "cpu":
        return min(max(cores - 1, 1), 4), "the model needs the other cores"
    return min(max(cores - 1, 1), 16), f"{hardware.cores} cores"
