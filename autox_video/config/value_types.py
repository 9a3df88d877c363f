"""What values of the config may be: how each is read, from YAML or from Python, and checked."""

import os
import re
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from autox_video.config.custom_imports import read_module_names
from autox_video.core.durations import read_duration
from autox_video.core.registry import Registry
from autox_video.core.sized_folder import read_sized_folder

OFF = "off"

_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_NUMBER = re.compile(rf"[+-]?({_DIGITS}\.?({_DIGITS})?|\.{_DIGITS})([eE][+-]?[0-9]+)?")
_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""The words of YAML 1.1."""


def _read_number(value: Any) -> Any:
    # The config gives numbers as they are written, and people quote them.
    if isinstance(value, str) and len(value) < 100 and _NUMBER.fullmatch(value.strip()):
        return float(value) if re.search(r"[.eE]", value) else int(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)  # of NumPy's, from the Python API
    return value


def _read_whole_number(value: Any) -> Any:
    value = _read_number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read_numbers(value: Any) -> Any:
    # As on the command line: gpus=0,2
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,4}(\s*,\s*[0-9]{1,4})+", value.strip()):
        value = value.split(",")
    return tuple(value) if isinstance(value, list) else value


def _check_different(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a number twice")
    return values


def _read_path(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"  # a switch by mistake: ./true is the folder
    return os.fspath(value) if isinstance(value, Path) else value


def _read_switch(value: Any) -> Any:
    return _SWITCH.get(value.strip().lower(), value) if isinstance(value, str) else value


def _read_seconds(value: Any) -> Any:
    value = _read_number(value)
    return read_duration(value) if isinstance(value, str) else value


def read_off(value: Any) -> Any:
    """Give `off`, however it is written (`no`, `false`, False), as text; of `on` make True."""
    switch = _read_switch(value)
    return OFF if switch is False else switch


def _check_text(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError("blank text")
    return value


def check_json_suffix(value: str) -> str:
    """Give the name of a .json file, or auto; raises ValueError for another."""
    if value != "auto" and Path(value).suffix.lower() != ".json":
        raise ValueError("not a .json file")
    return value


def _check_local(value: str) -> str:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value):
        raise ValueError("an address")
    return value


def _check_sized_folder(value: str) -> str:
    read_sized_folder(value)
    return value


Auto = Literal["auto"]
Text = Annotated[str, Field(strict=True), AfterValidator(_check_text)]
PathText = Annotated[Text, BeforeValidator(_read_path), AfterValidator(os.path.expanduser)]
Number = Annotated[float, BeforeValidator(_read_number), Field(strict=True, allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_read_whole_number), Field(strict=True)]
GpuNumbers = Annotated[
    tuple[Annotated[Whole, Field(ge=0, le=1023)], ...],
    BeforeValidator(_read_numbers),
    Field(min_length=1),
    AfterValidator(_check_different),
]
Seconds = Annotated[float, BeforeValidator(_read_seconds), Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, BeforeValidator(_read_switch), Field(strict=True)]
LocalPath = Annotated[PathText, AfterValidator(_check_local)]
SizedFolder = Annotated[LocalPath, AfterValidator(_check_sized_folder)]
ModuleNames = Annotated[tuple[str, ...], BeforeValidator(read_module_names)]
DESCRIPTORS = "descriptors"
"""The backbone that has nothing to train."""


def one_of(registry: Registry) -> Any:
    """The type of a key that names something in a registry, or is `auto`."""

    def check(value: str) -> str:
        if value != "auto" and value not in registry:
            raise ValueError(registry.unknown(value))
        return value

    return Annotated[Text, AfterValidator(check)]
