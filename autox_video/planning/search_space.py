"""Pure functions that compute the search space around a plan, and the plan at a given point."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution as Options
from optuna.distributions import FloatDistribution as Range

from autox_video.config.choices import BACKBONES
from autox_video.planning.augmentation import AUGMENTATIONS, GRAIN_PX, smaller_side
from autox_video.planning.choice import SEARCH
from autox_video.planning.clip_shape import LARGEST_ROUND, ROOM_FOR_CROPS
from autox_video.planning.plan import Plan

LONGEST_CLIP = 64
SMALLEST_SIDE_PX = 56
SPAN_SHARES = (0.5, 0.75, 1.0)
SIDE_STEP = 0.25


Space = Mapping[str, BaseDistribution]


def space_of(plan: Plan) -> dict[str, BaseDistribution]:
    """Return the search space around a plan; fields that the user has set are not searched.

    If flips are off in the plan, they stay off, because flips are known to change the class.
    """
    space = {
        "lr": Range(plan.lr / 4, plan.lr * 4, log=True),
        "weight_decay": Range(0.005, 0.5, log=True),
        "drop_path": Range(0.0, 0.3),
        "smallest_crop": Range(0.1, 1.0),
        "label_smoothing": Options((0.0, 0.1)),
        "augment": Options(tuple(AUGMENTATIONS)),
        "clip_len": Options(_lengths(plan.clip_len)),
        "resolution": Options(_sides(plan.resolution)),
        "span": Options(SPAN_SHARES),
    }
    if plan.freeze and plan.freeze == BACKBONES[plan.backbone].stages:
        del space["drop_path"]
    elif plan.pretrained is not None:
        space["backbone_lr_mult"] = Range(0.03, 1.0, log=True)
        space["layer_decay"] = Range(0.6, 1.0)
    if plan.flip:
        space["flip"] = Options((True, False))
    return {
        name: values
        for name, values in space.items()
        if not (plan.is_given("frame_interval_sec" if name == "span" else name) or values.single())
    }


def start_of(plan: Plan, space: Space) -> dict[str, Any]:
    """Return the point of the search space that corresponds to the plan itself."""
    augment = next(name for name, values in AUGMENTATIONS.items() if values == plan.augment)
    start = {"span": 1.0, "augment": augment}
    point = {name: start[name] if name in start else getattr(plan, name) for name in space}
    ranges = {name: values for name, values in space.items() if isinstance(values, Range)}
    return point | {name: min(max(point[name], r.low), r.high) for name, r in ranges.items()}


def neighbours(plan: Plan, space: Space) -> list[dict[str, Any]]:
    """Return points that differ from the plan in one choice, with the most promising point first.

    The search tries these points before sampling others, because each point is informative even if
    there is time for only a few trials. Unsuitable flips or clip sizes lower the score the most.
    """
    start = start_of(plan, space)
    flipped = [{"flip": not plan.flip}]
    probed = bool(plan.choices["flip"].evidence)
    # With few clips there are few steps, so pretrained weights may need a higher learning rate.
    rates = (0.5, 2.0) if plan.pretrained is None else (2.0, 0.5)
    changes: list[dict[str, Any]] = [
        *(() if probed else flipped),
        {"smallest_crop": 0.4},
        {"weight_decay": 4 * plan.weight_decay, "drop_path": min(0.3, plan.drop_path + 0.1)},
        *({"lr": plan.lr * factor} for factor in rates),
        *({"clip_len": n} for n in reversed(_values(space, "clip_len"))),
        *({"resolution": n} for n in reversed(_values(space, "resolution"))),
        *({"span": part} for part in SPAN_SHARES),
        {"label_smoothing": 0.1},
        *({"augment": name} for name in _values(space, "augment")),
        *(flipped if probed else ()),
    ]
    points = [{**start, **change} for change in changes if change.keys() <= start.keys()]
    return [point for point in points if point != start]


def _values(space: Space, name: str) -> tuple[Any, ...]:
    return space[name].choices if name in space else ()


def applied(plan: Plan, point: Mapping[str, Any]) -> Plan:
    """Return the plan at a point of its search space."""
    chosen = dict(point)
    span_share = chosen.pop("span", 1.0)
    span_sec = plan.frame_interval_sec * plan.clip_len * span_share
    clip_len = chosen.get("clip_len", plan.clip_len)
    if "augment" in chosen:
        chosen["augment"] = AUGMENTATIONS[chosen["augment"]]
    if "resolution" in chosen:
        chosen["short_side"] = round(chosen["resolution"] * ROOM_FOR_CROPS)
        side = chosen["resolution"]
        chosen["early_side"] = smaller_side(side) if plan.early_share else side
    return replace(
        plan.settle(SEARCH, "tried by the search", **chosen),
        frame_interval_sec=span_sec / clip_len,
        test_clips=min(LARGEST_ROUND, round(plan.test_clips / span_share)),
    )


def relative_cost(plan: Plan, point: Mapping[str, Any]) -> float:
    """Return the relative cost of a run at a point, estimated from the number of pixels."""
    frames = point.get("clip_len", plan.clip_len) / plan.clip_len
    return frames * (point.get("resolution", plan.resolution) / plan.resolution) ** 2


def _lengths(clip_len: int) -> tuple[int, ...]:
    wanted = {2 * round(clip_len * factor / 2) for factor in (0.5, 1.0, 2.0)}
    return tuple(sorted(n for n in wanted | {clip_len} if 4 <= n <= LONGEST_CLIP or n == clip_len))


def _sides(side: int) -> tuple[int, ...]:
    step = GRAIN_PX * max(1, round(side * SIDE_STEP / GRAIN_PX))
    return tuple(n for n in (side - step, side, side + step) if n >= SMALLEST_SIDE_PX or n == side)
