"""Settings, statistics and hardware → a Plan: every automatic choice, made here and nowhere else.

The fields of `Plan` are the table of what is chosen: its key of the config, its rule, and whether
it may change when a run is resumed.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from autox_video.backbones.video_swin.spec import WINDOW_SIZE
from autox_video.backbones.weights.known_weights import Pretrained
from autox_video.config.choices import BACKBONES
from autox_video.planning import augmentation, clip_shape, compute, optimization
from autox_video.planning.choice import USER, Choice, Source, by_rule, by_user
from autox_video.planning.draft import Basis, Draft, Field, always, chosen, computed, from_key

MAY_BE_LOST = "at most that much can be lost"
LAST_DIGITS = "results may differ in their last digits from here on"
OTHER_EPOCHS = (
    "the learning rate falls over {now} epochs from here on, so the result is not that of a run "
    "which began with {now}; where as many are over, training ends at once"
)
OTHER_PROCESSES = f"the batch of all together is {{batch}}, lr stays {{lr:g}}; {LAST_DIGITS}"


def _mode(draft: Draft) -> Choice:
    if not draft.spec.learns:
        return by_rule("probe", f"{draft.backbone} has nothing to train but a head")
    return by_rule("train", "all of the model learns")


def _backbone(draft: Draft) -> Choice:
    weights, clips = draft.weights, draft.stats.num_train
    if weights is not None:
        return by_rule(weights.backbone, f"fits the pretrained weights ({weights.source})")
    scratch_clips = {name: BACKBONES[name].scratch_clips for name in BACKBONES}
    fitting = [name for name, n in scratch_clips.items() if n is not None and n <= clips]
    if draft.hardware.device == "cpu":
        quickest = min(fitting, key=lambda name: BACKBONES[name].gmacs_per_clip)
        return by_rule(quickest, "from scratch on a CPU: learns the most in the same time")
    largest = max(fitting, key=lambda name: BACKBONES[name].scratch_clips)
    return by_rule(largest, f"from scratch: the size that {clips} clips can train")


def _pretrained(draft: Draft) -> Choice:
    if draft.weights is None:
        return by_rule(None, "no weights were found or named: training starts from scratch")
    return by_rule(draft.weights.path, draft.weights.source)


def _window_size(draft: Draft) -> Choice:
    window = draft.weights.window_size if draft.weights else WINDOW_SIZE
    why = "as published" if window == WINDOW_SIZE else "that of the pretrained weights"
    return by_rule(window, why)


def _num_classes(draft: Draft) -> Choice:
    classes = draft.stats.num_classes
    return (
        by_rule(classes, "from the lists") if draft.asked("num_class") is None else by_user(classes)
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """Every choice that a training run rests on."""

    mode: str = chosen(_mode, "mode")
    """`train`: all of the model learns; `probe`: a head on features that stay as they are."""
    backbone: str = chosen(_backbone, "backbone")
    pretrained: str | None = computed(_pretrained, "load_from")
    """Path of the weights to start from; None: from scratch."""
    window_size: tuple[int, int, int] = computed(_window_size)
    """Time steps, rows and columns of an attention window."""
    head_grid: tuple[int, int, int] | None = computed(
        always(None, "the mean over the feature map, as published")
    )
    """Cells over time, rows and columns that the head attends over; None: it takes their mean."""
    num_classes: int = computed(_num_classes, "num_class")
    clip_len: int = chosen(clip_shape.clip_len, "clip_len")
    """Frames in one clip."""
    frame_interval_sec: float = computed(clip_shape.frame_interval_sec, "video_length")
    """Seconds between two frames of a clip."""
    resolution: int = chosen(clip_shape.resolution, "resolution")
    """Side of the square the model sees, in px."""
    early_side: int = computed(augmentation.early_side, "progressive")
    """Side of the clips in the first part of training, in px: smaller ones save time."""
    early_share: float = computed(augmentation.early_share, "progressive")
    """Of the training steps, that part."""
    decoder: str = chosen(always("pyav", "decodes no more than is wanted, and is exact"), "decoder")
    """What decodes the clips: `pyav`, `torchcodec` or `decord`."""
    short_side: int = computed(clip_shape.short_side)
    """Frames at least twice as large are scaled down to this shorter side in decoding, in px."""
    jitter: bool = computed(augmentation.jitter)
    """Whether training frames are moved within their slot of time at random."""
    test_clips: int = computed(clip_shape.test_clips)
    """Clips taken over time from a video in testing, each with three crops."""
    batch_size: int = computed(
        compute.batch_size, "videos_per_gpu", change="lr stays {lr:g}; steps have other clips now"
    )
    """Clips in one training step, of all processes together."""
    accumulation: int = computed(compute.accumulation, change="", anew=True)
    """Parts into which a process cuts its clips of a step, one after the other, to save memory."""
    epochs: int = chosen(optimization.epochs, "epoch", change=OTHER_EPOCHS)
    warmup_epochs: float = computed(optimization.warmup_epochs)
    flat_epochs: float = computed(optimization.flat_epochs)
    """Epochs at the full learning rate between warm-up and cosine."""
    lr: float = chosen(optimization.lr, "lr")
    """Learning rate of the head, for the whole batch."""
    backbone_lr_mult: float = computed(optimization.backbone_lr_mult)
    """The learning rate of the backbone's last block over the head's."""
    layer_decay: float = computed(optimization.layer_decay)
    """The learning rate of a block over that of the next."""
    beta2: float = computed(optimization.beta2)
    """How long AdamW remembers squared gradients: 1 / (1 - beta2) steps."""
    weight_decay: float = computed(always(0.05, "AdamW's value in the Video Swin paper"))
    max_grad_norm: float = computed(always(1.0, "a rare bad batch cannot throw the weights off"))
    """Gradients are scaled down to this 2-norm."""
    ema: float = chosen(
        always(0.0, "none: the best weights are averaged at the end"),
        "ema",
        change="other averages are evaluated from here on",
    )
    """EMA decay of the weights; 0: there is no average."""
    soup: int = computed(optimization.soup)
    """So many of the best weights are averaged at the end; 0: none."""
    drop_path: float = chosen(optimization.drop_path, "drop_path")
    label_smoothing: float = computed(optimization.label_smoothing)
    class_balance: bool = computed(optimization.class_balance, "class_balance")
    """Whether the loss makes up for classes being common or rare."""
    smallest_crop: float = computed(augmentation.smallest_crop)
    """Least share of a frame's area that a random crop in training keeps."""
    flip: bool = chosen(augmentation.flip, "flip")
    augment: Mapping[str, float] = computed(augmentation.augment, "augment")
    """What training adds to crops and flips: fields of the model's augmentation `Strengths`."""
    cache: str | None = computed(always(None, "not decided yet"), "cache", change="")
    """Folder for decoded frames; None: every clip is decoded each time."""
    cache_gib: float = computed(always(0.0, "not decided yet"), "cache", change="")
    """Greatest size of that folder, in GiB."""
    max_bad: float = from_key(
        "max_bad", "more is taken for a fault of the disk", change="it counts from here on"
    )
    """Greatest share of the training clips that may turn out unreadable in training."""
    precision: str = chosen(
        compute.precision, "precision", change=f"the weights are float32 as before; {LAST_DIGITS}"
    )
    """Number type of the computation: `float32`, `bfloat16` or `float16`."""
    gradient_checkpointing: bool = chosen(
        compute.gradient_checkpointing,
        "gradient_checkpointing",
        change="only time and memory change",
    )
    """Whether blocks are computed again in the backward pass instead of kept."""
    compile: bool = computed(compute.compiled, "compile", change=LAST_DIGITS, anew=True)
    """Whether torch compiles the backbone's blocks."""
    device: str = computed(compute.device, change=LAST_DIGITS, anew=True)
    processes: int = computed(compute.processes, change=OTHER_PROCESSES, anew=True)
    """Processes that train together."""
    strategy: str = from_key("strategy", "how processes share the model", change=LAST_DIGITS)
    """How they share the model: `ddp` or `fsdp`."""
    deterministic: bool = from_key(
        "deterministic", "off is faster; a CPU gives the same bits anyway", change=LAST_DIGITS
    )
    """Whether a GPU computes the same bits in every run."""
    workers: int = chosen(compute.workers, "workers", change="", anew=True)
    """Processes that decode clips, for each that trains."""
    checkpoint_minutes: float = from_key("checkpoint_minutes", MAY_BE_LOST, change=MAY_BE_LOST)
    """Greatest time between two checkpoints."""
    disk_gib: float = computed(compute.disk_gib, change="", anew=True)
    """What the checkpoints of the run take while one is written, in GiB."""
    evaluation: int = from_key(
        "evaluation",
        "epochs between two evaluations",
        change="the best weights are looked for at other epochs from here on",
    )
    """Epochs between two evaluations; 0: none."""
    patience: int = chosen(optimization.patience, "patience", change="it counts from here on")
    """Evaluations without a better one, after which training ends; 0: it goes on to its end."""
    time_budget_sec: float | None = chosen(
        always(None, "no limit"),
        "time_budget",
        change="what is left of it is planned anew; what was used counts",
        anew=True,
    )
    """What the whole run may take; None: as long as it takes."""
    seed: int = chosen(always(0, "the same run every time"), "seed")
    choices: Mapping[str, Choice]
    """Who or what chose each field, why, and on what evidence; the values are those of above."""

    def __post_init__(self) -> None:
        """Let `dataclasses.replace` change values: their choices change with them."""
        object.__setattr__(
            self,
            "choices",
            {name: replace(c, value=getattr(self, name)) for name, c in self.choices.items()},
        )

    @classmethod
    def of(cls, choices: Mapping[str, Choice]) -> "Plan":
        """The plan of choices that are made for every field."""
        return cls(**{name: choices[name].value for name in FIELDS}, choices=choices)

    @classmethod
    def from_json(cls, stored: Mapping[str, Mapping[str, Any]]) -> "Plan":
        """What `to_json` gave."""
        return cls.of({name: Choice.from_json(stored[name]) for name in FIELDS})

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Every choice as plain values."""
        return {name: choice.to_json() for name, choice in self.choices.items()}

    def as_dict(self) -> dict[str, Any]:
        """The values by field, and the `reasons`."""
        reasons = {name: choice.reason for name, choice in self.choices.items()}
        return {**{name: getattr(self, name) for name in FIELDS}, "reasons": reasons}

    def is_given(self, name: str) -> bool:
        """Whether the user chose this field."""
        return self.choices[name].source == USER

    def with_choices(self, choices: Mapping[str, Choice]) -> "Plan":
        """The plan with other choices of some fields."""
        return Plan.of({**self.choices, **choices})

    def settle(self, source: Source, reason: str, **values: Any) -> "Plan":
        """The plan with values that one source chose, for one reason."""
        return self.with_choices({f: Choice(v, source, reason) for f, v in values.items()})

    def with_evidence(self, evidence: Mapping[str, Mapping[str, Any]]) -> "Plan":
        """The plan with more of what choices rest on, by field."""
        return self.with_choices(
            {
                name: replace(choice, evidence={**choice.evidence, **evidence[name]})
                for name, choice in self.choices.items()
                if name in evidence
            }
        )

    @property
    def weights(self) -> Pretrained | None:
        """What it starts from, None where that is from scratch."""
        if self.pretrained is None:
            return None
        source = self.choices["pretrained"].reason
        return Pretrained(self.pretrained, self.backbone, source, self.window_size)


FIELDS: Mapping[str, Field] = {
    field.name: field.metadata["how"]
    for field in dataclasses.fields(Plan)
    if "how" in field.metadata
}
"""How each field is chosen, in the order in which the plan is shown."""


def choose(basis: Basis, settled: Mapping[str, Choice] | None = None) -> Plan:
    """Make every choice for a training run; those that follow from settled ones fit them.

    Raises:
        ConfigError: what the user asks for does not go with the clips.
    """
    draft = Draft(basis, FIELDS, settled or {})
    return Plan.of({name: draft.choice(name) for name in FIELDS})
