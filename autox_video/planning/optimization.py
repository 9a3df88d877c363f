"""Rules for the epochs, the learning rate, frozen stages, the loss and early stopping."""

import math

from autox_video.core.errors import ConfigError
from autox_video.planning.choice import BUDGET, GIVEN, Choice, by_rule, by_user
from autox_video.planning.compute import MOST_AVERAGED
from autox_video.planning.draft import Draft, by_start
from autox_video.tasks.task import TASKS

PRETRAINED_EPOCHS = 30
SCRATCH_CLIPS_SEEN = 18_000
SCRATCH_EPOCHS = (20, 200)
FEWEST_WAITED = 4
WAITED_SHARE = 1 / 3
FINISHED_LOSS, FINISHING_CLIPS = 0.05, 35
"""Largest calibrated loss and smallest number of validation clips for which a perfect validation
score ends training early. If 35 of 35 clips are classified correctly, the lower bound of the
accuracy's 95% interval is 90%."""
END_KEYS = ("epoch", "patience", "time_budget")
"""Keys that let the user decide when training ends."""
IMBALANCE = 4  # ratio of the largest class size to the smallest
TRAINING_KEYS = (
    *("epoch", "lr", "layer_decay", "warmup_epochs", "weight_decay", "label_smoothing"),
    *(
        "freeze",
        "lora",
        "time_shift",
        "drop_path",
        "ema",
        "patience",
        "augment",
        "augment_strength",
        "progressive",
    ),
)
"""Keys that have no effect in `mode: probe`."""

beta2 = by_start(
    scratch=(0.95, "from scratch: a shorter average leaves the first plateau sooner"),
    pretrained=(0.999, "AdamW's default"),
)
layer_decay = by_start(
    scratch=(1.0, "from scratch: the same rate for all layers"),
    pretrained=(0.9, "early layers are the most general and change least"),
)


def backbone_lr_mult(draft: Draft) -> Choice:
    """Choose the learning rate of the backbone's last block, relative to the head's."""
    if draft.scratch:
        return by_rule(1.0, "from scratch: the same rate for all layers")
    if draft.lora:
        # Schulman et al., "LoRA Without Regret" (2025).
        return by_rule(1.0, "LoRA adapters need about ten times the rate of pretrained layers")
    return by_rule(0.1, "pretrained layers need small changes")


def epochs(draft: Draft) -> Choice:
    """Choose the number of epochs."""
    if not draft.scratch:
        return by_rule(PRETRAINED_EPOCHS, "fine-tunes pretrained weights")
    (fewest, most), clips = SCRATCH_EPOCHS, draft.stats.num_train
    count = min(max(math.ceil(SCRATCH_CLIPS_SEEN / clips), fewest), most)
    return by_rule(count, f"from scratch: {count * clips} training samples in total")


def warmup_epochs(draft: Draft) -> Choice:
    """Choose the number of epochs of linear warm-up.

    Raises:
        ConfigError: the requested warm-up is at least as long as the whole run.
    """
    asked, epochs = draft.asked("warmup_epochs"), draft.epochs
    most = 1.0 if draft.scratch else 2.5
    if asked is None:
        return by_rule(min(most, epochs / 4), "linear, before the cosine")
    if asked < epochs:
        return by_user(asked)
    if draft.choice("epochs").source == BUDGET:
        why = f"{asked:g} {GIVEN}, but only {epochs} epochs fit into time_budget"
        return by_user(epochs / 4, why)
    raise ConfigError(
        f"warmup_epochs: {asked:g} must be less than the {epochs} epochs of the run; give fewer, "
        "or set `epoch`."
    )


def flat_epochs(draft: Draft) -> Choice:
    """Choose the number of epochs at the full learning rate."""
    if draft.scratch:
        why = "from scratch: the first plateau needs the full learning rate"
        # Even after a long warm-up, a quarter of the epochs is left for the cosine decay.
        rest = max(0.0, 0.75 * draft.epochs - draft.warmup_epochs)
        return by_rule(min(draft.epochs / 2, rest), why)
    return by_rule(0.0, "the cosine starts after the warm-up")


def freeze(draft: Draft) -> Choice:
    """Choose the number of frozen stages of the backbone, counted from the input.

    Raises:
        ConfigError: the backbone has too few stages, or there are no pretrained weights.
    """
    asked, stages = draft.asked("freeze"), draft.spec.stages
    if draft.mode == "probe":
        return by_rule(0, "only a head is fitted")
    if not asked:
        return by_rule(0, "the whole backbone is trained") if asked is None else by_user(0)
    if not stages:
        raise ConfigError(f"freeze: {draft.backbone} has no stages to freeze; set freeze: 0.")
    if draft.scratch:
        raise ConfigError(
            "freeze: needs pretrained weights, and none were found; random weights would stay "
            "random. Set `load_from`, or freeze: 0."
        )
    if asked == "all":
        return by_user(stages, f"{GIVEN}: the whole backbone")
    if asked > stages:
        raise ConfigError(
            f"freeze: {asked} is out of range; {draft.backbone} has {stages} stages, so give 0 to "
            f"{stages}, or all."
        )
    return by_user(asked)


