"""Rules for augmentation (crops, flips, colours) and progressive resizing."""

import re
from collections.abc import Mapping
from dataclasses import replace

from autox_video.planning.choice import GIVEN, Choice, by_rule, by_user
from autox_video.planning.draft import Draft, by_start
from autox_video.tasks.task import TASKS

AUGMENTATIONS: dict[str, dict[str, float]] = {
    "light": {},
    "recolour": {"recolour": 0.4},
    "medium": {"colour": 0.2, "erasing": 0.25},
    "strong": {"rand_augment": 7, "erasing": 0.25, "mixup": 0.8, "cutmix": 1.0},
}
"""Augmentation for each value of `augment`, in addition to random crops and flips, as fields of
`Strengths`."""
DIRECTION_WORDS = re.compile(
    r"(?<![a-z])(left|right|clockwise|anticlockwise|counterclockwise|east|west)(wards?)?(?![a-z])"
)

MANY_CLIPS = 10_000
"""Number of training clips above which colours vary enough without colour augmentation."""
EARLY_SHARE, EARLY_SIDE = 0.5, 0.75
"""For progressive resizing, the share of training steps with smaller clips, and the relative side
length of these clips."""
GRAIN_PX = 28  # an attention window in the first stage of a Swin: 7 tokens of 4 px

jitter = by_start(
    scratch=(False, "from scratch: evenly spaced frames are easier to learn from"),
    pretrained=(True, "different frames in every epoch"),
)
smallest_crop = by_start(
    scratch=(0.8, "from scratch: mild crops keep the motion in view"),
    pretrained=(0.08, "standard range for pretrained weights"),
)


def augment_strength(draft: Draft) -> Choice:
    """Choose the factor for augmentation: clips of the same recordings have few backgrounds."""
    if TASKS[draft.stats.task].finds_segments:
        return by_rule(2.0, "many clips of few recordings: varied crops and colours")
    return by_rule(1.0, "`augment` and crops as defined")


def early_share(draft: Draft) -> Choice:
    """Choose the share of training steps at the start that use smaller clips."""
    side, asked = draft.resolution, draft.asked("progressive")
    if asked is None:
        return by_rule(0.0, "off: there is time for full-size clips")
    if asked and draft.spec.one_size:
        return by_user(0.0, f"no effect: {draft.backbone} is built for clips of one size")
    if asked and smaller_side(side) == side:
        why = f"no effect: clips of {side} px are small already"
        return by_user(0.0, why)
    return by_user(EARLY_SHARE if asked else 0.0)


def early_side(draft: Draft) -> Choice:
    """Choose the side length of the smaller clips, in px."""
    part, side = draft.choice("early_share"), draft.resolution
    return replace(part, value=smaller_side(side) if part.value else side)


def smaller_side(resolution: int) -> int:
    """Return the side length of the smaller clips in px; `resolution` if that is already small."""
    return min(resolution, GRAIN_PX * max(2, round(EARLY_SIDE * resolution / GRAIN_PX)))


def flip(draft: Draft) -> Choice:
    """Choose to flip clips at random, unless a flip could change the class."""
    if not draft.stats.named:
        return by_rule(True, "there are no class names to check for directions")
    telling = [name for name in draft.stats.class_names if tells_direction(name)]
    if telling:
        why = f"a flip would change the class: {', '.join(telling[:3])}"
        return by_rule(False, why)
    return by_rule(True, "no class name mentions a direction")


def augment(draft: Draft) -> Choice:
    """Choose the augmentation in addition to crops and flips."""
    asked = draft.asked("augment")
    if asked is not None:
        return by_user(AUGMENTATIONS[asked], f"{asked}, {GIVEN}")
    few = draft.stats.num_train < MANY_CLIPS
    if draft.scratch and few and draft.spec.scratch_recolours:
        why = "recolour: few clips have too few colours to learn from scratch"
        return by_rule(AUGMENTATIONS["recolour"], why)
    why = "light: only crops and flips, as published for Video Swin"
    if draft.scratch:
        why = "light: from scratch, plain clips are easier to learn from"
    return by_rule(AUGMENTATIONS["light"], why)


def scaled(strengths: Mapping[str, float], factor: float) -> dict[str, float]:
    """Return the augmentation strengths multiplied by `factor`."""
    if factor == 1:
        return dict(strengths)
    return {
        name: round(value * factor) if name == "rand_augment" else value * factor
        for name, value in strengths.items()
    }


def tells_direction(name: str) -> bool:
    """Return whether a class name mentions a direction; if so, a flip would change the class."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return bool(DIRECTION_WORDS.search(spaced))
