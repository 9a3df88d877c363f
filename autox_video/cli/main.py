"""The commands: parse, build, run, close.

Exit codes: 0 done; 2 a mistake that the user can mend; 130, 143 and 129 stopped by Ctrl-C, by
SIGTERM or SIGUSR1, and by the end of the terminal; 1, with a traceback, a defect of this project.
Where nobody reads any more, as behind `| head`, a command goes on and says nothing more.
"""

import argparse
import atexit
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from autox_video.cli.command_line import DEFAULT_CONFIG, FRESH, PLAN, read_words
from autox_video.core.console import complain, show_every_letter
from autox_video.core.errors import AutoXVideoError
from autox_video.distributed import processes
from autox_video.machine.installation import explain_import_error
from autox_video.run.clock import command_begins

if TYPE_CHECKING:
    from autox_video.api import AutoXVideo
    from autox_video.config.settings import Settings

_WITH_WORDS = ("train", "test", "check", "leaderboard")

_stopped_by: int | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    global _stopped_by
    _stopped_by = None
    words = list(sys.argv[1:] if arguments is None else arguments)
    command_begins()
    # Threads that spin for long while they wait starve each other, and the data workers, as soon
    # as they are more than the free cores: a step then takes ten times as long. Without any
    # spinning they sleep between small operations, and a small model takes half as long again.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    processes.follow_launcher()
    sys.excepthook = _fail
    for signum in processes.STOPPED:
        if signal.getsignal(signum) != signal.SIG_IGN:  # as nohup does
            signal.signal(signum, _stop)
    show_every_letter()
    try:
        parser = _parser(with_keys=bool({"-h", "--help"} & set(words)))
        _refuse_strange_options(words)
        # argparse takes the words after an option for strangers: the option goes last.
        options = parser.parse_args(sorted(words, key=lambda word: word in (FRESH, PLAN)))
        options.words_given = words
        code = options.run(options)
    except KeyboardInterrupt:
        code = processes.STOPPED[signal.SIGINT]
    except SystemExit as leave:
        if not processes.joined():
            raise
        code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
    finally:
        atexit.register(_nothing_left_to_stop)  # what is registered last is called first
    return _part(code)


def _refuse_strange_options(words: Sequence[str]) -> None:
    """Raise ConfigError for options that are none, with how the same is written here."""
    command, *others = words or [""]
    known = (FRESH, PLAN) if command == "train" else ()
    others = [word for word in others if word not in known]
    is_strange = any(word.startswith("-") for word in others)
    if command in _WITH_WORDS and is_strange and not {"-h", "--help"} & set(others):
        read_words(others)


def _code_of(error: Exception) -> int | None:
    # A library in the midst of its import may make an error of its own out of the stop.
    if _stopped_by is not None:
        return processes.STOPPED[_stopped_by]
    if isinstance(error, ModuleNotFoundError):
        return _refuse(explain_import_error("autox_video", error))
    if isinstance(error, AutoXVideoError):
        return _refuse(*error.problems)
    return None


def _refuse(*problems: str) -> int:
    if processes.may_complain():
        for problem in problems:
            complain(problem)
    return 2


def _say_stopped(sentence: str) -> None:
    if _rank() == 0:
        complain(sentence)


def _rank() -> int:
    """Which of the processes this is, whatever else the environment says."""
    text = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
    return int(text) if text.isdecimal() else 0


def _stop(signum: int, frame: object) -> None:
    global _stopped_by
    if _stopped_by is None:
        _say_stopped("Stopped. Run the same command again to go on.")
    _stopped_by = signum
    if signum == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(processes.STOPPED[signum])


def _nothing_left_to_stop() -> None:
    """While Python tidies up, a signal ends it at once, without a traceback from its midst."""
    for signum, code in processes.STOPPED.items():
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, lambda *_, code=code: _leave_at_once(code))


def _part(code: int) -> int:
    """Leave the other processes, which wait for this one only where all is well."""
    if not processes.joined():
        return code
    if code == 0:
        processes.leave()
        return code
    return _leave_at_once(code)


