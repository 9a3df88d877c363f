"""How training clips are changed: rules for crops, mirror images, jitter and the rest."""

import re

from autox_video.config.settings import AUTO, Settings
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.planning.source import GIVEN, USER, Chosen

AUGMENTATIONS: dict[str, dict[str, float]] = {
    "light": {},
    "recolour": {"recolour": 0.4},
    "medium": {"colour": 0.2, "erasing": 0.25},
    "strong": {"rand_augment": 7, "erasing": 0.25, "mixup": 0.8, "cutmix": 1.0},
}
"""What each adds to random crops and mirror images: fields of models.augment.Strengths."""
DIRECTION_WORDS = re.compile(
    r"(?<![a-z])(left|right|clockwise|anticlockwise|counterclockwise|east|west)(wards?)?(?![a-z])"
)

MANY_CLIPS = 10_000
"""Training clips, from which on there are colours enough: an estimate."""
EARLY_SHARE, EARLY_SIDE = 0.5, 0.75
"""Where clips are smaller at first: of the training, and their side over that of the others."""
GRAIN_PX = 28  # whole windows of 7 tokens of 4 px in the first stage of a Swin


def jitter(scratch: bool) -> Chosen:
    """Whether training frames are moved within their slot of time."""
    if scratch:
        return False, "from scratch: even motion is learned sooner"
    return True, "other frames in every epoch"


def smallest_crop(scratch: bool) -> Chosen:
    """Least share of the area that a random crop keeps."""
    if scratch:
        return 0.8, "from scratch: mild crops, so that what moves stays in sight"
    return 0.08, "the usual range for pretrained weights"


def early_clips(settings: Settings, resolution: int) -> tuple[Chosen, Chosen]:
    """Side of the clips in the first part of training, and that part."""
    side = early_side(resolution)
    if settings.progressive == AUTO:
        why = "all clips are whole: there is time"
        return (resolution, why), (0.0, why)
    if settings.progressive is False:
        return (resolution, GIVEN, USER), (0.0, GIVEN, USER)
    if side < resolution:
        return (side, GIVEN, USER), (EARLY_SHARE, GIVEN, USER)
    why = f"progressive: on changes nothing, clips of {resolution} px are small already"
    return (resolution, why, USER), (0.0, why, USER)


def early_side(resolution: int) -> int:
    """The side of smaller clips, in px; that of the others where they are small already."""
    return min(resolution, GRAIN_PX * max(2, round(EARLY_SIDE * resolution / GRAIN_PX)))


def flip(stats: DatasetStats) -> Chosen:
    """Whether half of the clips are mirrored: only where that cannot change the class."""
    if not stats.named:
        return True, "no class names that speak of a direction"
    telling = [name for name in stats.class_names if tells_direction(name)]
    if telling:
        return False, f"a mirror image would change the class: {', '.join(telling[:3])}"
    return True, "no class name speaks of a direction"


def augment(settings: Settings, stats: DatasetStats, scratch: bool, backbone: str) -> Chosen:
    """What is added to crops and mirror images."""
    if settings.augment != AUTO:
        return AUGMENTATIONS[settings.augment], f"{settings.augment}, {GIVEN}", USER
    if scratch and backbone == "conv_nano" and stats.num_train < MANY_CLIPS:
        return AUGMENTATIONS["recolour"], "recolour: from scratch, few clips hold too few colours"
    if scratch:
        return AUGMENTATIONS["light"], "light: from scratch, plain clips are learned sooner"
    return AUGMENTATIONS["light"], "light: crops and mirror images, as Video Swin is published"


def tells_direction(name: str) -> bool:
    """Whether a class name says that a mirror image would belong to another class."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return bool(DIRECTION_WORDS.search(spaced))
