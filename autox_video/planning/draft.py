"""Drafts of plans, in which each field is set by a config key or a rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from autox_video.backbones.spec import BackboneSpec
from autox_video.backbones.weights.known_weights import Pretrained
from autox_video.config.choices import BACKBONES
from autox_video.config.settings import AUTO, Settings
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.machine.hardware import Hardware
from autox_video.planning.choice import Choice, by_rule, by_user


@dataclass(frozen=True, slots=True)
class Basis:
    """The input of the planning rules."""

    settings: Settings
    """The user's settings."""
    stats: DatasetStats
    """Statistics of the readable clips."""
    hardware: Hardware
    weights: Pretrained | None = None
    """Pretrained weights to start from; None to train from scratch."""
    given: Mapping[str, Choice] = field(default_factory=dict)
    """Choices of the run to repeat, if any; config keys set by the user take precedence."""

    def asked(self, key: str | None) -> Any:
        """Return the user's value for a config key, or None if the key is unset or set to auto."""
        if key not in self.settings.model_fields_set:
            return None
        value = getattr(self.settings, key)
        return None if value == AUTO else value


class Draft:
    """An unfinished plan, in which the value of a field is chosen when the field is first read."""

    def __init__(
        self, basis: Basis, fields: "Mapping[str, Field]", settled: Mapping[str, Choice]
    ) -> None:
        self.settings, self.asked = basis.settings, basis.asked
        self.stats, self.hardware, self.weights = basis.stats, basis.hardware, basis.weights
        self.scratch = basis.weights is None
        self._fields, self._given, self._choices = fields, basis.given, dict(settled)

    @cached_property
    def spec(self) -> BackboneSpec:
        """The spec of the chosen backbone."""
        return BACKBONES[self.backbone]

    def choice(self, name: str) -> Choice:
        """Return the choice for a field, making the choice first if necessary."""
        if name not in self._choices:
            how = self._fields[name]
            asked = self.asked(how.key)
            if asked is not None and how.as_asked:
                self._choices[name] = by_user(asked)
            elif asked is None and name in self._given:
                self._choices[name] = self._given[name]
            else:
                self._choices[name] = how.rule(self)
        return self._choices[name]

    def __getattr__(self, name: str) -> Any:
        """Return the chosen value of a field."""
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(name)
        return self.choice(name).value


Rule = Callable[[Draft], Choice]


@dataclass(frozen=True, slots=True)
class Field:
    """How a field of the plan is chosen, and how a resumed run treats it."""

    rule: Rule
    key: str | None
    """The config key of the field; None if the user cannot set the field."""
    as_asked: bool
    """Whether the config key sets the value directly; otherwise, the rule reads the key."""
    change: str | None
    """Message shown if a resumed run changes the field; "" for no message, None to refuse."""
    anew: bool
    """Whether a resumed run chooses the field again instead of keeping its value."""


def chosen(
    rule: Rule, key: str | None = None, *, change: str | None = None, anew: bool = False
) -> Any:
    """Define a plan field whose value is set by a config key, or by a rule if the key is auto."""
    return field(metadata={"how": Field(rule, key, True, change, anew)})


def computed(
    rule: Rule, key: str | None = None, *, change: str | None = None, anew: bool = False
) -> Any:
    """Define a plan field whose value comes from a rule, which may read a config key."""
    return field(metadata={"how": Field(rule, key, False, change, anew)})


def from_key(key: str, reason: str, *, change: str) -> Any:
    """Define a plan field whose value comes from a config key with a default other than auto."""
    return chosen(
        lambda draft: by_rule(getattr(draft.settings, key), reason), key, change=change, anew=True
    )


def always(value: Any, reason: str) -> Rule:
    """Return a rule that always chooses the given value."""
    return lambda draft: by_rule(value, reason)


def by_start(*, scratch: tuple[Any, str], pretrained: tuple[Any, str]) -> Rule:
    """Return a rule whose (value, reason) depends on whether training starts from scratch."""
    return lambda draft: by_rule(*(scratch if draft.scratch else pretrained))
