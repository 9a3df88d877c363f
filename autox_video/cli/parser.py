"""The command line of `autox-video`: its commands, options and help."""

import argparse
import difflib
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from autox_video.cli.commands import (
    cache,
    check,
    doctor,
    info,
    init,
    leaderboard,
    predict,
    test,
    timeline,
    train,
    weights,
)
from autox_video.cli.exit_codes import RESUMES
from autox_video.cli.words import FRESH, PLAN, from_plan_as_key, read_words
from autox_video.core.console import say
from autox_video.core.errors import ConfigError
from autox_video.run.command import remember_command

WITH_KEYS = {"train": train, "test": test, "check": check, "leaderboard": leaderboard}
COMMANDS = {
    **WITH_KEYS,
    **{"predict": predict, "timeline": timeline, "info": info, "init": init},
    **{"weights": weights, "cache": cache, "doctor": doctor},
}
WIDTH = 80

_WORDS_HELP = (
    "a folder (or address) of clips, one sub-folder per class; a config file; or `demo`. Default: "
    "config.yaml in the current folder. Keys follow as key=value and take precedence."
)
_EXAMPLES = """\
examples:
  autox-video train my/clips                   one sub-folder per class
  autox-video train my/clips time_budget=45m   within 45 minutes, test included
  autox-video test my/clips                    test the trained model
  autox-video predict MODEL new/clips          predict other videos
  autox-video train demo                       the built-in demo

`autox-video COMMAND --help` explains a command, its options and keys.
"""


class _Parser(argparse.ArgumentParser):
    """Raises ConfigError for arguments that cannot be parsed."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{self.prog}: {message}; see {self.prog} --help.")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the options, including the command's function `run` and `command_words`.

    Raises:
        ConfigError: an argument cannot be parsed; the message says how to write it.
    """
    words = list(words)
    if words[:1] == ["--version"]:
        return argparse.Namespace(run=show_version)
    if not words:
        return argparse.Namespace(run=show_help)
    command, *others = words
    if command not in (*COMMANDS, "-h", "--help"):
        raise ConfigError(_say_no_command(command))
    asks_help = bool({"-h", "--help"} & set(words))
    in_order = words
    if command in WITH_KEYS and not asks_help:
        others = from_plan_as_key(others) if command == "train" else others
        remember_command([command, *others])
        mine = [word for word in others if command == "train" and word in (FRESH, PLAN)]
        others = [word for word in others if word not in mine]
        if any(word.startswith("-") for word in others):
            read_words(others)
        # argparse does not accept words after an option, so options go last.
        in_order = [command, *others, *mine]
    options = make_parser(keys_of=command if asks_help else None).parse_args(in_order)
    options.command_words = words
    return options


def make_parser(*, keys_of: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; as listing config keys is slow, only the help for `keys_of` lists them."""
    parser = _Parser(
        prog="autox-video",
        description="Train video classification models from a folder of clips.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="show the versions and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for name, module in COMMANDS.items():
        epilog = [_examples_of(module)]
        if name in WITH_KEYS and name == keys_of:
            epilog += _keys(all_of_them=name == "train")
        options = " [OPTIONS]" if name == "train" else ""
        about = f"{module.HELP[0].upper()}{module.HELP[1:]}. {getattr(module, 'NOTE', '')}"
        command = commands.add_parser(
            name,
            usage=f"%(prog)s [WHAT] [key=value ...]{options}" if name in WITH_KEYS else None,
            help=module.HELP,
            description=textwrap.fill(about, WIDTH - 1),
            epilog="\n\n".join(filter(None, epilog)),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=module.run, stopped=getattr(module, "STOPPED", RESUMES))
        module.add_arguments(command)
        if name in WITH_KEYS:
            command.add_argument("words", nargs="*", metavar="WHAT", help=_WORDS_HELP)
    return parser


def show_version(options: argparse.Namespace) -> int:
    """Print the versions of this package, torch and mmaction2."""
    from autox_video.machine.installation import PROJECT, installed_version

    names = (PROJECT, "torch", "mmaction2")
    say(", ".join(f"{name} {installed_version(name) or 'not installed'}" for name in names))
    return 0


def show_help(options: argparse.Namespace) -> int:
    """Print the help because no command was given, and return 2."""
    make_parser().print_help()
    return 2


def _say_no_command(word: str) -> str:
    if word.startswith("-"):
        return f"command line: `{word}`: give a command first; see autox-video --help."
    if Path(word).exists() or "://" in word or "=" in word:
        return f"command line: `{word}` is not a command; to train: autox-video train {word}"
    near = difflib.get_close_matches(word.lower(), COMMANDS, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"the commands are {', '.join(COMMANDS)}."
    return f"command line: there is no command `{word}`; {hint}"


def _examples_of(module: object) -> str:
    lines = [f"  {what}:\n    {words}" for what, words in getattr(module, "EXAMPLES", ())]
    return "\n".join(["examples:", *lines]) if lines else ""


def _keys(*, all_of_them: bool) -> Iterator[str]:
    """Yield the help for the basic keys, then for the advanced keys or on where to find them."""
    from autox_video.config.settings import BASIC_KEYS, KEY_HELP

    advanced = [key for key in KEY_HELP if key not in BASIC_KEYS]
    yield "\n".join(["keys:", *(_key(key, KEY_HELP[key]) for key in BASIC_KEYS)])
    if all_of_them:
        yield "\n".join(["advanced keys:", *(_key(key, KEY_HELP[key]) for key in advanced)])
    else:
        yield "`autox-video train --help` lists the advanced keys too."


def _key(key: str, meaning: str) -> str:
    indent = " " * 25
    return textwrap.fill(
        meaning, WIDTH - 1, initial_indent=f"  {key:<22} ", subsequent_indent=indent
    )
