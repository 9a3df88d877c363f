"""The interface and the registry of output formats."""

import codecs
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autox_video.core.errors import ConfigError
from autox_video.core.registry import Registry
from autox_video.prediction.timeline import TimelineOptions
from autox_video.prediction.video_prediction import VideoPrediction

SCHEMA = 1
FORMAT = "autox_video predictions"


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about all of its predictions."""

    classes: tuple[str, ...]
    """Names of the classes."""
    about: Mapping[str, Any]
    """Facts about the model, such as `task`, as JSON values; `overlaps` says whether a video can
    show several classes at a time."""

    def record(self) -> dict[str, Any]:
        """Return the header as it is stored."""
        about = finite(dict(self.about))
        return {
            "schema": SCHEMA,
            "format": FORMAT,
            "about": about,
            "classes": list(self.classes),
        }


@dataclass(frozen=True, slots=True)
class StoredPredictions:
    """The content of a file of predictions."""

    header: Header
    predictions: Iterable[VideoPrediction]
    """The predictions in order, read while they are iterated over; can be iterated over once."""


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """How files of one format are written and read."""

    write: Callable[[Path, Iterable[VideoPrediction], Header, TimelineOptions | None], None]
    """Write the predictions, with their timelines if there are options, to a temporary file."""
    read: Callable[[Path], StoredPredictions] | None = None
    """Read a file; None if the format cannot be read again. Raises ConfigError."""
    check: Callable[[], None] = lambda: None
    """Raise InstallError if a package is missing."""
    is_for_one_video: bool = False
    """Whether a file holds only one video."""


OUTPUTS: Registry[OutputFormat] = Registry(
    "output format",
    {
        ".json": "autox_video.prediction.outputs.json_file",
        ".csv": "autox_video.prediction.outputs.csv_file",
        ".parquet": "autox_video.prediction.outputs.parquet_file",
        ".srt": "autox_video.prediction.outputs.srt_file",
    },
)


def header_of(record: object, path: Path) -> Header:
    """Return the header of a file.

    Raises:
        ConfigError: the file does not hold predictions, or comes from a later version.
    """
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise not_predictions(path)
    if record.get("schema") != SCHEMA:
        raise ConfigError(
            f"{path}: its schema is {record.get('schema')}, and this version of autox_video reads "
            f"schema {SCHEMA}; update autox_video."
        )
    try:
        return Header(tuple(str(name) for name in record["classes"]), dict(record["about"]))
    except (KeyError, TypeError, ValueError) as error:
        raise not_predictions(path) from error


def not_predictions(path: Path) -> ConfigError:
    """Return the error for a file that is damaged or was not written by `write_predictions`."""
    return ConfigError(
        f"{path}: not a file of predictions, or a damaged one; give a .json or .parquet file that "
        "`autox-video predict MODEL SOURCE --out FILE` wrote."
    )


def segment_of(start: float | None, end: float | None) -> tuple[float, float] | None:
    """Return a part of a video from its stored start and end; None for the whole video."""
    return None if start is None else (float(start), math.inf if end is None else float(end))


def finite(value: Any) -> Any:
    """Return a JSON value with None instead of NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _keep_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write the bytes of undecodable file names unchanged, and escape all other surrogates."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


KEEP_BYTES = "autox-video-keep-bytes"
"""Name of the error handler for encoding text that contains file names."""
codecs.register_error(KEEP_BYTES, _keep_bytes)
