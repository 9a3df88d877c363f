"""What can be said of a video file without decoding it."""

import os
import re
import stat
from fractions import Fraction
from pathlib import Path

import av

from autox_video.video.files.file_kinds import UNFINISHED, why_no_video

FALLBACK_FPS = 25.0
"""Frame rate of a file that does not say any: what FFmpeg assumes for raw streams."""

MIN_FPS, MAX_FPS = 1 / 3601, 100_001.0
"""What is believed as a frame rate where time stamps say so, as those of high-speed cameras do."""

USUAL_FPS = (0.05, 1000.0)
"""Frame rates that are not odd; of what headers only guess, no others are believed."""

PICTURE_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<number>\d{1,18})(?P<suffix>\.(?:jpe?g|png|bmp|webp|tiff?))", re.IGNORECASE
)
"""Name of a frame that lies as a picture: img_00001.jpg, 00001.jpg, frame_000001.png."""


def is_frame_folder(path: str | Path) -> bool:
    """Whether this is a folder of frames: numbered pictures, and no folder among them."""
    try:
        with os.scandir(path) as entries:
            found = False
            for entry in entries:
                if entry.is_dir():
                    return False
                found = found or PICTURE_NAME.fullmatch(entry.name) is not None
            return found
    except (OSError, ValueError):  # no folder or not to be read; or a byte 0 in its name
        return False


def believed_fps(average: Fraction | None, *guesses: Fraction | None) -> float:
    """Give the average rate of a header if it makes sense, else the first guess that does."""
    if average and MIN_FPS <= average <= MAX_FPS:
        return float(average)
    for rate in guesses:
        if rate and USUAL_FPS[0] <= rate <= USUAL_FPS[1]:
            return float(rate)
    return FALLBACK_FPS


def why_not_a_file(path: Path) -> str | None:
    """Say what is wrong with a path before any decoder sees it, None if nothing is."""
    if path.suffix.lower() in UNFINISHED:
        return f"its download was not finished, by its name ({path.suffix})"
    try:
        status = path.stat()
    except FileNotFoundError:
        return _where_it_leads(path)
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    if stat.S_ISDIR(status.st_mode):
        return "this is a folder, not a video"
    if not stat.S_ISREG(status.st_mode):
        return "this is a device or a pipe, not a video"
    if status.st_size == 0:
        return "the file is empty (0 bytes)"
    return None


def _where_it_leads(path: Path) -> str:
    """Say why there is no file at a path."""
    if not path.is_symlink():
        return "there is no such file"
    target = str(path.readlink())
    if ".git/annex/objects" in target:
        return "git-annex has not fetched it: run `git annex get` (or `datalad get`)"
    return f"it is a link to {target}, where there is nothing"


def why_not_open(path: Path, error: av.error.FFmpegError) -> str:
    """Say why FFmpeg could not open a file."""
    if isinstance(error, av.error.InvalidDataError):
        return why_no_video(path) or "this is not a video, or its header is damaged or cut off"
    return f"it cannot be opened ({error.strerror or error})"
