"""Who or what made a choice of the plan: data of its own, never read from the reason."""

from typing import Any, Literal, NamedTuple

Source = Literal["user", "rule", "measurement", "probe", "budget", "search"]

USER: Source = "user"
"""The config or the command line."""
RULE: Source = "rule"
"""A rule on the clips and the machine, or the default of a key."""
MEASUREMENT: Source = "measurement"
"""Speed or memory, measured on this machine."""
PROBE: Source = "probe"
"""Heads on features, scored before training."""
BUDGET: Source = "budget"
"""What fits into `time_budget`."""
SEARCH: Source = "search"
"""A trial of the search."""

GIVEN = "given in the config"
"""The reason, for people, of what the user chose."""


class Choice(NamedTuple):
    """A value with its reason, for people, and its source, for code."""

    value: Any
    reason: str
    source: Source = RULE


Chosen = tuple[Any, str] | tuple[Any, str, Source]
"""What a rule gives: value and reason, and the source where that is not a rule."""
