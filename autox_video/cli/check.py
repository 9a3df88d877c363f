"""`autox-video check`."""

import argparse

from autox_video.cli.words import read_words

HELP = (
    "open every clip, train nothing, and say what is wrong with the data; ends with 0 whatever it "
    "finds, with 2 where a list or the config cannot be used"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: keys say all."""


def run(options: argparse.Namespace) -> int:
    """Check the data that a config names."""
    from autox_video.api import AutoXVideo

    AutoXVideo().read_cfg(*read_words(options.words)).check()
    return 0