def lr(draft: Draft) -> Choice:
    """Choose the head's learning rate, which depends on the total batch size.

    The rate scales with the square root of the batch size, which suits AdamW (Malladi et al.,
    NeurIPS 2022). With linear scaling, the learning rate for the small batches used with small data
    sets would be too low.
    """
    batch = draft.batch_size
    rate, usual = (draft.spec.scratch_lr, 16) if draft.scratch else (1e-3, 64)
    why = f"{rate:g} at batch size {usual}, scaled by the square root to {batch}"
    return by_rule(rate * math.sqrt(batch / usual), why)


def time_shift(draft: Draft) -> Choice:
    """Choose whether an image model shifts channels between frames.

    Raises:
        ConfigError: the backbone cannot shift channels.
    """
    asked = draft.asked("time_shift")
    if draft.mode == "probe":
        return by_rule(False, "the features of a probe are not shifted")
    if asked and not draft.spec.time_shift:
        raise ConfigError(
            f"time_shift: {draft.backbone} has no convolutions before which channels can be "
            "shifted; set time_shift: false, or choose a convolutional image model of timm, such "
            "as timm:convnext_tiny.in12k_ft_in1k."
        )
    if asked is not None:
        return by_user(asked)
    if not draft.spec.time_shift:
        return by_rule(False, "only for convolutional image models")
    return by_rule(True, "without it, an image model that is trained does not see motion")


def drop_path(draft: Draft) -> Choice:
    """Choose the drop-path rate of the last block."""
    if not draft.spec.drop_path:
        why = "off for a small network: on few clips it helps as often as it hurts"
        return by_rule(0.0, why)
    return by_rule(draft.spec.drop_path, f"as published for {draft.backbone}")


def label_smoothing(draft: Draft) -> Choice:
    """Choose the amount of label smoothing."""
    if draft.scratch:
        return by_rule(0.0, "from scratch: the plain loss is easier to minimise")
    if draft.stats.num_classes == 2:
        return by_rule(0.0, "not useful for two classes")
    return by_rule(0.1, "keeps a large model from becoming overconfident")


def class_balance(draft: Draft) -> Choice:
    """Choose whether the loss and the validation score weight all classes equally.

    Raises:
        ConfigError: the task does not support the requested class balancing.
    """
    asked = draft.asked("class_balance")
    fewest, most = draft.stats.clips_per_class_min, draft.stats.clips_per_class_max
    can_balance = TASKS[draft.stats.task].balances_loss
    if asked and not can_balance:
        raise ConfigError(
            "class_balance: on needs exactly one class per clip, but clips have several here; set "
            "class_balance to off or auto."
        )
    if asked is not None:
        return by_user(asked)
    if not can_balance:
        return by_rule(False, "not available for multi-label training")
    if TASKS[draft.stats.task].finds_segments:
        return by_rule(False, "the background is the most common class in recordings, too")
    counts = f"{most} clips per class" if fewest == most else f"{fewest} to {most} clips per class"
    if most < IMBALANCE * max(fewest, 1):
        return by_rule(False, f"{counts}: balanced enough")
    return by_rule(True, f"{counts}: loss and validation weight all classes equally")


def soup(draft: Draft) -> Choice:
    """Choose the largest number of models in the model soup."""
    if not draft.evaluation:
        return by_rule(0, "without evaluations, no weights can be selected")
    why = "number of best weights to average, if the average validates better"
    return by_rule(MOST_AVERAGED, why)


def patience(draft: Draft) -> Choice:
    """Choose the number of evaluations without improvement after which training stops."""
    if draft.scratch:
        return by_rule(0, "off from scratch: learning can start late")
    evaluations = draft.epochs // max(draft.evaluation, 1)
    count = max(FEWEST_WAITED, round(evaluations * WAITED_SHARE))
    return by_rule(count, "a third of the evaluations")


def finish_loss(draft: Draft) -> Choice:
    """Choose the calibrated loss below which training ends early if validation is perfect."""
    clips = draft.stats.num_val
    if not draft.scratch:
        return by_rule(0.0, "fine-tuning is short anyway")
    if any(draft.asked(key) is not None for key in END_KEYS):
        return by_rule(0.0, "epoch, patience or time_budget say when training ends")
    if not draft.evaluation or not TASKS[draft.stats.task].calibrates:
        return by_rule(0.0, "no calibrated validation loss")
    if clips < FINISHING_CLIPS:
        return by_rule(0.0, f"{clips} validation clips may all be classified correctly by chance")
    return by_rule(
        FINISHED_LOSS, "once all validation clips are classified correctly, little is left to learn"
    )
