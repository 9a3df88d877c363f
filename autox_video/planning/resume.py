"""The plan of a run that is resumed: its own, but for what the user asks for now and may change."""

from collections.abc import Iterator
from typing import Any

from autox_video.planning.draft import Basis
from autox_video.planning.plan import FIELDS, LAST_DIGITS, Plan, choose


def resume(stored: Plan, basis: Basis) -> Plan:
    """The choices that a run began with, except where the user asks for another now.

    What depends on this machine and this start is chosen anew, to fit the others.

    Args:
        stored: the plan of the run.
        basis: of today; its weights are those that the run started from, or others that the user
            names now.
    """
    kept = {
        name: stored.choices[name]
        for name, field in FIELDS.items()
        if not field.anew and not _asks(basis, name, stored)
    }
    return choose(basis, kept)


def _asks(basis: Basis, name: str, stored: Plan) -> bool:
    """Whether the user asks for this field now, other than when the run began."""
    asked = basis.given(FIELDS[name].key)
    if name == "epochs" and asked is not None and same_budget(basis, stored):
        # Of the epochs asked for, those that fit into the budget were chosen.
        return asked != stored.choices["epochs"].evidence.get("figures", {}).get("asked", asked)
    return asked is not None


def same_budget(basis: Basis, stored: Plan) -> bool:
    """Whether the user gives a budget, and it is the one that the run was planned with."""
    asked = basis.given("time_budget")
    return asked is not None and asked == stored.time_budget_sec


def refused_changes(stored: Plan, plan: Plan) -> list[str]:
    """`field: before -> now` of each change that would make it another run."""
    changes = _changes(stored, plan)
    return [
        text
        for name, before, now in changes
        if FIELDS[name].change is None
        for text in _spelled_out(name, before, now)
    ]


def notes_on_changes(stored: Plan, plan: Plan) -> list[str]:
    """What each change means that a run may have, where there is something to say of it."""
    words = {"lr": plan.lr, "batch": plan.batch_size, "digits": LAST_DIGITS}
    return [
        f"Resuming with {name}: {before} -> {now} ({FIELDS[name].change.format(now=now, **words)})."
        for name, before, now in _changes(stored, plan)
        if FIELDS[name].change
    ]


def _changes(stored: Plan, plan: Plan) -> Iterator[tuple[str, Any, Any]]:
    for name in FIELDS:
        before, now = getattr(stored, name), getattr(plan, name)
        if before != now:
            yield name, before, now


def _spelled_out(name: str, before: Any, now: Any) -> Iterator[str]:
    if not isinstance(before, dict):
        yield f"{name}: {before} -> {now}"
        return
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            yield f"{name}.{key}: {before.get(key)} -> {now.get(key)}"
