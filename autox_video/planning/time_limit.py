"""What is chosen by time: epochs and the size of clips that fit into a budget."""

from collections.abc import Iterator, Mapping
from typing import Any

from autox_video.backbones.specs import BACKBONES
from autox_video.planning.augmentation import EARLY_SHARE, GRAIN_PX, early_side
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Amount, Prediction, epochs_that_fit
from autox_video.planning.source import BUDGET, Choice

USED_SHARE = 0.95
"""Of what is left of the budget, that the plan fills; the rest is for what takes longer."""
MEASURED_SHARE = 0.05
"""Of the budget, that measuring may take."""
ENOUGH_SHARE = 0.5
"""Of the epochs that are useful: with fewer of them, smaller clips are worth their loss."""
LARGEST_TEST_SHARE = 0.5
"""Of the budget, that the test at the end may take."""
FEWEST_FRAMES = 8
SHRINK = 0.75


def amount_of(plan: Plan, *, train: int, val: int, test: int, test_rounds: float = 1.0) -> Amount:
    """How much a run of this plan does; clips of each kind, 0 where none are used.

    `test_rounds` is how often the test clips of the plan are taken from a clip, on average.
    """
    readings = -(-plan.batch_size // plan.repeats)
    return Amount(
        train=train * plan.repeats,
        val=val if plan.evaluation else 0,
        test=test,
        test_views=plan.test_clips * 3,
        test_rounds=test_rounds,
        steps=-(-train // readings),
        interval=max(plan.evaluation, 1),
        workers=plan.workers,
        processes=plan.processes,
        shares_cores=plan.device == "cpu",
        averages=max(plan.soup - 1, 0),
        early_share=plan.early_share,
        early_size=(plan.early_side / plan.resolution) ** 2,
    )


def smaller_sizes(plan: Plan) -> Iterator[dict[str, Choice]]:
    """Give smaller clips, the largest first, as choices; what the user gave stays as it is."""
    why = f"less than {plan.resolution} px and {plan.clip_len} frames, so that more epochs fit "
    why += "into time_budget"
    side, frames = plan.resolution, plan.clip_len
    least = BACKBONES[plan.backbone].resolution // 2
    while True:
        smaller = GRAIN_PX * int(side * SHRINK / GRAIN_PX)
        if not plan.is_given("resolution") and smaller >= least:
            side = smaller
        elif not plan.is_given("clip_len") and frames // 2 >= FEWEST_FRAMES:
            frames //= 2
        else:
            return
        sizes = {"resolution": side, "clip_len": frames}
        yield {
            field: plan.choice(field) if size == getattr(plan, field) else Choice(size, why, BUDGET)
            for field, size in sizes.items()
        }


def is_enough(one: Prediction, amount: Amount, epochs: int, left_sec: float) -> bool:
    """Whether a good part of the useful epochs fits into the seconds that are left of a budget."""
    return epochs_that_fit(one, amount, USED_SHARE * left_sec) >= ENOUGH_SHARE * epochs


def choose_epochs(plan: Plan, one: Prediction, amount: Amount, *, left_sec: float) -> Choice:
    """Give how many epochs a run with a budget has, and why.

    Args:
        plan: whose epochs are the most that are useful, or that the user wants.
        one: the prediction for any number of epochs.
        amount: what there is to do.
        left_sec: of the budget, after what is predicted for preparing.
    """
    fit = epochs_that_fit(one, amount, USED_SHARE * left_sec)
    figures = f"{one.epoch_sec:.3g} s each, {one.evaluation_sec:.2g} s an evaluation"
    if fit >= plan.epochs:
        why = f"{plan.reasons['epochs']}; {fit} would fit into time_budget"
        return plan.choice("epochs")._replace(reason=why)
    if fit < 1:
        why = f"not even one fits into time_budget ({figures}): it ends within the first"
        return Choice(1, why, BUDGET)
    what = "are asked for" if plan.is_given("epochs") else "would be useful"
    why = f"so many fit into time_budget ({figures}); {plan.epochs} {what}"
    return Choice(fit, why, BUDGET)


def with_early_clips(plan: Plan, one: Prediction, amount: Amount, *, left_sec: float) -> Plan:
    """The plan with smaller clips at first, where not all useful epochs fit into the budget.

    Args:
        plan: whose epochs are the most that are useful.
        one: the prediction for any number of epochs.
        amount: what there is to do.
        left_sec: of the budget, after what is predicted for preparing.
    """
    side = early_side(plan.resolution)
    enough = epochs_that_fit(one, amount, USED_SHARE * left_sec) >= plan.epochs
    if enough or side >= plan.resolution or plan.compile:  # which would compile each size
        return plan
    why = "smaller clips at first, so that more epochs fit into time_budget"
    return plan.settle(BUDGET, why, early_side=side, early_share=EARLY_SHARE)


def with_epochs(plan: Plan, made: Plan) -> Plan:
    """The plan with another number of epochs, and what follows from it.

    Args:
        plan: the one so far.
        made: the same choices, made with those epochs settled.
    """
    follow = ("epochs", "warmup_epochs", "flat_epochs", "compile", "ema", "patience")
    return plan.with_choices({field: made.choice(field) for field in follow})


def evidence_of_time(
    one: Prediction, amount: Amount, tried: Mapping[tuple[int, int], Prediction], left_sec: float
) -> dict[str, dict[str, Any]]:
    """Figures for the choices that time settles, with the sizes that were tried."""
    fit = epochs_that_fit(one, amount, USED_SHARE * left_sec)
    sizes = [
        {
            "resolution": side,
            "clip_len": frames,
            "epoch_sec": round(other.epoch_sec, 4),
            "epochs_that_fit": epochs_that_fit(other, amount, USED_SHARE * left_sec),
        }
        for (side, frames), other in tried.items()
    ]
    epochs = {"epoch_sec": round(one.epoch_sec, 4), "epochs_that_fit": fit}
    found = {"epochs": {"figures": epochs}}
    if len(sizes) > 1:
        found["resolution"] = found["clip_len"] = {"alternatives": sizes}
    return found
