"""The plan of a run: every automatic choice, made from settings, statistics and hardware.

Each field of `Plan` defines the config key and the rule for a choice, and whether a resumed run may
change the choice.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from autox_video.backbones.video_swin.spec import WINDOW_SIZE
from autox_video.backbones.weights.known_weights import Pretrained
from autox_video.config.choices import BACKBONES
from autox_video.planning import augmentation, clip_shape, compute, optimization
from autox_video.planning.choice import RULE, USER, Choice, Source, by_rule, by_user
from autox_video.planning.draft import Basis, Draft, Field, always, chosen, computed, from_key

MAY_BE_LOST = "at most this much work can be lost"
LAST_DIGITS = "results may differ in the last digits from here on"
OTHER_EPOCHS = (
    "the learning rate schedule now ends at {now} epochs, so the result differs from a run that "
    "started with {now}; if that many epochs are done, training ends at once"
)
OTHER_PROCESSES = f"the total batch size is {{batch}}, lr stays {{lr:g}}; {LAST_DIGITS}"
ADDED = {
    **{"freeze": 0, "lora": 0, "time_shift": False},
    **{"augment_strength": 1.0, "finish_loss": 0.0},
}
"""Fields that older records lack, with the values that the older runs used."""


def _mode(draft: Draft) -> Choice:
    if not draft.spec.learns:
        return by_rule("probe", f"{draft.backbone} has no weights to train, only a head")
    return by_rule("train", "the whole model is trained")


def _backbone(draft: Draft) -> Choice:
    weights, clips = draft.weights, draft.stats.num_train
    if weights is not None:
        return by_rule(weights.backbone, f"the model of the pretrained weights ({weights.source})")
    scratch_clips = {name: BACKBONES[name].scratch_clips for name in BACKBONES}
    fitting = [name for name, n in scratch_clips.items() if n is not None and n <= clips]
    if draft.hardware.device == "cpu":
        quickest = min(fitting, key=lambda name: BACKBONES[name].gmacs_per_clip)
        return by_rule(quickest, "from scratch on a CPU: learns the most in the same time")
    largest = max(fitting, key=lambda name: BACKBONES[name].scratch_clips)
    return by_rule(largest, f"the largest model that {clips} clips can train from scratch")


def _pretrained(draft: Draft) -> Choice:
    if draft.weights is None:
        return by_rule(None, "no weights found or given: training from scratch")
    weights = draft.weights
    licence = f", licence {weights.licence}" if weights.licence else ""
    figures = {
        "trained_on": weights.source,
        "licence": weights.licence,
        "noncommercial": weights.noncommercial,
    }
    chosen = by_rule(weights.path, f"{weights.source}{licence}")
    return replace(chosen, evidence={"figures": figures})


def _window_size(draft: Draft) -> Choice:
    window = draft.weights.window_size if draft.weights else WINDOW_SIZE
    why = "as published" if window == WINDOW_SIZE else "as in the pretrained weights"
    return by_rule(window, why)


def _num_classes(draft: Draft) -> Choice:
    classes, asked = draft.stats.num_classes, draft.asked("num_class")
    return by_rule(classes, "counted in the lists") if asked is None else by_user(classes)


@dataclass(frozen=True, slots=True)
class Plan:
    """All choices of a training run."""

    mode: str = chosen(_mode, "mode")
    """`train` to train the whole model, or `probe` to fit only a head on fixed features."""
    backbone: str = chosen(_backbone, "backbone")
    pretrained: str | None = computed(_pretrained, "load_from")
    """Path of the pretrained weights; None to train from scratch."""
    window_size: tuple[int, int, int] = computed(_window_size)
    """Size of an attention window in time steps, rows and columns."""
    head_grid: tuple[int, int, int] | None = computed(
        always(None, "the head averages the feature map, as published")
    )
    """Grid (time, rows, columns) over which an attentive head attends; None for mean pooling."""
    num_classes: int = computed(_num_classes, "num_class")
    clip_len: int = chosen(clip_shape.clip_len, "clip_len")
    """Frames per clip."""
    frame_interval_sec: float = computed(clip_shape.frame_interval_sec, "video_length")
    """Seconds between two frames of a clip."""
    resolution: int = chosen(clip_shape.resolution, "resolution")
    """Side of the square input, in px."""
    early_side: int = computed(augmentation.early_side, "progressive")
    """Side of the smaller clips at the start of training (progressive resizing), in px."""
    early_share: float = computed(augmentation.early_share, "progressive")
    """Share of training steps that use smaller clips."""
    decoder: str = chosen(always("pyav", "exact, and decodes only what is needed"), "decoder")
    """Video decoder: `pyav`, `torchcodec` or `decord`."""
    short_side: int = computed(clip_shape.short_side)
    """Short side, in px, to which decoding scales frames that are at least twice as large."""
    jitter: bool = computed(augmentation.jitter)
    """Whether training frames are shifted at random within their time slots."""
    test_clips: int = computed(clip_shape.test_clips)
    """Number of test clips per video, spread over time, each with three crops."""
    batch_size: int = computed(
        compute.batch_size,
        "videos_per_gpu",
        change="lr stays {lr:g}; from here on, steps use different clips",
    )
    """Total number of clips per training step, over all processes."""
    accumulation: int = computed(compute.accumulation, change="", anew=True)
    """Number of gradient accumulation parts into which a process splits a step to save memory."""
    epochs: int = chosen(optimization.epochs, "epoch", change=OTHER_EPOCHS)
    warmup_epochs: float = computed(optimization.warmup_epochs, "warmup_epochs")
    flat_epochs: float = computed(optimization.flat_epochs)
    """Number of epochs at the full learning rate, between the warm-up and the cosine decay."""
    freeze: int = computed(optimization.freeze, "freeze")
    """Number of the backbone's first stages that are frozen."""
    lora: int = computed(compute.lora, "lora")
    """Rank of the LoRA adapters, which are trained in place of the backbone's own weights; 0 for no
    adapters."""
    lr: float = chosen(optimization.lr, "lr")
    """Learning rate of the head at the total batch size."""
    backbone_lr_mult: float = computed(optimization.backbone_lr_mult)
    """Learning rate of the backbone's last block, relative to the head's learning rate."""
    layer_decay: float = chosen(optimization.layer_decay, "layer_decay")
    """Ratio of a block's learning rate to the learning rate of the next block."""
    beta2: float = computed(optimization.beta2)
    """AdamW's beta2: decay rate of the moving average of squared gradients."""
    weight_decay: float = chosen(always(0.05, "as in the Video Swin paper"), "weight_decay")
    max_grad_norm: float = computed(always(1.0, "limits the effect of a bad batch"))
    """Maximum 2-norm of the gradients; larger gradients are scaled down."""
    ema: float = chosen(
        always(0.0, "off: the best weights are averaged at the end"),
        "ema",
        change="from here on, a different average is evaluated",
    )
    """EMA decay of the weights; 0 for no EMA."""
    soup: int = computed(optimization.soup)
    """Largest number of models in the model soup; 0 for no soup."""
    time_shift: bool = computed(optimization.time_shift, "time_shift")
    """Whether an image model shifts channels between frames."""
    drop_path: float = chosen(optimization.drop_path, "drop_path")
    label_smoothing: float = chosen(optimization.label_smoothing, "label_smoothing")
    class_balance: bool = computed(optimization.class_balance, "class_balance")
    """Whether the loss and the validation score weight all classes equally."""
    smallest_crop: float = computed(augmentation.smallest_crop)
    """Smallest share of a frame's area that a random crop keeps if `augment_strength` is 1."""
    flip: bool = chosen(augmentation.flip, "flip")
    augment: Mapping[str, float] = computed(augmentation.augment, "augment")
    """Augmentation in addition to crops and flips, as fields of `Strengths`."""
    augment_strength: float = chosen(augmentation.augment_strength, "augment_strength")
    """Factor for `augment` and exponent for `smallest_crop`; 0 turns off both augmentations."""
    cache: str | None = computed(always(None, "not chosen yet"), "cache", change="")
    """Folder for decoded frames; None for no cache."""
    cache_gib: float = computed(always(0.0, "not chosen yet"), "cache", change="")
    """Size limit of the cache folder, in GiB."""
    max_bad: float = from_key(
        "max_bad", "a larger share would point to a faulty disk", change="from here on"
    )
    """Largest share of training clips that may become unreadable during training."""
    precision: str = chosen(
        compute.precision, "precision", change=f"the weights stay in float32; {LAST_DIGITS}"
    )
    """Precision (dtype) of the backbone: `float32`, `bfloat16` or `float16`."""
    gradient_checkpointing: bool = chosen(
        compute.gradient_checkpointing,
        "gradient_checkpointing",
        change="only time and memory change",
    )
    """Whether activations are recomputed in the backward pass, to save memory."""
    compile: bool = computed(compute.compiled, "compile", change=LAST_DIGITS, anew=True)
    """Whether the backbone's blocks are compiled with torch.compile."""
    device: str = computed(compute.device, change=LAST_DIGITS, anew=True)
    processes: int = computed(compute.processes, change=OTHER_PROCESSES, anew=True)
    """Number of training processes."""
    strategy: str = from_key("strategy", "only matters with several processes", change=LAST_DIGITS)
    """Strategy for distributed training, `ddp` or `fsdp`."""
    deterministic: bool = from_key(
        "deterministic", "off is faster; a CPU is deterministic anyway", change=LAST_DIGITS
    )
    """Whether runs on a GPU are bitwise reproducible."""
    workers: int = chosen(compute.workers, "workers", change="", anew=True)
    """Number of data-loading workers per training process."""
    checkpoint_minutes: float = from_key("checkpoint_minutes", MAY_BE_LOST, change=MAY_BE_LOST)
    """Longest time between two checkpoints, in minutes."""
    disk_gib: float = computed(compute.disk_gib, change="", anew=True)
    """Disk space for the checkpoints, in GiB, including a checkpoint that is being written."""
    evaluation: int = from_key(
        "evaluation",
        "epochs between evaluations",
        change="from here on, other epochs are evaluated",
    )
    """Number of epochs between evaluations; 0 for no evaluation."""
    patience: int = chosen(optimization.patience, "patience", change="from here on")
    """Number of evaluations without improvement after which training stops; 0 to never stop."""
    finish_loss: float = computed(optimization.finish_loss, change="from here on")
    """Calibrated validation loss, in nats, below which a perfect validation score ends training
    early, after annealing the learning rate; 0 to never end training early."""
    time_budget_sec: float | None = chosen(
        always(None, "no limit"),
        "time_budget",
        change="the rest of the run is planned again; the time already used counts",
        anew=True,
    )
    """Time limit of the whole run; None for no limit."""
    seed: int = chosen(always(0, "fixed, so that runs can be repeated"), "seed")
    choices: Mapping[str, Choice]
    """The Choice made for each field, with the same value as the field."""

    def __post_init__(self) -> None:
        """Update the choices with values changed by `dataclasses.replace`."""
        object.__setattr__(
            self,
            "choices",
            {name: replace(c, value=getattr(self, name)) for name, c in self.choices.items()},
        )

    @classmethod
    def of(cls, choices: Mapping[str, Choice]) -> "Plan":
        """Return the plan with the given choices, one for each field."""
        return cls(**{name: choices[name].value for name in FIELDS}, choices=choices)

    @classmethod
    def from_json(cls, stored: Mapping[str, Mapping[str, Any]]) -> "Plan":
        """Return the plan stored by `to_json`, possibly by an earlier version."""
        added = {name: Choice(ADDED[name], RULE, "default") for name in ADDED if name not in stored}
        made = {name: Choice.from_json(stored[name]) for name in FIELDS if name not in added}
        return cls.of(made | added)

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return all choices as plain JSON values."""
        return {name: choice.to_json() for name, choice in self.choices.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return the values of all fields, with the reasons under the key `reasons`."""
        reasons = {name: choice.reason for name, choice in self.choices.items()}
        return {**{name: getattr(self, name) for name in FIELDS}, "reasons": reasons}

    def is_given(self, name: str) -> bool:
        """Return whether the user set this field."""
        return self.choices[name].source == USER

    def with_choices(self, choices: Mapping[str, Choice]) -> "Plan":
        """Return the plan with some of its choices replaced."""
        return Plan.of({**self.choices, **choices})

    def for_probe(self) -> "Plan":
        """Return the plan of a probe on the published features, without training-only changes."""
        return replace(self, lora=0, time_shift=False)

    def settle(self, source: Source, reason: str, **values: Any) -> "Plan":
        """Return the plan with some values replaced; the new values share a source and a reason."""
        return self.with_choices({f: Choice(v, source, reason) for f, v in values.items()})

    def with_evidence(self, evidence: Mapping[str, Mapping[str, Any]]) -> "Plan":
        """Return the plan with evidence added to some of its choices."""
        return self.with_choices(
            {
                name: replace(choice, evidence={**choice.evidence, **evidence[name]})
                for name, choice in self.choices.items()
                if name in evidence
            }
        )

    @property
    def weights(self) -> Pretrained | None:
        """The pretrained weights; None when training from scratch."""
        if self.pretrained is None:
            return None
        choice = self.choices["pretrained"]
        figures = choice.evidence.get("figures")
        figures = figures if isinstance(figures, Mapping) else {}
        return Pretrained(
            self.pretrained,
            self.backbone,
            str(figures.get("trained_on", choice.reason)),
            self.window_size,
            str(figures.get("licence", "")),
            figures.get("noncommercial") is True,
        )


FIELDS: Mapping[str, Field] = {
    field.name: field.metadata["how"]
    for field in dataclasses.fields(Plan)
    if "how" in field.metadata
}
"""The definition of each plan field, in display order."""


def choose(basis: Basis, settled: Mapping[str, Choice] | None = None) -> Plan:
    """Return the plan of a training run, keeping the choices in `settled`.

    Raises:
        ConfigError: a setting is incompatible with the clips or the model.
    """
    draft = Draft(basis, FIELDS, settled or {})
    return Plan.of({name: draft.choice(name) for name in FIELDS})
