"""Check, write and read files of predictions; the suffix of a path chooses the format."""

import os
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from autox_video.core.errors import ConfigError, ResourceError
from autox_video.core.files import atomic_write
from autox_video.prediction.outputs.output_format import (
    OUTPUTS,
    Header,
    OutputFormat,
    StoredPredictions,
)
from autox_video.prediction.timeline import TimelineOptions
from autox_video.prediction.video_prediction import VideoPrediction
from autox_video.tasks.task import TASKS


def check_output(path: str | Path, overwrite: bool = False, *, videos: int = 1) -> None:
    """Check that a file of predictions can be written, before anything is predicted.

    Args:
        path: the file to write.
        overwrite: whether an existing file may be replaced.
        videos: number of videos that will be predicted.

    Raises:
        ConfigError: the suffix is unknown, the file exists already, its folder does not exist, or
            the format holds only one video.
        InstallError: the format needs a package that is not installed.
        ResourceError: the folder is not writable.
    """
    path = Path(path)
    chosen = _format(path)
    chosen.check()
    if chosen.is_for_one_video and videos != 1:
        raise ConfigError(
            f"out: {path}: {path.suffix.lower()} files hold one video, and {videos} are given; "
            "write a .csv or .json file."
        )
    check_new_file(path, overwrite)


def check_new_file(path: Path, overwrite: bool, *, option: str = "out") -> None:
    """Check that a file can be written and that nothing is overwritten unasked.

    Raises:
        ConfigError: the file exists already, or its folder does not exist.
        ResourceError: the folder is not writable.
    """
    if path.is_dir():
        raise ConfigError(f"{option}: {path} is a folder; give the name of a file.")
    if os.path.lexists(path) and not overwrite:
        raise ConfigError(
            f"{option}: {path} exists already; give another name, or add --overwrite to replace it."
        )
    if not path.parent.is_dir():
        raise ConfigError(f"{option}: {path}: there is no folder {path.parent}; create it first.")
    if not os.access(path.parent, os.W_OK):
        raise ResourceError(f"{option}: {path}: the folder {path.parent} is not writable.")


def write_predictions(
    path: str | Path,
    predictions: Iterable[VideoPrediction],
    about: Mapping[str, Any],
    timeline: TimelineOptions | None = None,
) -> None:
    """Write predictions to a file atomically, replacing an existing one: see `check_output`.

    The predictions are written as they come; only subtitles, windows of one video and a row group
    of a Parquet file are in memory at a time.

    Args:
        path: the file to write; its suffix chooses the format.
        predictions: the predictions of the videos, all with the same classes.
        about: JSON values about the model, such as its `task`, and `classes` if there may be no
            predictions.
        timeline: how to make timelines; None for none, except in subtitles.

    Raises:
        ConfigError: the suffix is unknown, or the format holds only one video.
        InstallError: the format needs a package that is not installed.
        ResourceError: the folder is not writable, or the disk is full.
        VideoError: the video is unreadable, so it has no subtitles.
    """
    path = Path(path)
    chosen = _format(path)
    chosen.check()
    remaining = iter(predictions)
    first = list(islice(remaining, 1))
    classes = first[0].classes if first else tuple(about.get("classes", ()))
    about = {"overlaps": allows_overlaps(about), **about}
    about.pop("classes", None)
    with atomic_write(path) as temporary:
        chosen.write(temporary, chain(first, remaining), Header(classes, about), timeline)


def allows_overlaps(about: Mapping[str, Any]) -> bool:
    """Return whether segments may overlap, from `overlaps` of a stored file or from the task.

    Raises:
        ConfigError: the task is unknown.
    """
    if "overlaps" in about:
        return bool(about["overlaps"])
    return "task" in about and TASKS[about["task"]].has_label_sets


def read_predictions(path: str | Path) -> StoredPredictions:
    """Read a .json or .parquet file of predictions.

    Raises:
        ConfigError: there is no such file, or it does not hold predictions that can be read.
        InstallError: the format needs a package that is not installed.
        ResourceError: the file cannot be read.
    """
    path = Path(path)
    chosen = _format(path, option="predictions")
    if chosen.read is None:
        raise ConfigError(
            f"predictions: {path}: {path.suffix.lower()} files cannot be read again; give a .json "
            "or .parquet file."
        )
    if not path.is_file():
        raise ConfigError(f"predictions: there is no file {path}.")
    return chosen.read(path)


def _format(path: Path, *, option: str = "out") -> OutputFormat:
    suffix = path.suffix.lower()
    if suffix not in OUTPUTS:
        raise ConfigError(f"{option}: {path}: the suffix must be one of {', '.join(OUTPUTS)}.")
    return OUTPUTS[suffix]
