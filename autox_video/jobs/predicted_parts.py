"""Predictions of many videos, stored in parts, so that a prediction can be stopped and resumed."""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from autox_video.core.errors import ResourceError
from autox_video.core.files import write_json
from autox_video.data.clip_table import WHOLE_VIDEO, ClipTable
from autox_video.prediction.outputs.output_files import read_predictions, write_predictions
from autox_video.prediction.video_prediction import VideoPrediction
from autox_video.run.lock import locked

PART_VIDEOS = 48
"""Number of clips in the first part; divisible by common batch sizes, so that batches are the same
however the clips are divided."""
PART_SEC, MOST_VIDEOS = 60.0, 48 << 8
"""The parts grow until one takes this many seconds or has this many videos."""
ABOUT = "parts.json"
_NAME = re.compile(r"part-(\d+)-(\d+)\.json")


class PartSizes:
    """Chooses which videos are predicted next: more at a time, the faster they are.

    Args:
        total: number of videos.
        start: number of videos that are done already.
        least: smallest number of videos in a part.
    """

    def __init__(self, total: int, start: int, least: int) -> None:
        self._total, self._next, self._size = total, start, least
        self._began: float | None = None

    def next(self) -> range | None:
        """Return the rows of the next part; None if there are no more."""
        now = time.monotonic()
        if self._began is not None and now - self._began < PART_SEC:
            self._size = min(2 * self._size, max(MOST_VIDEOS, self._size))
        self._began = now
        rows = range(self._next, min(self._next + self._size, self._total))
        self._next = rows.stop
        return rows or None


class Parts:
    """The folder OUT.parts, with the predictions so far. Used only by the main process.

    Args:
        out: the file that is written when all parts are done.
        videos: all videos; labels and segments are not stored in the parts.
    """

    def __init__(self, out: Path, videos: ClipTable) -> None:
        self.folder = out.with_name(f"{out.name}.parts")
        self._out, self._videos = out, videos
        self.done = 0
        """Number of videos that are done; the parts are made in order."""

    def open(self, about: Mapping[str, Any], *, overwrite: bool) -> None:
        """Create the folder, or find out how many videos are done in it.

        Args:
            about: what the predictions depend on, besides the videos.
            overwrite: whether parts of another prediction are deleted.

        Raises:
            ResourceError: the folder has parts of another prediction, or cannot be created.
        """
        about = {**about, "videos": _digest(self._videos)}
        path = self.folder / ABOUT
        if self.folder.exists() and _read(path) != about:
            if not overwrite and any(self.folder.iterdir()):
                raise ResourceError(
                    f"{self.folder}: holds parts of a prediction of other videos or by another "
                    "model. Delete the folder, give another --out, or add --overwrite."
                )
            self.remove()
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{self.folder}: cannot be created ({error.strerror}); give another --out."
            ) from error
        write_json(path, about)
        self.done = max((rows.stop for rows, _ in self._files()), default=0)

    def lock(self) -> AbstractContextManager[None]:
        """Keep other predictions out of the folder.

        Raises:
            ResourceError: another process uses the folder.
        """
        return locked(self.folder)

    def write(self, rows: range, predictions: Sequence[VideoPrediction]) -> None:
        """Store a part."""
        path = self.folder / f"part-{rows.start:09d}-{rows.stop:09d}.json"
        write_predictions(path, predictions, {}, None)
        self.done = rows.stop

    def __iter__(self) -> Iterator[VideoPrediction]:
        """Yield the stored predictions in order; one part is in memory at a time."""
        for rows, path in self._files():
            for row, prediction in zip(rows, read_predictions(path).predictions, strict=True):
                segment = self._videos.segment(row)
                yield replace(
                    prediction,
                    label=None if self._videos.labels is None else self._videos.labels[row],
                    segment=None if segment == WHOLE_VIDEO else segment,
                )

    def remove(self) -> None:
        """Delete the folder with all parts.

        Raises:
            ResourceError: the folder cannot be deleted.
        """
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise ResourceError(
                f"{self.folder}: cannot be deleted ({error.strerror}); delete it yourself."
            ) from error

    def _files(self) -> list[tuple[range, Path]]:
        """Return the rows and the file of each part, in order, up to the first gap."""
        files, end = [], 0
        for path in sorted(self.folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match and int(match[1]) == end:
                end = int(match[2])
                files.append((range(int(match[1]), end), path))
        return files


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _digest(videos: ClipTable) -> str:
    digest = hashlib.sha256()
    for row, path in enumerate(videos.paths):
        digest.update(f"{path}\0{videos.segment(row)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
