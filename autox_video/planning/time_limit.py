"""What is chosen by time: epochs and the size of clips that fit into a budget."""

from collections.abc import Iterator, Mapping
from typing import Any

from autox_video.config.choices import BACKBONES
from autox_video.planning.augmentation import EARLY_SHARE, GRAIN_PX, smaller_side
from autox_video.planning.choice import BUDGET, USER, Choice
from autox_video.planning.clip_shape import FEWEST_FRAMES
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Amount, Prediction, epochs_that_fit

USED_SHARE = 0.95
"""Of what is left of the budget, that the plan fills; the rest is for what takes longer."""
MEASURED_SHARE = 0.05
"""Of the budget, that measuring may take."""
ENOUGH_SHARE = 0.5
"""Of the epochs that are useful: with fewer of them, smaller clips are worth their loss."""
LARGEST_TEST_SHARE = 0.5
"""Of the budget, that the test at the end may take."""
SHRINK = 0.75
FOLLOW_EPOCHS = ("warmup_epochs", "flat_epochs", "compile", "patience")
"""What the rules choose anew where the budget has chosen the epochs."""


def amount_of(plan: Plan, *, train: int, val: int, test: int, test_rounds: float = 1.0) -> Amount:
    """How much a run of this plan does; clips of each kind, 0 where none are used.

    `test_rounds` is how often the test clips of the plan are taken from a clip, on average.
    """
    return Amount(
        train=train * plan.repeats,
        val=val if plan.evaluation else 0,
        test=test,
        test_views=plan.test_clips * 3,
        test_rounds=test_rounds,
        interval=max(plan.evaluation, 1),
        workers=plan.workers,
        processes=plan.processes,
        shares_cores=plan.device == "cpu",
        averages=max(plan.soup - 1, 0),
        early_share=plan.early_share,
        early_size=(plan.early_side / plan.resolution) ** 2,
    )


def fitting_epochs(prediction: Prediction, amount: Amount, left_sec: float) -> int:
    """The most epochs that a plan puts into what is left of a budget; 0 where not one fits."""
    return epochs_that_fit(prediction, amount, USED_SHARE * left_sec)


def smaller_sizes(plan: Plan) -> Iterator[dict[str, Choice]]:
    """Give smaller clips, the largest first, as choices; what the user gave stays as it is."""
    why = f"less than {plan.resolution} px and {plan.clip_len} frames, so that more epochs fit "
    why += "into time_budget"
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


def choose_epochs(
    most: Choice, prediction: Prediction, amount: Amount, *, left_sec: float
) -> Choice:
    """How many epochs a run with a budget has.

    Args:
        most: the epochs that are useful, or that the user wants.
        prediction: of any number of epochs.
        amount: what there is to do.
        left_sec: of the budget, after what is predicted for preparing.
    """
    fit, epoch_sec = fitting_epochs(prediction, amount, left_sec), prediction.epoch_sec
    times = f"{epoch_sec:.3g} s each, {prediction.evaluation_sec:.2g} s an evaluation"
    value, source = max(1, min(fit, most.value)), BUDGET
    if fit >= most.value:
        source, why = most.source, f"{most.reason}; {fit} would fit into time_budget"
    elif fit < 1:
        why = f"not even one fits into time_budget ({times}): it ends within the first"
    else:
        what = "are asked for" if most.source == USER else "would be useful"
        why = f"so many fit into time_budget ({times}); {most.value} {what}"
    figures = {"epoch_sec": round(epoch_sec, 4), "epochs_that_fit": fit, "asked": most.value}
    known = most.evidence.get("figures", {})
    return Choice(value, source, why, {**most.evidence, "figures": {**known, **figures}})


def with_early_clips(plan: Plan, fit: int) -> Plan:
    """The plan with smaller clips at first, where only `fit` of its useful epochs have time."""
    side = smaller_side(plan.resolution)
    # To compile each size would take more than it saves.
    if fit >= plan.epochs or side >= plan.resolution or plan.compile:
        return plan
    why = "smaller clips at first, so that more epochs fit into time_budget"
    return plan.settle(BUDGET, why, early_side=side, early_share=EARLY_SHARE)


def evidence_of_sizes(
    tried: Mapping[tuple[int, int], Prediction], amount: Amount, left_sec: float
) -> dict[str, dict[str, Any]]:
    """The sizes of clips that were tried, by side and frames, with what fits of each."""
    alternatives = [
        {
            "resolution": side,
            "clip_len": frames,
            "epoch_sec": round(prediction.epoch_sec, 4),
            "epochs_that_fit": fitting_epochs(prediction, amount, left_sec),
        }
        for (side, frames), prediction in tried.items()
    ]
    if len(alternatives) < 2:
        return {}
    return {name: {"alternatives": alternatives} for name in ("resolution", "clip_len")}
