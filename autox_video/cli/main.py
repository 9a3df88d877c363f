"""`autox-video COMMAND`: parse, run, exit code; a module for each command.

Where nobody reads any more, as behind `| head`, a command goes on and says nothing more.
"""

import argparse
import atexit
import os
import sys
from collections.abc import Sequence

from autox_video.cli import cache, check, doctor, exit_codes, leaderboard, test, train
from autox_video.cli.words import DEFAULT_CONFIG, FRESH, PLAN, read_words
from autox_video.core.console import show_every_letter
from autox_video.distributed import processes
from autox_video.run.clock import command_begins
from autox_video.run.command import remember_command

WITH_CONFIG = {"train": train, "test": test, "check": check, "leaderboard": leaderboard}
COMMANDS = {**WITH_CONFIG, "cache": cache, "doctor": doctor}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command_begins()
    remember_command(words)
    # Threads that spin for long while they wait starve each other, and the data workers, as soon
    # as they are more than the free cores: a step then takes ten times as long. Without any
    # spinning they sleep between small operations, and a small model takes half as long again.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    processes.follow_launcher()
    sys.excepthook = exit_codes.show_defect
    signals = exit_codes.StopSignals()
    signals.listen()
    show_every_letter()
    try:
        options = _parse(words)
        code = options.run(options)
    except BaseException as error:
        code = signals.code_of(error)
        if code is None:
            raise
    finally:
        atexit.register(signals.let_python_end)  # what is registered last is called first
    return exit_codes.end(code)


def _parse(words: list[str]) -> argparse.Namespace:
    """Give the options, the function `run` among them, and the words that they came from.

    Raises:
        ConfigError: an option is none, with how the same is written for this command.
    """
    asks_help = bool({"-h", "--help"} & set(words))
    command, *others = words or [""]
    others = [word for word in others if command != "train" or word not in (FRESH, PLAN)]
    if command in WITH_CONFIG and not asks_help and any(word.startswith("-") for word in others):
        read_words(others)
    # argparse takes the words after an option for strangers: the option goes last.
    words_in_order = sorted(words, key=lambda word: word in (FRESH, PLAN))
    options = _parser(_keys() if asks_help else None).parse_args(words_in_order)
    options.command_words = words
    return options


def _parser(epilog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autox-video", description="Automatic machine learning for video understanding."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=f"{module.HELP[0].upper()}{module.HELP[1:]}.",
            epilog=epilog if name in WITH_CONFIG else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=module.run)
        module.add_arguments(command)
        if name in WITH_CONFIG:
            command.add_argument(
                "words",
                nargs="*",
                metavar="CONFIG | key=value",
                help=f"config file (default: {DEFAULT_CONFIG}), then keys that take precedence "
                "over it",
            )
    return parser


def _keys() -> str:
    from autox_video.config.settings import KEY_HELP

    return "keys:\n" + "\n".join(f"  {key:18} {meaning}" for key, meaning in KEY_HELP.items())
