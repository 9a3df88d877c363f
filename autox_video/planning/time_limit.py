"""Choose the epochs and the clip size so that a run fits into `time_budget`."""

from collections.abc import Iterator, Mapping
from typing import Any

from autox_video.config.choices import BACKBONES
from autox_video.planning.augmentation import EARLY_SHARE, GRAIN_PX, smaller_side
from autox_video.planning.choice import BUDGET, GIVEN, USER, Choice
from autox_video.planning.clip_shape import FEWEST_FRAMES
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Prediction

USED_SHARE = 0.95
"""Share of the remaining budget that the plan uses; the rest is a reserve."""
ENOUGH_SHARE = 0.5
"""Share of the useful epochs that should fit; if fewer fit, clips are made smaller."""
SHRINK = 0.75
FOLLOW_EPOCHS = ("warmup_epochs", "flat_epochs", "compile", "patience")
"""Fields that the rules choose again once the epochs have been chosen to fit the budget."""


def fitting_epochs(plan: Plan, prediction: Prediction) -> int:
    """Return how many epochs fit into the budget after preparation; 0 if none fit."""
    left_sec = plan.time_budget_sec - prediction.preparing_sec
    return prediction.epochs_within(USED_SHARE * left_sec, plan)


def smaller_sizes(plan: Plan) -> Iterator[dict[str, Choice]]:
    """Yield smaller clip sizes in decreasing order; sizes set by the user are kept."""
    why = f"reduced from {plan.resolution} px and {plan.clip_len} frames to fit more epochs into "
    why += "time_budget"
    sizes = {"resolution": plan.choices["resolution"], "clip_len": plan.choices["clip_len"]}
    least_px = BACKBONES[plan.backbone].resolution // 2
    while True:
        smaller_px = GRAIN_PX * int(sizes["resolution"].value * SHRINK / GRAIN_PX)
        fewer = sizes["clip_len"].value // 2
        if not plan.is_given("resolution") and smaller_px >= least_px:
            sizes["resolution"] = Choice(smaller_px, BUDGET, why)
        elif not plan.is_given("clip_len") and fewer >= FEWEST_FRAMES:
            sizes["clip_len"] = Choice(fewer, BUDGET, why)
        else:
            return
        yield dict(sizes)


def choose_epochs(plan: Plan, prediction: Prediction, most: Choice) -> Choice:
    """Choose as many epochs as fit into the time budget of a plan, up to `most`."""
    fit, epoch_sec = fitting_epochs(plan, prediction), prediction.epoch_sec
    times = f"{epoch_sec:.3g} s each, {prediction.evaluation_sec:.2g} s per evaluation"
    source = BUDGET
    if fit >= most.value:
        source, why = most.source, f"{most.reason}; {fit} would fit into time_budget"
    elif fit < 1:
        why = f"not even one epoch fits into time_budget ({times}), so the first is cut short"
    else:
        what = GIVEN if most.source == USER else "would be useful"
        why = f"as many as fit into time_budget ({times}); {most.value} {what}"
    figures = {"epoch_sec": round(epoch_sec, 4), "epochs_that_fit": fit, "asked": most.value}
    evidence = {"figures": {**most.evidence.get("figures", {}), **figures}}
    return Choice(max(1, min(fit, most.value)), source, why, {**most.evidence, **evidence})


def with_progressive_resizing(plan: Plan, prediction: Prediction) -> Plan:
    """Return the plan, adding progressive resizing if too few epochs fit into the budget."""
    side = smaller_side(plan.resolution)
    if fitting_epochs(plan, prediction) >= plan.epochs or side >= plan.resolution:
        return plan
    # A compiled model would have to be recompiled for each size.
    if plan.compile or BACKBONES[plan.backbone].one_size:
        return plan
    why = "smaller clips at first, so that more epochs fit into time_budget"
    return plan.settle(BUDGET, why, early_side=side, early_share=EARLY_SHARE)


def evidence_of_sizes(
    plan: Plan, tried: Mapping[tuple[int, int], Prediction]
) -> dict[str, dict[str, Any]]:
    """Return the clip sizes that were tried, with the number of epochs that fit at each size."""
    alternatives = [
        {
            "resolution": side,
            "clip_len": frames,
            "epoch_sec": round(prediction.epoch_sec, 4),
            "epochs_that_fit": fitting_epochs(plan, prediction),
        }
        for (side, frames), prediction in tried.items()
    ]
    if len(alternatives) < 2:
        return {}
    return {name: {"alternatives": alternatives} for name in ("resolution", "clip_len")}
