"""The words of a command: a config file and `key=value` overrides; other spellings told."""

from collections.abc import Sequence
from pathlib import Path

from autox_video.core.errors import ConfigError

DEFAULT_CONFIG = "config.yaml"
FRESH, PLAN = "--fresh", "--plan"
OPTIONS = (FRESH, PLAN, "-h", "--help")
"""All that there are; the rest is written key=value."""

_CONFIG_OPTIONS = ("config", "cfg", "cfg_file", "config_file", "yaml", "c")
_OVERRIDE_OPTIONS = ("cfg_options", "options", "opts", "override", "overrides", "set")
# Options of other trainers that stand for no key.
_SENTENCES = {
    "resume": "a run that work_dir holds is resumed by the same command",
    "resume_from": "a run that work_dir holds is resumed by the same command",
    "auto_resume": "a run that work_dir holds is resumed by the same command",
    "amp": "the precision is a key: precision=bfloat16",
    "fp16": "the precision is a key: precision=float16",
    "launcher": "the processes start by themselves, as many as gpus=N says",
    "local_rank": "the processes start by themselves, as many as gpus=N says",
    "gpu_ids": "one GPU is chosen by device=cuda:N, several by gpus=N or gpus=0,2",
    "no_validate": "the evaluation is a key: evaluation=0",
}


def read_words(words: Sequence[str]) -> tuple[str, list[str]]:
    """Give the config file, the default one where none is named, and the overrides.

    Args:
        words: what follows the command, without its own options.

    Raises:
        ConfigError: with a sentence for each option or word that is none of these, and how it is
            written here.
    """
    problems: list[str] = []
    configs: list[str] = []
    overrides: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word.startswith("-") and word != "-":
            problems.append(_say_option(word, _value_behind(word, left)))
        elif _is_override(word):
            if word.endswith("=") and left and "=" not in left[0]:
                problems.append(_say_spaces(word[:-1], left.pop(0), f"{word} "))
            elif word.partition("=")[0].lower() in _CONFIG_OPTIONS:
                problems.append(_say_option(word, word.partition("=")[2]))
            else:
                overrides.append(word)
        elif _key_of(word) and left and _is_value(left[0]):
            problems.append(_say_apart(word, left))
        elif _key_of(word.partition(":")[0]) and not Path(word).is_file():
            name, _, value = word.partition(":")
            colon = ":" if value else ": "
            value = value or (left.pop(0) if left and "=" not in left[0] else "")
            problems.append(_say_spaces(name, value, f"{name}{colon}"))
        else:
            configs.append(word)
    problems += [
        f"command line: `{word}` is not key=value, as in epoch=10; {configs[0]} is the config."
        for word in configs[1:]
    ]
    if problems:
        raise ConfigError(*problems)
    return (configs[0] if configs else DEFAULT_CONFIG), overrides


def _is_override(word: str) -> bool:
    # A config may be called lr=0.1.yaml.
    return "=" in word and not (_key_of(word.partition("=")[0]) is None and Path(word).is_file())


def _is_value(word: str) -> bool:
    return not word.startswith("--") and ("=" not in word or word.startswith("="))


def _key_of(name: str) -> str | None:
    """Give the key that a name means, in its own or in other tools' words."""
    # Not above: a command has to say what is missing where these cannot be imported.
    from autox_video.config.load import OTHER_NAMES
    from autox_video.config.settings import Settings

    name = name.strip().lstrip("-").replace("-", "_").lower()
    return name if name in Settings.model_fields else OTHER_NAMES.get(name)


def _value_behind(word: str, left: list[str]) -> str:
    """Take the value of an option from its own word, or from what follows it."""
    if "=" in word or word in OPTIONS or not left or left[0].startswith("--"):
        return word.partition("=")[2]
    name = word.lstrip("-").replace("-", "_").lower()
    takes_override = name in _OVERRIDE_OPTIONS
    if name in ("amp", "fp16", "no_validate") or ("=" in left[0] and not takes_override):
        return ""
    return left.pop(0)


def _say_option(word: str, value: str) -> str:
    option = word.partition("=")[0]
    name = option.lstrip("-").replace("-", "_").lower()
    written = f"`{word}`" if "=" in word or not value else f"`{word} {value}`"
    if option in OPTIONS:
        why = "takes no value" if "=" in word else "is an option of the command train alone"
        return f"command line: {written}: {option} {why}."
    if name in _CONFIG_OPTIONS:
        example = value or DEFAULT_CONFIG
        return f"command line: {written}: the config file is written without an option: {example}"
    if name in _OVERRIDE_OPTIONS:
        return f"command line: {written}: keys are written key=value: {value or 'epoch=10'}"
    if name in _SENTENCES:
        return f"command line: {written} is not an option; {_SENTENCES[name]}."
    key = _key_of(name)
    if key:
        return (
            f"command line: {written} is not an option; options are written key=value: "
            f"{key}={_quoted(value) or 'VALUE'}"
        )
    return (
        f"command line: {written} is not an option; options are written key=value, as in "
        "epoch=10; --help lists the keys."
    )


def _say_apart(word: str, left: list[str]) -> str:
    """Say how `key value`, `key =value` and `key = value` are written."""
    value = left.pop(0)
    between = " "
    if value == "=" and left:
        value, between = left.pop(0), " = "
    elif value.startswith("="):
        value, between = value[1:], " ="
    return _say_spaces(word, value, f"{word}{between}")


def _say_spaces(name: str, value: str, before: str) -> str:
    key = _key_of(name) or name
    return (
        f"command line: `{before}{value}`: options are written key=value, without spaces around "
        f"the sign: {key}={_quoted(value) or 'VALUE'}"
    )


def _quoted(value: str) -> str:
    return f"'{value}'" if " " in value else value
