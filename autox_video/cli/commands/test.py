"""`autox-video test`."""

import argparse

from autox_video.cli.words import read_words

HELP = "test the best weights of work_dir, and write results.json"
EXAMPLES = (
    ("the test clips of the data set", "autox-video test my/clips"),
    ("the clips of another list", "autox-video test my/clips ann_file_test=new.csv"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments; this command takes only config keys."""


def run(options: argparse.Namespace) -> int:
    """Run the test in as many processes as the settings request."""
    from autox_video.api import AutoXVideo
    from autox_video.distributed.launch import launch

    model = AutoXVideo().read_cfg(*read_words(options.words))
    if (count := model.process_count()) > 1:
        return launch(count, options.command_words, model.settings().gpus)
    model.transform()
    return 0
