"""The words of a command: a config file and `key=value` overrides; other spellings are told."""

import re
from collections.abc import Sequence
from pathlib import Path

from autox_video.core.errors import ConfigError
from autox_video.run.work_dir import FRESH

DEFAULT_CONFIG = "config.yaml"
PLAN = "--plan"
OPTIONS = (FRESH, PLAN, "-h", "--help")
"""All that there are; the rest is written key=value."""

_CONFIG_OPTIONS = ("config", "cfg", "cfg_file", "config_file", "yaml", "c")
_OVERRIDE_OPTIONS = ("cfg_options", "options", "opts", "override", "overrides", "set")
_SWITCHES = ("amp", "fp16", "no_validate")
_RESUMED = "a run that work_dir holds is resumed by the same command"
_STARTED = "the processes start by themselves, as many as gpus=N says"
_NO_KEY = {
    "resume": _RESUMED,
    "resume_from": _RESUMED,
    "auto_resume": _RESUMED,
    "amp": "the precision is a key: precision=bfloat16",
    "fp16": "the precision is a key: precision=float16",
    "launcher": _STARTED,
    "local_rank": _STARTED,
    "gpu_ids": "one GPU is chosen by device=cuda:N, several by gpus=N or gpus=0,2",
    "no_validate": "the evaluation is a key: evaluation=0",
}
"""Options of other trainers that stand for no key."""

# `key value`, `key= value`, `key = value`, `key =value`, `key: value` and `key:value`, where a zero
# stands between two words.
_APART = re.compile(r"([\w-]+)(\0?=\0|\0=|:\0?|\0(?!--))([^\0=]*)")


def read_words(words: Sequence[str]) -> tuple[str, list[str]]:
    """Give the config file, the default one where none is named, and the overrides.

    Args:
        words: what follows the command, without its own options.

    Raises:
        ConfigError: with a sentence for each option or word that is none of these, and how it is
            written for this command.
    """
    problems: list[str] = []
    configs: list[str] = []
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
        elif "=" in word and (_key_of(name) or not Path(word).is_file()):
            overrides.append(word)  # a config may be called beta=0.1.yaml
        else:
            configs.append(word)
    problems += [
        f"command line: `{word}` is not key=value, as in epoch=10; {configs[0]} is the config."
        for word in configs[1:]
    ]
    if problems:
        raise ConfigError(*problems)
    return (configs[0] if configs else DEFAULT_CONFIG), overrides


def _plain(name: str) -> str:
    return name.strip().lstrip("-").replace("-", "_").lower()


def _key_of(name: str) -> str | None:
    """Give the key that a name means, in its own or in other tools' words."""
    # Not above: a command has to say what is missing where these cannot be imported.
    from autox_video.config.load import OTHER_NAMES
    from autox_video.config.settings import Settings

    return name if name in Settings.model_fields else OTHER_NAMES.get(name)


def _is_apart(word: str, left: Sequence[str]) -> re.Match[str] | None:
    """Match a key and its value that are not written as one word with a sign between them."""
    apart = _APART.match("\0".join([word, *left[:2]]))
    if apart is None or Path(word).is_file():
        return None
    name, sign, value = apart.groups()
    is_value = apart.string[apart.end() : apart.end() + 1] != "=" and (value or ":" in sign)
    is_key = "=" in sign or _key_of(_plain(name)) is not None
    return apart if is_value and is_key else None


def _value_of(word: str, name: str, left: list[str]) -> str:
    """Take the value of an option from its own word, or from what follows it."""
    if "=" in word or word in OPTIONS or name in _SWITCHES or not left or left[0].startswith("--"):
        return word.partition("=")[2]
    if "=" in left[0] and name not in _OVERRIDE_OPTIONS:
        return ""
    return left.pop(0)


def _say_option(word: str, name: str, value: str) -> str:
    option = word.partition("=")[0]
    written = f"`{word}`" if "=" in word or not value else f"`{word} {value}`"
    if option in OPTIONS:
        why = "takes no value" if "=" in word else "is an option of the command train alone"
        return f"command line: {written}: {option} {why}."
    if name in _CONFIG_OPTIONS:
        example = value or DEFAULT_CONFIG
        return f"command line: {written}: the config file is written without an option: {example}"
    if name in _OVERRIDE_OPTIONS:
        return f"command line: {written}: keys are written key=value: {value or 'epoch=10'}"
    if name in _NO_KEY:
        return f"command line: {written} is not an option; {_NO_KEY[name]}."
    key = _key_of(name)
    how = f": {key}={_quoted(value)}" if key else ", as in epoch=10; --help lists the keys."
    return f"command line: {written} is not an option; options are written key=value{how}"


def _say_apart(name: str, sign: str, value: str) -> str:
    written = f"{name}{sign}{value}".replace("\0", " ")
    return (
        f"command line: `{written}`: options are written key=value, without spaces around the "
        f"sign: {_key_of(_plain(name)) or name}={_quoted(value)}"
    )


def _quoted(value: str) -> str:
    return f"'{value}'" if " " in value else value or "VALUE"
