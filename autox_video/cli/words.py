"""Parse a command's arguments: a config or a folder of clips, and `key=value` overrides.

Options spelt as in other tools are refused with a message that gives the right spelling.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autox_video.core.console import say
from autox_video.core.errors import ConfigError
from autox_video.core.wording import at_most
from autox_video.distributed.processes import started_by_others
from autox_video.run.work_dir import FRESH, RECORD

DEFAULT_CONFIG = "config.yaml"
PLAN, FROM_PLAN = "--plan", "--from-plan"
OPTIONS = (FRESH, PLAN, FROM_PLAN, "-h", "--help")
"""All options that commands take; every other setting is written as key=value."""
DEMO = "demo"
"""Stands for the built-in demo, unless a file or folder has this name."""
DEMO_CONFIG = {
    "data_root": "data/demo/videos",
    "ann_file_train": "data/demo/annotations/train_list.txt",
    "ann_file_val": "data/demo/annotations/val_list.txt",
    "ann_file_test": "data/demo/annotations/test_list.txt",
    "demo": True,
    "work_dir": "work_dirs/demo",
    "time_budget": "75s",
    "load_from": "none",
}

Config = str | dict[str, Any]
"""The path of a config file, or the content of a config."""

_CONFIG_OPTIONS = ("config", "cfg", "cfg_file", "config_file", "yaml", "c")
_OVERRIDE_OPTIONS = ("cfg_options", "options", "opts", "override", "overrides", "set")
_SWITCHES = ("amp", "fp16", "no_validate")
_RESUMED = "the same command resumes the run in work_dir"
_STARTED = "gpus=N starts N processes"
_NO_KEY = {
    "resume": _RESUMED,
    "resume_from": _RESUMED,
    "auto_resume": _RESUMED,
    "amp": "the precision is a key: precision=bfloat16",
    "fp16": "the precision is a key: precision=float16",
    "launcher": _STARTED,
    "local_rank": _STARTED,
    "gpu_ids": "choose one GPU with device=cuda:N, several with gpus=N or gpus=0,2",
    "no_validate": "turn evaluation off with evaluation=0",
}
"""Maps each option of other trainers that has no equivalent config key to its alternative."""

# Matches `key value`, `key= value`, `key = value`, `key =value`, `key: value` and `key:value`,
# where \0 separates two words.
_APART = re.compile(r"([\w-]+)(\0?=\0|\0=|:\0?|\0(?!--))([^\0=]*)")


def read_words(words: Sequence[str]) -> tuple[Config, list[str]]:
    """Return the config and the overrides.

    A folder or the address of clips becomes a config with the single key `data_root`. By default,
    the config is config.yaml in the current folder. The config.yaml of the demo is ignored if an
    override sets `data_root`.

    Args:
        words: the arguments after the command, without the command's own options.

    Raises:
        ConfigError: an option or argument cannot be used; there is one message per problem.
    """
    problems: list[str] = []
    names: list[str] = []
    overrides: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name = _plain(word.partition("=")[0])
        if (word.startswith("-") and word != "-") or ("=" in word and name in _CONFIG_OPTIONS):
            problems.append(_say_option(word, name, _value_of(word, name, left)))
        elif apart := _is_apart(word, left):
            del left[: apart[0].count("\0")]
            problems.append(_say_apart(*apart.groups()))
        elif "=" in word and (_key_of(name) or not Path(word).exists()):
            overrides.append(word)  # a config may be called beta=0.1.yaml
        else:
            names.append(word)
    problems += at_most(
        names[1:],
        lambda word: (
            f"command line: `{word}`: only one config or folder can be given, and "
            f"{names[0]} is the first; keys are written key=value."
        ),
    )
    if problems:
        raise ConfigError(*problems)
    keys = {word.partition("=")[0].strip() for word in overrides}
    return (_config_of(names[0], keys) if names else _default_config(keys)), overrides


def from_plan_as_key(words: Sequence[str]) -> list[str]:
    """Replace `--from-plan RECORD` with the key `from_plan=RECORD`.

    Raises:
        ConfigError: RECORD is missing.
    """
    left, others = list(words), []
    while left:
        word = left.pop(0)
        option, equals, value = word.partition("=")
        if option == FROM_PLAN:
            value = value if equals else next(iter(left), "-")
            if not value or value.startswith("-"):
                raise ConfigError(
                    f"command line: {FROM_PLAN} needs the work dir of a run, or its {RECORD}."
                )
            left = left if equals else left[1:]
            word = f"from_plan={value}"
        others.append(word)
    return others


def _config_of(name: str, keys: set[str]) -> Config:
    """Return the config for an argument: a file, a folder or address of clips, or the demo."""
    path, is_address = Path(name).expanduser(), "://" in name
    if not (is_address or path.exists()) and name == DEMO:
        return dict(DEMO_CONFIG)
    if not (is_address or path.is_dir()):
        return _config_file(name)
    if "data_root" in keys:
        raise ConfigError(f"command line: both {name} and data_root name the clips; give only one.")
    if not is_address and (path / RECORD).is_file():
        raise ConfigError(
            f"command line: {name} is the work dir of a run; give the clips or the config of that "
            f"run, with work_dir={name}."
        )
    return {"data_root": name}


def _config_file(name: str) -> str:
    from autox_video.video.files.suffixes import is_video

    if is_video(name):
        raise ConfigError(f"command line: {name} is a video; give the folder that holds the clips.")
    if not (Path(name).exists() or Path(name).suffix in (".yaml", ".yml")):
        raise ConfigError(
            f"command line: there is no file or folder {name}; give a folder of clips or a config, "
            "as in: autox-video train CLIPS_FOLDER epoch=10"
        )
    return name


def _default_config(keys: set[str]) -> Config:
    named = "data_root" in keys
    if "from_plan" in keys and not named:
        return {}
    if not Path(DEFAULT_CONFIG).exists():
        if named:
            return {}
        raise ConfigError(
            f"command line: no clips are given, and this folder has no {DEFAULT_CONFIG}. Give a "
            "folder of clips: autox-video train CLIPS_FOLDER. Or try the built-in demo: "
            f"autox-video train {DEMO}"
        )
    if named and _is_of_demo(Path(DEFAULT_CONFIG)):
        if not started_by_others():
            say(f"{DEFAULT_CONFIG} is the demo's config and is not used, as data_root is given.")
        return {}
    return DEFAULT_CONFIG


def _is_of_demo(path: Path) -> bool:
    from autox_video.config.config_file import read_config
    from autox_video.config.value_types import read_switch

    return read_switch(read_config(path)[0].get("demo")) is True


def _plain(name: str) -> str:
    return name.strip().lstrip("-").replace("-", "_").lower()


def _key_of(name: str) -> str | None:
    """Return the config key for a name, which may come from another tool."""
    # Imported late, so that a command can report the missing package if the import fails.
    from autox_video.config.load import OTHER_NAMES
    from autox_video.config.settings import Settings

    return name if name in Settings.model_fields else OTHER_NAMES.get(name)


def _is_apart(word: str, left: Sequence[str]) -> re.Match[str] | None:
    """Match a key and a value that are not joined by a single `=`."""
    apart = _APART.match("\0".join([word, *left[:2]]))
    if apart is None or Path(word).exists():
        return None
    name, sign, value = apart.groups()
    is_value = apart.string[apart.end() : apart.end() + 1] != "=" and (value or ":" in sign)
    is_key = "=" in sign or _key_of(_plain(name)) is not None
    return apart if is_value and is_key else None


def _value_of(word: str, name: str, left: list[str]) -> str:
    """Return the value of an option, taken from the same argument or from the next one."""
    takes_none = word in (FRESH, PLAN) or name in _SWITCHES
    if "=" in word or takes_none or not left or left[0].startswith("--"):
        return word.partition("=")[2]
    if "=" in left[0] and name not in _OVERRIDE_OPTIONS:
        return ""
    return left.pop(0)


def _say_option(word: str, name: str, value: str) -> str:
    option = word.partition("=")[0]
    written = f"`{word}`" if "=" in word or not value else f"`{word} {value}`"
    if option in OPTIONS:
        has_value = "=" in word and option != FROM_PLAN
        why = "takes no value" if has_value else "is an option of the command train only"
        return f"command line: {written}: {option} {why}."
    if name in _CONFIG_OPTIONS:
        example = value or DEFAULT_CONFIG
        return f"command line: {written}: write the config file without an option: {example}"
    if name in _OVERRIDE_OPTIONS:
        return f"command line: {written}: write keys as key=value: {value or 'epoch=10'}"
    if name in _NO_KEY:
        return f"command line: {written} is not an option; {_NO_KEY[name]}."
    key = _key_of(name)
    how = f": {key}={_quoted(value)}" if key else ", as in epoch=10; --help lists the keys."
    return f"command line: {written} is not an option; write options as key=value{how}"


def _say_apart(name: str, sign: str, value: str) -> str:
    written = f"{name}{sign}{value}".replace("\0", " ")
    return (
        f"command line: `{written}`: write options as key=value, without spaces: "
        f"{_key_of(_plain(name)) or name}={_quoted(value)}"
    )


def _quoted(value: str) -> str:
    return f"'{value}'" if " " in value else value or "VALUE"
