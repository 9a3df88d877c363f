"""How a plan is made: each field by what the user gave, or by a rule on the fields before it."""

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
    """What the choices of a plan rest on."""

    settings: Settings
    """What the user asked for."""
    stats: DatasetStats
    """The readable clips in figures."""
    hardware: Hardware
    weights: Pretrained | None = None
    """Pretrained weights to start from."""

    def asked(self, key: str | None) -> Any:
        """What the user asked for with a key of the config; None where it is left open."""
        if key not in self.settings.model_fields_set:
            return None
        value = getattr(self.settings, key)
        return None if value == AUTO else value


class Draft:
    """A plan in the making: asking for a field chooses it, and what it rests on before it."""

    def __init__(
        self, basis: Basis, fields: "Mapping[str, Field]", settled: Mapping[str, Choice]
    ) -> None:
        self.settings, self.asked = basis.settings, basis.asked
        self.stats, self.hardware, self.weights = basis.stats, basis.hardware, basis.weights
        self.scratch = basis.weights is None
        self._fields, self._choices = fields, dict(settled)

    @cached_property
    def spec(self) -> BackboneSpec:
        """Of the backbone."""
        return BACKBONES[self.backbone]

    def choice(self, name: str) -> Choice:
        """The choice of a field, made now if it is still open."""
        if name not in self._choices:
            how = self._fields[name]
            asked = self.asked(how.key) if how.as_asked else None
            self._choices[name] = how.rule(self) if asked is None else by_user(asked)
        return self._choices[name]

    def __getattr__(self, name: str) -> Any:
        """The value of a field."""
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(name)
        return self.choice(name).value


Rule = Callable[[Draft], Choice]


@dataclass(frozen=True, slots=True)
class Field:
    """How a field of the plan is chosen, and what happens to it when a run is resumed."""

    rule: Rule
    key: str | None
    """Of the config; None: the rule alone chooses, and a resumed run keeps what it has."""
    as_asked: bool
    """Whether the value of the key is that of the field; else the rule reads it."""
    change: str | None
    """What a change means when a run is resumed; "": nothing to speak of; None: it is refused."""
    anew: bool
    """Whether a resumed run chooses it anew, and does not keep what it has."""


def chosen(
    rule: Rule, key: str | None = None, *, change: str | None = None, anew: bool = False
) -> Any:
    """A field of the plan that a key of the config gives, and a rule where that is left open."""
    return field(metadata={"how": Field(rule, key, True, change, anew)})


def computed(
    rule: Rule, key: str | None = None, *, change: str | None = None, anew: bool = False
) -> Any:
    """A field of the plan that a rule gives, which reads the key of the config, if there is one."""
    return field(metadata={"how": Field(rule, key, False, change, anew)})


def from_key(key: str, reason: str, *, change: str) -> Any:
    """A field of the plan that is what a key of the config says, whose default is a value."""
    return chosen(
        lambda draft: by_rule(getattr(draft.settings, key), reason), key, change=change, anew=True
    )


def always(value: Any, reason: str) -> Rule:
    """The rule that always gives this."""
    return lambda draft: by_rule(value, reason)


def by_start(*, scratch: tuple[Any, str], pretrained: tuple[Any, str]) -> Rule:
    """The rule that gives one value with its reason from scratch, another from weights."""
    return lambda draft: by_rule(*(scratch if draft.scratch else pretrained))
