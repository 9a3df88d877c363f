"""`autox-video predict`."""

import argparse
from pathlib import Path

from autox_video.cli.commands.timeline import (
    add_timeline_options,
    given_options,
    timeline_options,
)
from autox_video.core.errors import ConfigError

HELP = "predict videos, folders, lists, URLs or a camera with a trained model"
STOPPED = "Stopped."
EXAMPLES = (
    ("the class of a video", "autox-video predict work_dirs/x/best.safetensors clip.mp4"),
    (
        "all videos in a folder, into a table",
        "autox-video predict best.safetensors clips --out x.csv",
    ),
    (
        "what happens when in a long recording",
        "autox-video predict best.safetensors long.mp4 --timeline",
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the model, the sources and the output."""
    parser.add_argument("model", metavar="MODEL", help="best.safetensors (or best.pth) of a run")
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a video, a folder, a glob pattern in quotes, a list file, a URL, a camera (camera:0) "
        "or a stream (rtsp://...)",
    )
    files = {"--out": "write all predictions: .json, .csv, .parquet, .srt; .jsonl for a stream"}
    files["--annotate"] = "write a video with the timeline on it; a folder for several"
    for name, meaning in files.items():
        parser.add_argument(name, type=Path, metavar="FILE", help=meaning)
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")
    parser.add_argument(
        "--top", type=_whole(1), default=3, metavar="K", help="classes to show (default: 3)"
    )
    parser.add_argument(
        "--timeline", action="store_true", help="predict what happens when, in segments"
    )
    add_timeline_options(parser)
    parser.add_argument(
        "--data-root", metavar="DIR", help="folder that the paths in a list are relative to"
    )
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N"
    )
    parser.add_argument(
        "--workers", type=_whole(0), metavar="N", help="number of decoding processes"
    )
    parser.add_argument(
        "--import",
        dest="custom_imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module of yours that the model needs (custom_imports)",
    )


def _whole(least: int):
    """Return a function that reads a whole number of at least `least`."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"`{text}` is not a whole number from {least}")
        return int(text)

    return whole


def run(options: argparse.Namespace) -> int:
    """Predict the sources; return 2 if none of them can be read.

    Raises:
        AutoXVideoError: there is a problem that the user can fix.
    """
    if "://" in options.model:
        raise ConfigError(f"{options.model}: download the model first, and give its file.")
    segments = timeline_options(options, overlaps=False)
    is_subtitles = options.out is not None and options.out.suffix.lower() == ".srt"
    timeline = options.timeline or is_subtitles
    if not (timeline or options.annotate):
        for name in given_options(options):
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option}: this is an option of --timeline; add --timeline.")
    from autox_video.jobs.predict import Request, predict

    request = Request(
        model=Path(options.model),
        sources=options.sources,
        segments=segments,
        asked=given_options(options),
        out=options.out,
        overwrite=options.overwrite,
        top=options.top,
        timeline=timeline,
        annotate=options.annotate,
        data_root=options.data_root,
        device=options.device,
        workers=options.workers,
        custom_imports=options.custom_imports,
    )
    return 0 if predict(request) else 2
