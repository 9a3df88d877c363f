"""Make the plan of a resumed run by updating the original plan with the user's changes."""

from autox_video.planning.draft import Basis
from autox_video.planning.optimization import END_KEYS
from autox_video.planning.plan import FIELDS, Plan, choose


def resume(stored: Plan, basis: Basis) -> Plan:
    """Return the plan that a run started with, updated with the user's changes.

    Fields that depend on the machine are chosen again. `basis` contains the weights that the run
    started from, or new weights given by the user.
    """
    before = {name: stored.choices[name] for name, field in FIELDS.items() if not field.anew}
    plan = choose(basis, {n: c for n, c in before.items() if not _asks(basis, n, stored)})
    now = plan.choices
    # Unchanged choices keep their reason and evidence.
    same = [n for n, c in before.items() if (c.value, c.source) == (now[n].value, now[n].source)]
    return plan.with_choices({name: before[name] for name in same})


def _asks(basis: Basis, name: str, stored: Plan) -> bool:
    """Return whether the user sets this field, possibly to a value other than the plan's."""
    if name == "finish_loss":
        return any(basis.asked(key) is not None for key in END_KEYS)
    asked = basis.asked(FIELDS[name].key)
    budget_sec = basis.asked("time_budget")
    if name == "epochs" and budget_sec is not None and budget_sec == stored.time_budget_sec:
        # The budget may have reduced the number of epochs that the user had asked for.
        before = stored.choices["epochs"].evidence.get("figures", {}).get("asked", asked)
        return asked not in (None, before)
    return asked is not None


def compare(stored: Plan, plan: Plan) -> tuple[list[str], list[str]]:
    """Compare the stored plan of a run with the plan for resuming the run.

    Returns `field: before -> now` for each refused change, and a message for each allowed change
    that the user should know about.
    """
    refused, notes = [], []
    for name, field in FIELDS.items():
        before, now = getattr(stored, name), getattr(plan, name)
        if before == now:
            continue
        if field.change is None:
            refused.append(f"{name}: {before} -> {now}")
        elif field.change:
            meaning = field.change.format(now=now, lr=plan.lr, batch=plan.batch_size)
            notes.append(f"Resuming with {name}: {before} -> {now} ({meaning}).")
    return refused, notes
