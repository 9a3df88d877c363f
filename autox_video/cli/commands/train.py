"""`autox-video train`."""

import argparse
import os

from autox_video.cli.exit_codes import say_stopped
from autox_video.cli.words import FRESH, FROM_PLAN, PLAN, read_words

HELP = "train on clips, or resume the run in work_dir"
EXAMPLES = (
    ("one sub-folder per class", "autox-video train my/clips"),
    ("labels in a list", "autox-video train my/clips ann_file_train=train.csv"),
    ("settings in a file, one of them changed", "autox-video train my.yaml epoch=10"),
    ("only show the choices and the predicted time", "autox-video train my/clips --plan"),
    ("the choices of another run", "autox-video train my/clips --from-plan work_dirs/other"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        FRESH,
        action="store_true",
        help="start a new run; the one in work_dir moves to WORK_DIR/earlier",
    )
    parser.add_argument(
        PLAN,
        action="store_true",
        help="show all choices and the predicted time, write record.json, but do not train",
    )

    parser.add_argument(
        FROM_PLAN,
        metavar="RECORD",
        help="repeat the choices of an earlier run, given by its record.json or work dir",
    )


def run(options: argparse.Namespace) -> int:
    """Train in as many processes as the settings request, or show the plan."""
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
        # torchrun repeats the command after a failure; the run is then resumed.
        is_repeated = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
        model.fit(fresh=options.fresh and not is_repeated)
    except Stopped as stop:
        how = "Stopped and saved." if stop.saved else "Stopped; the last steps are not saved."
        say_stopped(f"{how} Run the same command again to resume.")
        return stop.exit_code
    return 0
