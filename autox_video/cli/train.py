"""`autox-video train`."""

import argparse
import os

from autox_video.cli.exit_codes import say_stopped
from autox_video.cli.words import FRESH, PLAN, read_words

HELP = "train on the clips that a config names, or resume"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        FRESH,
        action="store_true",
        help="move the run that work_dir holds into WORK_DIR/earlier, and train anew",
    )
    parser.add_argument(
        PLAN,
        action="store_true",
        help="show every choice, with the predicted time, write record.json, and stop there",
    )


def run(options: argparse.Namespace) -> int:
    """Train in as many processes as the config says, or show the plan."""
    from autox_video.api import AutoXVideo
    from autox_video.distributed.launch import launch
    from autox_video.training.interrupt import Stopped

    model = AutoXVideo().read_cfg(*read_words(options.words))
    if (count := model.process_count()) > 1:
        return launch(count, options.command_words, model.settings().gpus)
    if options.plan:
        model.plan(fresh=options.fresh)
        return 0
    try:
        # torchrun repeats the command where a process has failed: then the run goes on.
        is_repeated = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
        model.fit(fresh=options.fresh and not is_repeated)
    except Stopped as stop:
        how = "Stopped, and saved." if stop.saved else "Stopped; the last steps are not saved."
        say_stopped(f"{how} Run the same command again to resume.")
        return stop.exit_code
    return 0
