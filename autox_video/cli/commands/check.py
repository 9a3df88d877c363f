"""`autox-video check`."""

import argparse

from autox_video.cli.words import read_words

HELP = "check all clips, and report what is wrong with the data, without training"
NOTE = (
    "The report goes to WORK_DIR/check/check.json. The exit code is 0 whatever the check finds, "
    "and 2 if a list or the config cannot be used."
)
EXAMPLES = (("one sub-folder per class", "autox-video check my/clips"),)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments; this command takes only config keys."""


def run(options: argparse.Namespace) -> int:
    """Check the clips."""
    from autox_video.api import AutoXVideo

    AutoXVideo().read_cfg(*read_words(options.words)).check()
    return 0
