"""The job that predicts a camera or a stream until it is stopped."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from autox_video.core.console import can_be_read, complain, say, short_path
from autox_video.core.errors import ConfigError, ResourceError
from autox_video.core.files import json_text
from autox_video.core.wording import counted
from autox_video.distributed import processes
from autox_video.prediction.live.source import is_live

if TYPE_CHECKING:
    from autox_video.prediction.video_model import VideoModel

SUFFIX = ".jsonl"


def live_source_of(sources: Sequence[str]) -> str | None:
    """Return the live source among the sources; None if all of them are files.

    Raises:
        ConfigError: there are several sources, one of them live, or several processes.
    """
    live = [source for source in sources if not Path(source).is_file() and is_live(source)]
    if not live:
        return None
    if len(sources) > 1:
        raise ConfigError("A camera or stream must be the only source; predict the others alone.")
    if processes.current().size > 1:
        raise ConfigError("A camera or stream is predicted by a single process, without torchrun.")
    return live[0]


def check_live(*, out: Path | None, overwrite: bool, windows: bool) -> None:
    """Check the outputs for a live source.

    Raises:
        ConfigError: an output is not possible for a live source, or a file exists already.
        ResourceError: the folder of the file is not writable.
    """
    from autox_video.prediction.outputs.output_files import check_new_file

    if windows:
        raise ConfigError("A camera or stream has no --timeline and no --annotate.")
    if out is None:
        return
    if out.suffix.lower() != SUFFIX:
        raise ConfigError(f"out: {out}: a camera or stream is written as {SUFFIX}.")
    check_new_file(out, overwrite)


def predict_live(model: "VideoModel", source: str, out: Path | None) -> int:
    """Print a line per window, and append it to a file; return the number of lines.

    This ends only by a signal, or when stdout is closed and there is no file.

    Raises:
        VideoError: the source cannot be opened.
        ResourceError: the file cannot be written.
    """
    from autox_video.prediction.stream import line_record, line_text

    lines = 0
    if len(model.models) > 1:
        complain("Only the main model of the ensemble is used for a camera or stream.")
    with _opened(out) as file:
        try:
            for line in model.stream(source):
                lines += 1
                if file is not None:
                    _write(file, json_text(line_record(line)) + "\n")
                say(line_text(line))
                if file is None and not can_be_read():
                    break
        finally:
            if out is not None:
                say(f"Predictions: {short_path(out)} ({counted(lines, 'line')})")
    return lines


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO | None]:
    if out is None:
        yield None
        return
    try:
        file = open(out, "w", encoding="utf-8")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise ResourceError(f"out: {out}: cannot be written ({error.strerror}).") from error
    with file:
        yield file


def _write(file: TextIO, text: str) -> None:
    try:
        file.write(text)
        file.flush()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ResourceError(f"out: {file.name}: cannot be written ({reason}).") from error
