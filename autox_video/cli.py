"""The commands: parse, build, run, close.

Exit codes: 0 done; 2 a mistake that the user can mend; 130 and 143 stopped by Ctrl-C or SIGTERM;
1, with a traceback, a defect of this project.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from autox_video.console import complain, show_every_letter
from autox_video.errors import AutoXVideoError
from autox_video.installation import explain_import_error

DEFAULT_CONFIG = "config.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Threads that spin for long while they wait starve each other, and the data workers, as soon
    # as they are more than the free cores: a step then takes ten times as long. Without any
    # spinning they sleep between small operations, and a small model takes half as long again.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    signal.signal(signal.SIGTERM, _terminate)
    show_every_letter()
    try:
        options = _parser(with_keys=bool({"-h", "--help"} & set(words))).parse_args(words)
        return options.run(options)
    except ModuleNotFoundError as error:
        complain(explain_import_error("autox_video", error))
        return 2
    except AutoXVideoError as error:
        for problem in error.problems:
            complain(problem)
        return 2
    except KeyboardInterrupt:
        complain("Stopped. Run the same command again to go on.")
        return 128 + signal.SIGINT


def _terminate(signum: int, frame: object) -> None:
    complain("Stopped. Run the same command again to go on.")
    sys.exit(128 + signum)


def _train(options: argparse.Namespace) -> int:
    from autox_video.api import AutoXVideo
    from autox_video.engine.interrupt import Stopped

    model = AutoXVideo().read_cfg(*_config_and_overrides(options.words))
    try:
        model.fit()
    except Stopped as stop:
        complain("Stopped, and saved. Run the same command again to go on from here.")
        return stop.exit_code
    return 0


def _test(options: argparse.Namespace) -> int:
    from autox_video.api import AutoXVideo

    AutoXVideo().read_cfg(*_config_and_overrides(options.words)).transform()
    return 0


def _check(options: argparse.Namespace) -> int:
    from autox_video.api import AutoXVideo

    AutoXVideo().read_cfg(*_config_and_overrides(options.words)).check()
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from autox_video.doctor import run_doctor

    return run_doctor()


def _cache(options: argparse.Namespace) -> int:
    from autox_video.console import say
    from autox_video.dataset.frame_cache import clear, default_folder, size_of
    from autox_video.errors import ResourceError

    folder = Path(options.folder) if options.folder else default_folder()
    if folder is None:
        raise ResourceError("cache: there is no home folder; name the folder of the cache.")
    if options.folder and not folder.is_dir():
        raise ResourceError(f"cache: there is no folder {folder.absolute()}.")
    clips, size = (clear if options.action == "clear" else size_of)(folder)
    what = "Removed" if options.action == "clear" else "Kept are"
    say(f"{what} the frames of {clips} clips, {size / 2**30:.2f} GiB, in {folder}.")
    return 0


def _config_and_overrides(words: Sequence[str]) -> tuple[str, list[str]]:
    if words and "=" not in words[0]:
        return words[0], list(words[1:])
    return DEFAULT_CONFIG, list(words)


def _parser(*, with_keys: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autox-video", description="Automatic machine learning for video understanding."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, meaning in (
        ("train", _train, "train on the clips that a config names, or go on with it"),
        ("test", _test, "test the best weights and write results.json"),
        (
            "check",
            _check,
            "open every clip, train nothing, and say what is wrong with the data; ends with 0 "
            "whatever it finds, with 2 where a list or the config cannot be used",
        ),
    ):
        command = commands.add_parser(
            name,
            help=meaning,
            description=meaning[0].upper() + meaning[1:] + ".",
            epilog=_keys() if with_keys else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument(
            "words",
            nargs="*",
            metavar="CONFIG | key=value",
            help=f"config file (default: {DEFAULT_CONFIG}), then keys that take precedence over it",
        )
        command.set_defaults(run=run)
    cache = commands.add_parser(
        "cache", help="say how much the decoded frames take, or remove them"
    )
    cache.add_argument("action", choices=("show", "clear"))
    cache.add_argument("folder", nargs="?", help="the cache that `cache: DIR` names, if any")
    cache.set_defaults(run=_cache)
    doctor = commands.add_parser("doctor", help="say what this machine has and what is missing")
    doctor.set_defaults(run=_doctor)
    return parser


def _keys() -> str:
    from autox_video.settings import KEY_HELP

    return "keys:\n" + "\n".join(f"  {key:18} {meaning}" for key, meaning in KEY_HELP.items())
