"""The plan of a resumed run: its own, except for changes that the user may make."""

from autox_video.planning.draft import Basis
from autox_video.planning.optimization import END_KEYS
from autox_video.planning.plan import FIELDS, Plan, choose


def resume(stored: Plan, basis: Basis) -> Plan:
    """The plan that a run started with, except for what the user asks for now.

    Fields that depend on the machine are chosen again. The weights of `basis` are those the run
    started from, or others that the user names now.
    """
    before = {name: stored.choices[name] for name, field in FIELDS.items() if not field.anew}
    plan = choose(basis, {n: c for n, c in before.items() if not _asks(basis, n, stored)})
    now = plan.choices
    # Unchanged choices keep their reason and evidence.
    same = [n for n, c in before.items() if (c.value, c.source) == (now[n].value, now[n].source)]
    return plan.with_choices({name: before[name] for name in same})


def _asks(basis: Basis, name: str, stored: Plan) -> bool:
    """Whether the user asks for this field now, differently from when the run started."""
    if name == "finish_loss":
        return any(basis.asked(key) is not None for key in END_KEYS)
    asked = basis.asked(FIELDS[name].key)
    budget_sec = basis.asked("time_budget")
    if name == "epochs" and budget_sec is not None and budget_sec == stored.time_budget_sec:
        # The budget may have cut the epochs that were asked for.
        before = stored.choices["epochs"].evidence.get("figures", {}).get("asked", asked)
        return asked not in (None, before)
    return asked is not None


def compare(stored: Plan, plan: Plan) -> tuple[list[str], list[str]]:
    """The differences between a run's plan and the plan to resume with.

    Returns `field: before -> now` for each change that is refused, and a note for each allowed
    change that is worth one.
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
