"""How the weights are learned: rules for epochs, learning rate, loss and when to stop."""

import math

from autox_video.backbones.specs import BACKBONES, NANO
from autox_video.config.settings import Settings
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.planning.batch import MOST_AVERAGED
from autox_video.planning.source import Chosen
from autox_video.tasks.task import TASKS

PRETRAINED_EPOCHS = 30
SCRATCH_CLIPS_SEEN = 18_000
SCRATCH_EPOCHS = (20, 200)
FEWEST_WAITED = 4
WAITED_SHARE = 1 / 3
IMBALANCE = 4  # clips of the commonest class over those of the rarest


def epochs(stats: DatasetStats, scratch: bool) -> Chosen:
    """How often training goes through the clips."""
    if not scratch:
        return PRETRAINED_EPOCHS, "fine-tuning pretrained weights"
    fewest, most = SCRATCH_EPOCHS
    epochs = min(max(math.ceil(SCRATCH_CLIPS_SEEN / stats.num_train), fewest), most)
    return epochs, f"from scratch: {epochs * stats.num_train} clips seen in all"


def warmup(epochs: int, scratch: bool) -> Chosen:
    """Epochs of the rise to the full learning rate."""
    return min(1.0 if scratch else 2.5, epochs / 4), "linear, before the cosine"


def flat(epochs: int, scratch: bool) -> Chosen:
    """Epochs at the full learning rate."""
    if scratch:
        return epochs / 2, "from scratch: the first plateau needs the full learning rate"
    return 0.0, "the cosine begins after the warm-up"


def lr(batch: int, scratch: bool, backbone: str) -> Chosen:
    """The head's learning rate for a batch.

    By its square root, as AdamW wants it (Malladi et al., NeurIPS 2022): in proportion to the
    batch, the small batches of few clips would hardly move the weights.
    """
    rate, usual = 1e-3, 16 if scratch else 64
    if scratch and backbone != "conv_nano":
        rate = 3.5e-4
    why = f"{rate:g} at batch {usual}, by the square root of the batch ({batch})"
    return rate * math.sqrt(batch / usual), why


def beta2(scratch: bool) -> Chosen:
    """AdamW's memory of squared gradients."""
    if scratch:
        return 0.95, "from scratch: a short memory leaves the first plateau sooner"
    return 0.999, "AdamW's usual value"


def backbone_lr(scratch: bool) -> Chosen:
    """The backbone's learning rate over the head's."""
    if scratch:
        return 1.0, "from scratch: all layers alike"
    return 0.1, "pretrained layers move slowly"


def layer_decay(scratch: bool) -> Chosen:
    """The learning rate of a block over that of the next."""
    if scratch:
        return 1.0, "from scratch: all layers alike"
    return 0.9, "the first layers fit other clips as well, and move least"


def drop_path(backbone: str) -> Chosen:
    """Stochastic depth of the last block."""
    if backbone in NANO:
        return 0.0, "none for a small network: it helps one set of few clips and harms another"
    return BACKBONES[backbone].drop_path, f"the value {backbone} is published with"


def label_smoothing(stats: DatasetStats, scratch: bool) -> Chosen:
    """Share of a label that is spread over all classes."""
    if scratch:
        return 0.0, "from scratch: the plain loss learns sooner"
    if stats.num_classes == 2:
        return 0.0, "two classes: nothing to spread over"
    return 0.1, "keeps a large model from growing overconfident"


def class_balance(stats: DatasetStats) -> Chosen:
    """Whether loss and validation make up for classes being common or rare."""
    fewest, most = stats.clips_per_class_min, stats.clips_per_class_max
    if not TASKS[stats.task].balances_loss:
        return False, "each class has a probability of its own"
    if most < IMBALANCE * max(fewest, 1):
        return False, f"{fewest} to {most} clips a class: nearly alike"
    why = "the loss makes up for that, and validation counts all classes alike"
    return True, f"{fewest} to {most} clips a class: {why}"


def soup(settings: Settings) -> Chosen:
    """How many of the best weights are averaged when training is over."""
    if not settings.evaluation:
        return 0, "without evaluations none are known to be the best"
    return MOST_AVERAGED, "as many of the best weights, where their average validates better"


def patience(settings: Settings, epochs: int, scratch: bool) -> Chosen:
    """Evaluations without a better one, after which training ends."""
    if scratch:
        return 0, "from scratch: nothing may be learned for long, and then all at once"
    evaluations = epochs // max(settings.evaluation, 1)
    return max(FEWEST_WAITED, round(evaluations * WAITED_SHARE)), "a third of the evaluations"
