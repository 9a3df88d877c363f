"""Check and describe video files without decoding them."""

import os
import re
import stat
from fractions import Fraction
from pathlib import Path

import av

from autox_video.video.files.file_kinds import UNFINISHED, why_no_video

FALLBACK_FPS = 25.0
"""Frame rate assumed for files that do not state one; also FFmpeg's default for raw streams."""

MIN_FPS, MAX_FPS = 1 / 3601, 100_001.0
"""Range of frame rates accepted from timestamps; it is wide enough for high-speed cameras."""

USUAL_FPS = (0.05, 1000.0)
"""Frame rates outside this range are reported as unusual, or ignored if they are guesses."""

PICTURE_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<number>\d{1,18})(?P<suffix>\.(?:jpe?g|png|bmp|webp|tiff?))", re.IGNORECASE
)
"""Pattern for the file names of frame images, such as img_00001.jpg or 00001.jpg."""


def is_frame_folder(path: str | Path) -> bool:
    """Return whether a path is a folder that contains numbered images and no subfolders."""
    try:
        with os.scandir(path) as entries:
            found = False
            for entry in entries:
                if entry.is_dir():
                    return False
                found = found or PICTURE_NAME.fullmatch(entry.name) is not None
            return found
    except (OSError, ValueError):  # the path is not a readable folder, or contains a null byte
        return False


def plausible_fps(average: Fraction | None, *guesses: Fraction | None) -> float:
    """Return the average frame rate if plausible, else the first plausible guess or a default."""
    if average and MIN_FPS <= average <= MAX_FPS:
        return float(average)
    for rate in guesses:
        if rate and USUAL_FPS[0] <= rate <= USUAL_FPS[1]:
            return float(rate)
    return FALLBACK_FPS


def why_not_a_file(path: Path) -> str | None:
    """Return why a path cannot be opened as a video file; None if it can be opened."""
    if path.suffix.lower() in UNFINISHED:
        return f"this is an unfinished download ({path.suffix} file)"
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
    """Return why there is no file at a path."""
    if not path.is_symlink():
        return "there is no such file"
    target = str(path.readlink())
    if ".git/annex/objects" in target:
        return "git-annex has not fetched it: run `git annex get` (or `datalad get`)"
    return f"it is a broken link to {target}"


def why_not_open(path: Path, error: av.error.FFmpegError) -> str:
    """Return why FFmpeg could not open a file."""
    if isinstance(error, av.error.InvalidDataError):
        return why_no_video(path) or "this is not a video, or its header is damaged or cut off"
    return f"it cannot be opened ({error.strerror or error})"
