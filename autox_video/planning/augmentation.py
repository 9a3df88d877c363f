"""How training clips are changed: rules for crops, flips, colours and smaller clips at first."""

import re
from dataclasses import replace

from autox_video.planning.choice import GIVEN, Choice, by_rule, by_user
from autox_video.planning.draft import Draft, by_start

AUGMENTATIONS: dict[str, dict[str, float]] = {
    "light": {},
    "recolour": {"recolour": 0.4},
    "medium": {"colour": 0.2, "erasing": 0.25},
    "strong": {"rand_augment": 7, "erasing": 0.25, "mixup": 0.8, "cutmix": 1.0},
}
"""What each adds to random crops and flips: fields of the model's augmentation `Strengths`."""
DIRECTION_WORDS = re.compile(
    r"(?<![a-z])(left|right|clockwise|anticlockwise|counterclockwise|east|west)(wards?)?(?![a-z])"
)

MANY_CLIPS = 10_000
"""Training clips, from which on there are colours enough: an estimate."""
EARLY_SHARE, EARLY_SIDE = 0.5, 0.75
"""Where clips are smaller at first: of the training, and their side over that of the others."""
GRAIN_PX = 28  # whole windows of 7 tokens of 4 px in the first stage of a Swin

jitter = by_start(
    scratch=(False, "from scratch: even motion is learned sooner"),
    pretrained=(True, "other frames in every epoch"),
)
smallest_crop = by_start(
    scratch=(0.8, "from scratch: mild crops, so that what moves stays in sight"),
    pretrained=(0.08, "the usual range for pretrained weights"),
)


def early_share(draft: Draft) -> Choice:
    """The part of training, its first, in which clips are smaller."""
    side, asked = draft.resolution, draft.asked("progressive")
    if asked is None:
        return by_rule(0.0, "all clips are whole: there is time")
    if asked and smaller_side(side) == side:
        why = f"progressive: on changes nothing, clips of {side} px are small already"
        return by_user(0.0, why)
    return by_user(EARLY_SHARE if asked else 0.0)


def early_side(draft: Draft) -> Choice:
    """Side of the clips in that part."""
    part, side = draft.choice("early_share"), draft.resolution
    return replace(part, value=smaller_side(side) if part.value else side)


def smaller_side(resolution: int) -> int:
    """The side of smaller clips, in px; that of the others where they are small already."""
    return min(resolution, GRAIN_PX * max(2, round(EARLY_SIDE * resolution / GRAIN_PX)))


def flip(draft: Draft) -> Choice:
    """Whether half of the clips are flipped: only where that cannot change the class."""
    if not draft.stats.named:
        return by_rule(True, "no class names that speak of a direction")
    telling = [name for name in draft.stats.class_names if tells_direction(name)]
    if telling:
        why = f"a mirror image would change the class: {', '.join(telling[:3])}"
        return by_rule(False, why)
    return by_rule(True, "no class name speaks of a direction")


def augment(draft: Draft) -> Choice:
    """What is added to crops and flips."""
    asked = draft.asked("augment")
    if asked is not None:
        return by_user(AUGMENTATIONS[asked], f"{asked}, {GIVEN}")
    few = draft.stats.num_train < MANY_CLIPS
    if draft.scratch and few and draft.spec.scratch_recolours:
        why = "recolour: from scratch, few clips hold too few colours"
        return by_rule(AUGMENTATIONS["recolour"], why)
    why = "light: crops and flips, as Video Swin is published"
    if draft.scratch:
        why = "light: from scratch, plain clips are learned sooner"
    return by_rule(AUGMENTATIONS["light"], why)


def tells_direction(name: str) -> bool:
    """Whether a class name says that a mirror image would belong to another class."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return bool(DIRECTION_WORDS.search(spaced))
