"""`autox-video info`."""

import argparse
import json
from pathlib import Path

from autox_video.core.console import say, say_text, short_path
from autox_video.core.errors import ConfigError

HELP = "show what a model file contains, or write its model card"
EXAMPLES = (
    ("backbone, classes, score, licence", "autox-video info best.safetensors"),
    (
        "write a card to publish with the model",
        "autox-video info best.safetensors --card --out README.md",
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the model, the form and the file to write."""
    parser.add_argument("model", metavar="MODEL", help="a model file, such as best.safetensors")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--card", action="store_true", help="write a model card in Markdown")
    form.add_argument("--json", action="store_true", help="write all facts as JSON")
    parser.add_argument("--out", metavar="FILE", help="file for the card or the JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    parser.add_argument(
        "--import",
        dest="custom_imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module of yours that the model needs (custom_imports)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the facts about a model file, or write them as a model card or as JSON.

    Raises:
        CheckpointError: the file is not a usable model.
        ConfigError: the file to write exists already, or --out is given without a form.
        ResourceError: the file cannot be written.
    """
    from autox_video.config.custom_imports import import_custom_modules
    from autox_video.core.files import write_text
    from autox_video.prediction.outputs.output_files import check_new_file

    if options.out and not (options.card or options.json):
        raise ConfigError("info: --out needs --card (Markdown) or --json.")
    if options.out:
        check_new_file(Path(options.out), options.overwrite)
    import_custom_modules(tuple(options.custom_imports), Path(), "--import")
    from autox_video.prediction.model_card import LABEL_WIDTH, card_lines, card_markdown
    from autox_video.prediction.model_facts import model_facts

    facts = model_facts(Path(options.model))
    if not (options.card or options.json):
        for label, text in card_lines(facts):
            say(f"{label:<{LABEL_WIDTH}}{text}", indent=LABEL_WIDTH)
        return 0
    text = card_markdown(facts) if options.card else json.dumps(facts, indent=1) + "\n"
    if options.out:
        write_text(options.out, text)
        say(f"Written to {short_path(options.out)}.")
    else:
        say_text(text)
    return 0
