"""The plan of a run that is resumed: its own, but for what the user asks for now and may change."""

from autox_video.planning.draft import Basis
from autox_video.planning.plan import FIELDS, Plan, choose


def resume(stored: Plan, basis: Basis) -> Plan:
    """The choices that a run began with, except where the user asks for another now.

    What depends on this machine and this start is chosen anew, to fit the others. The weights of
    `basis` are those that the run started from, or others that the user names now.
    """
    before = {name: stored.choices[name] for name, field in FIELDS.items() if not field.anew}
    plan = choose(basis, {n: c for n, c in before.items() if not _asks(basis, n, stored)})
    now = plan.choices
    # What is the same again keeps its reason and its evidence.
    same = [n for n, c in before.items() if (c.value, c.source) == (now[n].value, now[n].source)]
    return plan.with_choices({name: before[name] for name in same})


def _asks(basis: Basis, name: str, stored: Plan) -> bool:
    """Whether the user asks for this field now, other than when the run began."""
    asked = basis.asked(FIELDS[name].key)
    budget_sec = basis.asked("time_budget")
    if name == "epochs" and budget_sec is not None and budget_sec == stored.time_budget_sec:
        # Of the epochs asked for, those that fit into the budget were chosen.
        before = stored.choices["epochs"].evidence.get("figures", {}).get("asked", asked)
        return asked not in (None, before)
    return asked is not None


def compare(stored: Plan, plan: Plan) -> tuple[list[str], list[str]]:
    """What differs from the plan that a run has.

    Gives `field: before -> now` of each change that would make it another run, and a sentence on
    each of those that it may have, where there is something to say of it.
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
