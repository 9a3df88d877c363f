"""A config file and command-line overrides as plain values, by YAML's safe loader only."""

import re
import reprlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

from autox_video.core.errors import ConfigError

CONFIG_BYTES_MAX = 1 << 20

# Tagged values (`!!omap x`, `!!binary x`) make PyYAML raise whatever its conversion happened to
# raise.
_YAML_FAULTS = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

# `epoch:10` and `epoch = 10`, as other formats have it.
_OTHER_FORMAT = re.compile(r"^[ \t]*(\w+)(?::|[ \t]*=[ \t]*)(?=\S)([^\n]*)", re.MULTILINE)


class Written(str):
    """A value as it was written, that YAML would take for a number, a date, a time or a switch."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class _Loader(yaml.SafeLoader):
    """YAML whose numbers, dates, times and switches stay as they were written.

    What they are is for the setting to decide: YAML 1.1 makes 90 of 1:30, 8 of 010, false of no.
    """


def _as_written(loader: _Loader, node: yaml.Node) -> str:
    return Written(loader.construct_scalar(node))


for _kind in ("bool", "int", "float", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _as_written)

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlevel = 2


def show_value(value: Any) -> str:
    """Write `value` for a sentence: as YAML does, and short, for it may be a huge nested thing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    return _SHORT.repr(value)


def read_overrides(
    overrides: Sequence[str], text_keys: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """Give the values of `key=value` overrides, and a sentence for each that is not one.

    A value is YAML; that of one of `text_keys` is the text itself, unless it is quoted or null.
    """
    values, problems = {}, []
    for override in overrides:
        key, equals, text = (part.strip() for part in override.partition("="))
        if not equals or not key:
            problems.append(f"command line: `{override}` is not key=value, as in epoch=10.")
        elif not text:
            problems.append(f"command line: `{override}` has no value; {key}=auto?")
        elif key in text_keys and text[0] not in "'\"":
            values[key] = None if text in ("null", "~") else text
        else:
            try:
                values[key] = _Loader(text).get_single_data()
            except _YAML_FAULTS as error:
                problem = f"command line: `{override}` is not valid YAML ({_reason(error)})."
                problems.append(problem)
    return values, problems


def read_config(path: Path) -> tuple[dict[Any, Any], dict[str, str], list[str]]:
    """Give the values, FILE:LINE of each key, and a sentence for each key that is given twice.

    Raises:
        ConfigError: the file is not there, cannot be read, or holds no YAML mapping.
    """
    text = _read_text(path)
    try:
        node = _Loader(text).get_single_node()
        values = _Loader(text).get_single_data()
    except _YAML_FAULTS as error:
        where = f"{path}{_error_place(error, text)}"
        hint = _hint(text)
        raise ConfigError(f"{where}: this is not valid YAML: {_reason(error)}.{hint}") from error
    if values is None:
        raise ConfigError(f"{path} is empty; at least a line `data_root: FOLDER` is needed.")
    if not isinstance(values, dict):
        shown = show_value(values)
        raise ConfigError(f"{path} holds no `key: value` lines, but {shown}.{_hint(text)}")
    origins: dict[str, str] = {}
    problems = []
    for key_node, _ in node.value:
        key, where = key_node.value, f"{path}:{key_node.start_mark.line + 1}"
        if key in origins:
            problems.append(f"{where}: key `{key}` is at {origins[key]} already; keep one.")
        origins.setdefault(key, where)
    return values, origins, problems


def _hint(text: str) -> str:
    """Show the first line that is written as in another format as YAML has it."""
    match = _OTHER_FORMAT.search(text)
    if match is None:
        return " Indent with spaces, not with tabs." if "\n\t" in text else ""
    line = text.count("\n", 0, match.start(1)) + 1
    return f" Write line {line} as `{match[1]}: {match[2].strip()}`."


def _read_text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
        text = data.decode("utf-8-sig")
    except FileNotFoundError as error:
        message = f"{path}: there is no such config file; name one, as in: autotrain.py my.yaml"
        raise ConfigError(message) from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder; give the config file itself.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text; save it as UTF-8.") from error
    if len(data) > CONFIG_BYTES_MAX:
        raise ConfigError(f"{path} is larger than 1 MiB; it cannot be a config file.")
    return text


def _error_place(error: Exception, text: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        return f":{mark.line + 1}"
    if isinstance(error, yaml.reader.ReaderError):
        return f":{text.count(chr(10), 0, error.position) + 1}"
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    return reason.splitlines()[0] if reason else "it cannot be read"
