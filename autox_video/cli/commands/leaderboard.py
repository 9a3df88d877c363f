"""`autox-video leaderboard`."""

import argparse
from pathlib import Path

from autox_video.cli.words import read_words
from autox_video.core.console import say
from autox_video.run.work_dir import LEADERBOARD

HELP = "show every model that was tried in work_dir, the best first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments; this command takes only config keys."""


def run(options: argparse.Namespace) -> int:
    """Show the leaderboard of the work dir that the config names."""
    from autox_video.automl.leaderboard import read_rows, show_leaderboard
    from autox_video.config.load import load_settings

    work_dir = Path(load_settings(*read_words(options.words)).work_dir)
    rows = read_rows(work_dir)
    if rows:
        show_leaderboard(rows, f"Leaderboard of {work_dir}")
        say(f"More columns: {work_dir / LEADERBOARD}")
    else:
        say(f"No leaderboard in {work_dir.absolute()} yet; training writes it.")
    return 0