def _leave_at_once(code: int) -> int:
    # What Python does at its end may wait for processes that have gone.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _fail(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show a defect's traceback, but not those of the processes that it took along."""
    if not processes.joined():
        sys.__excepthook__(kind, error, trace)
        return
    code = 1
    if processes.lost_others(error):
        code = processes.end_as_lost(error)
    elif processes.may_complain():
        sys.__excepthook__(kind, error, trace)
    _leave_at_once(code)


def _train(options: argparse.Namespace) -> int:
    from autox_video.training.interrupt import Stopped

    model, count = _read_config(options)
    if count > 1:
        return _launch(count, options, model.settings())
    if options.plan:
        model.plan(fresh=options.fresh)
        return 0
    try:
        # torchrun repeats the command where a process has failed: then the run goes on.
        is_repeated = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
        model.fit(fresh=options.fresh and not is_repeated)
    except Stopped as stop:
        how = "Stopped, and saved." if stop.saved else "Stopped; the last steps are not saved."
        _say_stopped(f"{how} Run the same command again to go on from here.")
        return stop.exit_code
    return 0


def _test(options: argparse.Namespace) -> int:
    model, count = _read_config(options)
    if count > 1:
        return _launch(count, options, model.settings())
    model.transform()
    return 0


def _read_config(options: argparse.Namespace) -> "tuple[AutoXVideo, int]":
    """Give the model with its settings, and how many processes are to be started for it."""
    from autox_video.api import AutoXVideo
    from autox_video.distributed.launch import wanted

    model = AutoXVideo().read_cfg(*read_words(options.words))
    return model, wanted(model.settings())


def _launch(count: int, options: argparse.Namespace, settings: "Settings") -> int:
    from autox_video.distributed.launch import launch

    gpus = settings.gpus if isinstance(settings.gpus, tuple) else ()
    return launch(count, options.words_given, gpus)


def _check(options: argparse.Namespace) -> int:
    from autox_video.api import AutoXVideo

    AutoXVideo().read_cfg(*read_words(options.words)).check()
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from autox_video.cli.doctor import run_doctor

    return run_doctor()


def _cache(options: argparse.Namespace) -> int:
    from autox_video.automl.probing import feature_store
    from autox_video.core.console import say
    from autox_video.core.disk_cache import DiskCache
    from autox_video.core.errors import ResourceError
    from autox_video.data.loading import frame_cache

    folders = {"frames": frame_cache.default_folder(), "features": feature_store.default_folder()}
    if options.folder:
        folders = {"frames": Path(options.folder)}
    if None in folders.values():
        raise ResourceError("cache: there is no home folder; name the folder of the cache.")
    if options.folder and not folders["frames"].is_dir():
        raise ResourceError(f"cache: there is no folder {folders['frames'].absolute()}.")
    for kind, folder in folders.items():
        cache = DiskCache(folder, suffix=f".{kind}")
        clips, size = cache.clear() if options.action == "clear" else cache.usage()
        what = "Removed" if options.action == "clear" else "Kept are"
        say(f"{what} the {kind} of {clips} clips, {size / 2**30:.2f} GiB, in {folder}.")
    return 0


def _leaderboard(options: argparse.Namespace) -> int:
    from autox_video.automl.leaderboard import read_rows, show_leaderboard
    from autox_video.config.load import load_settings
    from autox_video.core.console import say

    work_dir = Path(load_settings(*read_words(options.words)).work_dir)
    rows = read_rows(work_dir)
    if rows:
        show_leaderboard(rows, f"Leaderboard of {work_dir}")
    else:
        say(f"There is no leaderboard in {work_dir.absolute()} yet; autotrain.py writes it.")
    return 0


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
        ("leaderboard", _leaderboard, "show every model that was tried in work_dir, best first"),
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
        if run is _train:
            command.add_argument(
                FRESH,
                action="store_true",
                help="move the run that work_dir holds into WORK_DIR/earlier, and train anew",
            )
            command.add_argument(
                PLAN,
                action="store_true",
                help="show every choice, with the predicted time, write plan.json, and stop there",
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
    from autox_video.config.settings import KEY_HELP

    return "keys:\n" + "\n".join(f"  {key:18} {meaning}" for key, meaning in KEY_HELP.items())
