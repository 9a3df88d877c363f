"""A choice of the plan: its value, its source, the reason and the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Source = Literal["user", "rule", "measurement", "probe", "budget", "search"]

USER: Source = "user"
"""The config or the command line."""
RULE: Source = "rule"
"""A rule based on the clips and the machine, or the default of a key."""
MEASUREMENT: Source = "measurement"
"""Speed or memory measured on this machine."""
PROBE: Source = "probe"
"""Probes: heads fitted on features before training."""
BUDGET: Source = "budget"
"""What fits into `time_budget`."""
SEARCH: Source = "search"
"""A trial of the search."""

GIVEN = "given in the config"
"""The reason shown for what the user chose."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A value with its source (for code) and its reason (for people; no code reads it)."""

    value: Any
    source: Source
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """`figures` that support the choice, and `alternatives` with theirs, if any."""

    def to_json(self) -> dict[str, Any]:
        """The choice as plain values."""
        return {
            **{"value": self.value, "reason": self.reason, "source": self.source},
            **self.evidence,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Choice":
        """The choice from what `to_json` returned; lists become tuples."""
        evidence = dict(stored)
        value, source, reason = (evidence.pop(key) for key in ("value", "source", "reason"))
        return cls(tuple(value) if isinstance(value, list) else value, source, reason, evidence)


def by_rule(value: Any, reason: str) -> Choice:
    """A choice made by a rule."""
    return Choice(value, RULE, reason)


def by_user(value: Any, reason: str = GIVEN) -> Choice:
    """A choice made by the user."""
    return Choice(value, USER, reason)
