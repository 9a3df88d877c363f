"""`autox-video timeline`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from autox_video.core.console import say, short_path
from autox_video.core.errors import ConfigError

if TYPE_CHECKING:
    from autox_video.prediction.timeline import TimelineOptions
    from autox_video.prediction.timeline_table import TimelineTable
    from autox_video.prediction.video_prediction import VideoPrediction

HELP = "show the segments of stored predictions, without predicting again"
EXAMPLES = (
    ("try another threshold", "autox-video timeline predictions.parquet --threshold 0.7"),
    ("write subtitles of one video", "autox-video timeline predictions.json --out video.srt"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the predictions, the segments and the file to write."""
    parser.add_argument(
        "predictions", metavar="PREDICTIONS", help=".json or .parquet file of `predict --out`"
    )
    add_timeline_options(parser)
    parser.add_argument("--out", metavar="FILE", help="file to write: .csv, .json or .srt")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")


def add_timeline_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of TimelineOptions, which are None unless given."""
    options = {
        "--threshold": ("P", "lowest probability of a segment, 0 to 1; default: 0.5"),
        "--min-seconds": ("SEC", "shortest segment and gap; default: half a window"),
        "--smoothing": ("SEC", "reach of the smoothing, 0 for none; default: one step of windows"),
    }
    for name, (metavar, meaning) in options.items():
        parser.add_argument(name, type=float, metavar=metavar, help=meaning)


def timeline_options(options: argparse.Namespace, *, overlaps: bool) -> TimelineOptions:
    """Return the TimelineOptions for the options that `add_timeline_options` added.

    Raises:
        ConfigError: a value is out of range.
    """
    from autox_video.prediction.timeline import TimelineOptions

    return TimelineOptions(**given_options(options), overlaps=overlaps)


def given_options(options: argparse.Namespace) -> dict[str, float]:
    """Return the values of TimelineOptions that the user gave, by name."""
    values = {name: getattr(options, name) for name in ("threshold", "min_seconds", "smoothing")}
    return {name: value for name, value in values.items() if value is not None}


def run(options: argparse.Namespace) -> int:
    """Print the timelines of stored predictions, and write them to a file if asked.

    Raises:
        ConfigError: the predictions or an option cannot be used.
        InstallError: .parquet is given, and pyarrow is not installed.
        ResourceError: a file cannot be read or written.
    """
    from autox_video.prediction.outputs.output_files import (
        allows_overlaps,
        check_output,
        read_predictions,
        write_predictions,
    )
    from autox_video.prediction.timeline_table import TimelineTable

    if options.out:
        if Path(options.out).suffix.lower() == ".parquet":
            raise ConfigError(
                f"out: {options.out}: .parquet files hold windows, not segments; write a .csv, "
                ".json or .srt file."
            )
        check_output(options.out, options.overwrite)
    stored = read_predictions(options.predictions)
    header = stored.header
    how = timeline_options(options, overlaps=allows_overlaps(header.about))
    shown = TimelineTable(how)
    predictions = _each(stored.predictions, shown)
    if options.out:
        about = {**header.about, "classes": header.classes}
        write_predictions(options.out, predictions, about, how)
    else:
        for _ in predictions:
            pass
    shown.show()
    if options.out:
        say(f"Written to {short_path(options.out)}.")
    return 0


def _each(
    predictions: Iterable[VideoPrediction], shown: TimelineTable
) -> Iterator[VideoPrediction]:
    """Yield the predictions, after adding each to the table."""
    for prediction in predictions:
        shown.add(prediction)
        yield prediction
