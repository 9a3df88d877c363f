"""`autox-video init`."""

import argparse

HELP = "write a short config for a folder of clips"
EXAMPLES = (
    ("write clips.yaml", "autox-video init my/clips"),
    ("write another file", "autox-video init my/clips first.yaml"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the folder of clips and the config file."""
    parser.add_argument("folder", metavar="CLIPS_FOLDER", help="folder (or address) of the clips")
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="config to write; never overwritten"
    )


def run(options: argparse.Namespace) -> int:
    """Inspect the folder of clips, and write the config."""
    from autox_video.jobs.new_config import write_new_config

    write_new_config(options.folder, options.file)
    return 0
