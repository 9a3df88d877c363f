"""A choice in the plan, with its value, source, reason and evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Source = Literal["user", "rule", "measurement", "probe", "budget", "search"]

USER: Source = "user"
"""The user set the value in the config or on the command line."""
RULE: Source = "rule"
"""The value follows from a rule, or is the default of a config key."""
MEASUREMENT: Source = "measurement"
"""The value follows from speed or memory measured on this machine."""
PROBE: Source = "probe"
"""The value was chosen by probes, which are fitted on features before training."""
BUDGET: Source = "budget"
"""The value was chosen so that the run fits into `time_budget`."""
SEARCH: Source = "search"
"""The value comes from a trial of the hyperparameter search."""

GIVEN = "given in the config"
"""The reason shown for choices made by the user."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A value with its source, its reason (for display only) and its evidence."""

    value: Any
    source: Source
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """Optional `figures` that support the choice, and optional `alternatives` with figures."""

    def to_json(self) -> dict[str, Any]:
        """Return the choice as plain JSON values."""
        return {
            **{"value": self.value, "reason": self.reason, "source": self.source},
            **self.evidence,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Choice":
        """Return the choice stored by `to_json`; lists become tuples."""
        evidence = dict(stored)
        value, source, reason = (evidence.pop(key) for key in ("value", "source", "reason"))
        return cls(tuple(value) if isinstance(value, list) else value, source, reason, evidence)


def by_rule(value: Any, reason: str) -> Choice:
    """Return a choice made by a rule."""
    return Choice(value, RULE, reason)


def by_user(value: Any, reason: str = GIVEN) -> Choice:
    """Return a choice made by the user."""
    return Choice(value, USER, reason)
