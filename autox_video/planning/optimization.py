"""How the weights are learned: rules for epochs, learning rate, loss and when to stop."""

import math

from autox_video.core.errors import ConfigError
from autox_video.planning.choice import Choice, by_rule, by_user
from autox_video.planning.compute import MOST_AVERAGED
from autox_video.planning.draft import Draft, by_start
from autox_video.tasks.task import TASKS

PRETRAINED_EPOCHS = 30
SCRATCH_CLIPS_SEEN = 18_000
SCRATCH_EPOCHS = (20, 200)
FEWEST_WAITED = 4
WAITED_SHARE = 1 / 3
IMBALANCE = 4  # clips of the commonest class over those of the rarest

beta2 = by_start(
    scratch=(0.95, "from scratch: a short memory leaves the first plateau sooner"),
    pretrained=(0.999, "AdamW's usual value"),
)
backbone_lr_mult = by_start(
    scratch=(1.0, "from scratch: all layers alike"),
    pretrained=(0.1, "pretrained layers move slowly"),
)
layer_decay = by_start(
    scratch=(1.0, "from scratch: all layers alike"),
    pretrained=(0.9, "the first layers fit other clips as well, and move least"),
)


def epochs(draft: Draft) -> Choice:
    """How often training goes through the clips."""
    if not draft.scratch:
        return by_rule(PRETRAINED_EPOCHS, "fine-tuning pretrained weights")
    (fewest, most), clips = SCRATCH_EPOCHS, draft.stats.num_train
    count = min(max(math.ceil(SCRATCH_CLIPS_SEEN / clips), fewest), most)
    return by_rule(count, f"from scratch: {count * clips} clips seen in all")


def warmup_epochs(draft: Draft) -> Choice:
    """Epochs of the rise to the full learning rate."""
    most = 1.0 if draft.scratch else 2.5
    return by_rule(min(most, draft.epochs / 4), "linear, before the cosine")


def flat_epochs(draft: Draft) -> Choice:
    """Epochs at the full learning rate."""
    if draft.scratch:
        why = "from scratch: the first plateau needs the full learning rate"
        return by_rule(draft.epochs / 2, why)
    return by_rule(0.0, "the cosine begins after the warm-up")


def lr(draft: Draft) -> Choice:
    """The head's learning rate for a batch.

    By its square root, as AdamW wants it (Malladi et al., NeurIPS 2022): in proportion to the
    batch, the small batches of few clips would hardly move the weights.
    """
    batch = draft.batch_size
    rate, usual = (draft.spec.scratch_lr, 16) if draft.scratch else (1e-3, 64)
    why = f"{rate:g} at batch {usual}, by the square root of the batch ({batch})"
    return by_rule(rate * math.sqrt(batch / usual), why)


def drop_path(draft: Draft) -> Choice:
    """Stochastic depth of the last block."""
    if not draft.spec.drop_path:
        why = "none for a small network: it helps one set of few clips and harms another"
        return by_rule(0.0, why)
    return by_rule(draft.spec.drop_path, f"the value {draft.backbone} is published with")


def label_smoothing(draft: Draft) -> Choice:
    """Share of a label that is spread over all classes."""
    if draft.scratch:
        return by_rule(0.0, "from scratch: the plain loss learns sooner")
    if draft.stats.num_classes == 2:
        return by_rule(0.0, "two classes: nothing to spread over")
    return by_rule(0.1, "keeps a large model from growing overconfident")


def class_balance(draft: Draft) -> Choice:
    """Whether loss and validation make up for classes being common or rare.

    Raises:
        ConfigError: the user asks for it, and clips are of several classes.
    """
    asked = draft.asked("class_balance")
    fewest, most = draft.stats.clips_per_class_min, draft.stats.clips_per_class_max
    can_balance = TASKS[draft.stats.task].balances_loss
    if asked and not can_balance:
        raise ConfigError(
            "class_balance: on needs clips of one class each; here they have several."
        )
    if asked is not None:
        return by_user(asked)
    if not can_balance:
        return by_rule(False, "each class has a probability of its own")
    if most < IMBALANCE * max(fewest, 1):
        return by_rule(False, f"{fewest} to {most} clips a class: nearly alike")
    why = "the loss makes up for that, and validation counts all classes alike"
    return by_rule(True, f"{fewest} to {most} clips a class: {why}")


def soup(draft: Draft) -> Choice:
    """How many of the best weights are averaged when training is over."""
    if not draft.evaluation:
        return by_rule(0, "without evaluations none are known to be the best")
    why = "as many of the best weights, where their average validates better"
    return by_rule(MOST_AVERAGED, why)


def patience(draft: Draft) -> Choice:
    """Evaluations without a better one, after which training ends."""
    if draft.scratch:
        return by_rule(0, "from scratch: nothing may be learned for long, and then all at once")
    evaluations = draft.epochs // max(draft.evaluation, 1)
    count = max(FEWEST_WAITED, round(evaluations * WAITED_SHARE))
    return by_rule(count, "a third of the evaluations")
