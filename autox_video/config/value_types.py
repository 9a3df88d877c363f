"""Parse and check the different kinds of config values, whether given in YAML or in Python."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from autox_video.config.custom_imports import read_module_names
from autox_video.core.durations import read_duration
from autox_video.core.registry import Registry
from autox_video.core.sized_folder import read_sized_folder

AUTO, OFF = "auto", "off"

_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_NUMBER = re.compile(rf"[+-]?({_DIGITS}\.?({_DIGITS})?|\.{_DIGITS})([eE][+-]?[0-9]+)?")
_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""Spellings of booleans in YAML 1.1."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of config value; keys whose default is `auto` also allow `auto`."""

    read: Callable[[Any], Any]
    """Function that parses a value, and raises ValueError if the value is not allowed."""
    words: str | Registry
    """The allowed values, for use in messages: comma-separated text, or a registry of names."""
    is_text: bool = False
    """Whether an override is used as plain text instead of being parsed as YAML."""

    def allowed(self, default: Any) -> str:
        """Return the allowed values of a key with this default, in words."""
        names = list(self.words) if isinstance(self.words, Registry) else self.words.split(", ")
        names += [AUTO] if default == AUTO else []
        return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


_NO_ADDRESS = r"(?![A-Za-z][A-Za-z0-9+.-]+://)"
LOCAL = rf"(?s){_NO_ADDRESS}.*"
"""Pattern of a path on this machine, as opposed to a URL."""
LOCAL_JSON = rf"(?si){_NO_ADDRESS}.*[^/]\.json"


def text(words: str | Registry, pattern: str = r"(?s).*") -> Kind:
    """Return the kind for text that matches `pattern`, or for names if `words` is a registry."""

    def read(value: Any) -> str:
        value = os.fspath(value) if isinstance(value, Path) else value
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise ValueError("not text")
        if value.lower() in ("true", "false"):
            raise ValueError("a switch; for a folder of that name, write ./true")
        if not re.fullmatch(pattern, value) or (isinstance(words, Registry) and value not in words):
            raise ValueError("not an allowed text")
        return os.path.expanduser(str(value))  # noqa: PTH111 (an address stays as it is)

    return Kind(read, words, is_text=True)


def sized_folder(words: str, *, may_be_off: bool = False) -> Kind:
    """Return the kind for a folder on this machine, optionally with a size limit after a colon."""
    path = text(words, LOCAL)

    def read(value: Any) -> str:
        switch = read_switch(value) if may_be_off else value
        if switch is False:
            return OFF
        folder = path.read(switch)
        read_sized_folder(folder)
        return folder

    return Kind(read, words, is_text=True)


def choice(*values: str) -> Kind:
    """Return the kind for one of a few words; `off` may also be written as `false` or `no`."""

    def read(value: Any) -> str:
        value = OFF if OFF in values and read_switch(value) is False else value
        if value not in values:
            raise ValueError("not an allowed word")
        return str(value)

    return Kind(read, ", ".join(values))


def number(words: str, is_allowed: Callable[[float], bool], *, duration: bool = False) -> Kind:
    """Return the kind for finite numbers and, with `duration`, durations (1h30m) in seconds."""

    def read(value: Any) -> float:
        value = _number_of(value)
        if duration and isinstance(value, str):
            value = read_duration(value)
        if isinstance(value, str) or not (math.isfinite(value) and is_allowed(value)):
            raise ValueError("not an allowed number")
        return float(value)

    return Kind(read, words)


def whole(low: int, high: int, *, multiple_of: int = 1, or_word: str | None = None) -> Kind:
    """Return the kind for integers from `low` to `high`, inclusive, and for the word `or_word`."""
    what = "a whole number" if multiple_of == 1 else f"a multiple of {multiple_of}"
    words = f"{what} from {low} to {high}"

    def read(value: Any) -> int | str:
        if or_word == OFF and read_switch(value) is False:
            return OFF
        if or_word and isinstance(value, str) and value.strip().lower() == or_word:
            return or_word
        value = _number_of(value)
        if isinstance(value, str) or value % multiple_of or not low <= value <= high:
            raise ValueError("not an allowed number")
        return int(value)

    return Kind(read, f"{words}, {or_word}" if or_word else words)


def read_switch(value: Any) -> Any:
    """Return True or False for any spelling of a boolean, and any other value unchanged."""
    return _SWITCH.get(value.strip().lower(), value) if isinstance(value, str) else value


def _read_flag(value: Any) -> bool:
    value = read_switch(value)
    if not isinstance(value, bool):
        raise ValueError("not a switch")
    return value


def _read_gpus(value: Any) -> int | tuple[int, ...]:
    # On the command line, a list is written as gpus=0,2.
    if isinstance(value, str) and "," in value:
        value = value.split(",")
    if not isinstance(value, list | tuple):
        return whole(1, 1024).read(value)
    numbers = tuple(whole(0, 1023).read(number) for number in value)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError("a repeated number, or no number")
    return numbers


def _number_of(value: Any) -> Any:
    """Convert text that spells a number to that number; return numbers and other text unchanged."""
    if isinstance(value, str):
        # The config loader leaves numbers as text, and users may quote them.
        if len(value) >= 100 or not _NUMBER.fullmatch(value.strip()):
            return value
        return float(value) if re.search(r"[.eE]", value) else int(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError("not a number")
    return value


FLAG = Kind(_read_flag, "true, false")
GPUS = Kind(_read_gpus, "a whole number from 1 to 1024, GPU numbers as in [0, 2]")
MODULES = Kind(read_module_names, "a list of module names such as [my_backbone]")
