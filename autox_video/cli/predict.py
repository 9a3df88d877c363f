"""`autox-video predict`."""

import argparse
from pathlib import Path

HELP = "predict videos, folders, lists or URLs with a trained model"
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
        help="a video, a folder, a glob pattern in quotes, a list file, or a URL",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write all predictions: .json, .csv, .parquet, .srt",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")
    parser.add_argument(
        "--top", type=int, default=3, metavar="K", help="number of classes to show (default: 3)"
    )
    parser.add_argument(
        "--timeline", action="store_true", help="predict what happens when, in segments"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="P", help="lowest probability of a segment"
    )
    parser.add_argument(
        "--min-seconds", type=float, metavar="S", help="length of the shortest segment"
    )
    parser.add_argument(
        "--data-root", metavar="DIR", help="folder that the paths in a list are relative to"
    )
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of decoding processes")
    parser.add_argument(
        "--import",
        dest="custom_imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module of yours that the model needs (custom_imports)",
    )


def run(options: argparse.Namespace) -> int:
    """Predict the sources; return 2 if none of them can be read."""
    from autox_video.jobs.predict import Request, predict

    timeline = None
    if options.timeline:
        from autox_video.prediction.timeline import THRESHOLD, TimelineOptions

        threshold = THRESHOLD if options.threshold is None else options.threshold
        timeline = TimelineOptions(threshold, options.min_seconds)
    request = Request(
        model=Path(options.model),
        sources=options.sources,
        out=options.out,
        overwrite=options.overwrite,
        top=options.top,
        timeline=timeline,
        data_root=options.data_root,
        device=options.device,
        workers=options.workers,
        custom_imports=options.custom_imports,
    )
    return 0 if predict(request) else 2
