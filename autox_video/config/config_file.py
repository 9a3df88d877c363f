"""Read config files and command-line overrides as plain values, using YAML's safe loader only."""

import re
import reprlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import yaml

from autox_video.core.errors import ConfigError

CONFIG_BYTES_MAX = 1 << 20

# For tagged values (`!!omap x`, `!!binary x`), PyYAML passes on any error of its conversion.
_YAML_FAULTS = (
    yaml.YAMLError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

# Matches `epoch:10` and `epoch = 10`, which people are used to from other formats.
_OTHER_FORMAT = re.compile(r"^[ \t]*(\w+)(?::|[ \t]*=[ \t]*)(?=\S)([^\n]*)", re.MULTILINE)


class Written(str):
    """Text that plain YAML would read as a number, date, time or boolean."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class _Loader(yaml.SafeLoader):
    """A YAML loader that keeps numbers, dates, times and booleans as text.

    Each key converts its own values, since YAML 1.1 would read 1:30 as 90, 010 as 8 and no as
    false.
    """


def _as_written(loader: _Loader, node: yaml.Node) -> str:
    return Written(loader.construct_scalar(node))


for _kind in ("bool", "int", "float", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _as_written)

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlevel = 2


def show_value(value: Any) -> str:
    """Return `value` in YAML notation, shortened if the value is huge or deeply nested."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    return _SHORT.repr(value)


def read_overrides(
    overrides: Sequence[str], text_keys: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the values of `key=value` overrides, and a message for each malformed override.

    Values are parsed as YAML, except for the values of `text_keys`, which are used literally unless
    they are quoted or null.
    """
    values, problems = {}, []
    for override in overrides:
        key, equals, text = (part.strip() for part in override.partition("="))
        if not equals or not key:
            problems.append(f"command line: `{override}` is not key=value, as in epoch=10.")
        elif not text:
            problems.append(
                f"command line: `{override}` has no value; for the default, write {key}=auto."
            )
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
    """Return the values, the FILE:LINE of each key, and a message for each duplicate key.

    Raises:
        ConfigError: the file is missing, is unreadable, or is not a YAML mapping.
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
        raise ConfigError(f"{path} is empty; it needs at least the line `data_root: FOLDER`.")
    if not isinstance(values, dict):
        shown = show_value(values)
        hint = _hint(text) + _hint_at_list(path)
        raise ConfigError(f"{path} has no `key: value` lines, but {shown}.{hint}")
    origins: dict[str, str] = {}
    problems = []
    for key_node, _ in node.value:
        key, where = key_node.value, f"{path}:{key_node.start_mark.line + 1}"
        if key in origins:
            problems.append(f"{where}: key `{key}` is already set at {origins[key]}; keep one.")
        origins.setdefault(key, where)
    return values, origins, problems


def _hint(text: str) -> str:
    """Return a hint on how to correct a config that is not valid YAML; "" if there is no hint."""
    match = _OTHER_FORMAT.search(text)
    if match is None:
        return " Indent with spaces, not with tabs." if "\n\t" in text else ""
    line = text.count("\n", 0, match.start(1)) + 1
    return f" Write line {line} as `{match[1]}: {match[2].strip()}`."


def _hint_at_list(path: Path) -> str:
    if path.suffix.lower() not in (".csv", ".json", ".jsonl", ".tsv", ".txt"):
        return ""
    return f" For a list of clips: autox-video train CLIPS_FOLDER ann_file_train={path}"


def _read_text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
        text = data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such config file.") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder, not a config file.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}:{line}: not UTF-8 text. If this is a config file, save it as UTF-8; to train "
            "on clips, give their folder."
        ) from error
    if len(data) > CONFIG_BYTES_MAX:
        raise ConfigError(f"{path} is larger than 1 MiB, so it is not a config file.")
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
