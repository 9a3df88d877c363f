"""`autox-video weights`."""

import argparse

from autox_video.core.console import say

HELP = "list pretrained weights to download into checkpoints/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments, since there is only one list."""


def run(options: argparse.Namespace) -> int:
    """Print all known weight files, the best first."""
    from autox_video.backbones.weights.known_weights import KNOWN_FILES

    say("Files to put into ./checkpoints; training starts from the first file that exists:")
    for known in KNOWN_FILES:
        say()
        top1 = "" if known.top1 is None else f", top-1 {known.top1:g}%"
        say(f"{known.backbone}: {known.source}{top1}, {known.size_mib} MiB")
        say(f"  {known.licence}, {known.url}")
    return 0
