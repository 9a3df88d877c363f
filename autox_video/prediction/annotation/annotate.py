"""Write a video with its classes and its timeline drawn on it."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from autox_video.core.console import complain
from autox_video.core.errors import ConfigError, ResourceError, VideoError
from autox_video.core.files import atomic_write
from autox_video.core.wording import counted
from autox_video.prediction.annotation.overlay import Overlay
from autox_video.prediction.annotation.video_writer import (
    CONTAINERS,
    SoundCopy,
    VideoWriter,
    sound_of,
)
from autox_video.prediction.outputs.output_files import check_new_file
from autox_video.prediction.timeline import TimelineOptions, timeline
from autox_video.prediction.video_prediction import VideoPrediction
from autox_video.video.open_video import open_video
from autox_video.video.video import TIME_TOLERANCE_SEC, Video


def check_annotation(path: str | Path, overwrite: bool = False, *, videos: int = 1) -> None:
    """Check that an annotated video can be written, before anything is predicted.

    Args:
        path: the file to write.
        overwrite: whether an existing file may be replaced.
        videos: number of videos that will be predicted.

    Raises:
        ConfigError: the suffix is unknown, the file exists already, its folder does not exist, or
            there are several videos.
        ResourceError: the folder is not writable.
    """
    path = Path(path)
    if path.suffix.lower() not in CONTAINERS:
        raise ConfigError(f"annotate: {path}: the suffix must be one of {', '.join(CONTAINERS)}.")
    if videos != 1:
        raise ConfigError(f"annotate: {path}: one video can be annotated, and {videos} are given.")
    check_new_file(path, overwrite, option="annotate")


def annotate(
    source: str | Path,
    prediction: VideoPrediction,
    out: str | Path,
    options: TimelineOptions | None = None,
) -> None:
    """Write a copy of a video with the current classes and a strip of the timeline on it.

    The frames keep their times and, but for odd sizes, their size; the sound is copied if that is
    possible. One frame is in memory at a time. An existing file is replaced: see
    `check_annotation`.

    Args:
        source: path to the video.
        prediction: its prediction.
        out: the file to write: .mp4, .mov or .mkv.
        options: how the timeline is made; None for the defaults.

    Raises:
        ConfigError: `out` is the video itself.
        VideoError: the video is unreadable, or a part of it cannot be decoded.
        ResourceError: the folder is not writable, or the disk is full.
    """
    if not prediction.is_readable:
        raise VideoError(f"{prediction.video}: it is unreadable and cannot be annotated.")
    out = Path(out)
    if out.resolve() == Path(source).resolve():
        raise ConfigError(f"annotate: {out} is the video itself; give another file.")
    with open_video(source) as video, atomic_write(out) as temporary:
        segments = timeline(prediction, options)
        # The times of windows are presentation times: the first frame may be late.
        span = (video.start_sec, video.start_sec + video.seconds)
        overlay = Overlay(video.size, segments, span)
        container = CONTAINERS[out.suffix.lower()]
        try:
            try:
                _write(video, overlay, temporary, container, sound_of(video))
            except av.error.FFmpegError as error:
                complain(f"annotate: {out}: written without sound, as that failed ({error}).")
                _write(video, overlay, temporary, container, None)
        except av.error.FFmpegError as error:
            raise ResourceError(f"annotate: {out}: cannot be written ({error}).") from error


def _write(
    video: Video, overlay: Overlay, path: Path, container: str, sound: SoundCopy | None
) -> None:
    # Without sound, the first frame is at 0; with it, the frames keep their distance to it.
    shift_sec = video.start_sec if sound is not None else 0.0
    written = 0
    writer = VideoWriter(path, container, video.size, fps=video.fps, sound=sound)
    try:
        for pixels, start_sec, end_sec in _frames(video):
            drawn = overlay.draw(pixels, start_sec + video.start_sec)
            writer.write(drawn, start_sec + shift_sec, end_sec + shift_sec)
            written += 1
        writer.finish()
    finally:
        writer.close()
        if sound is not None:
            sound.close()
    if written < video.num_frames:
        complain(
            f"annotate: {video.path}: {counted(video.num_frames - written, 'frame')} of "
            f"{video.num_frames} left out, as they cannot be decoded in order."
        )


def _frames(video: Video) -> Iterator[tuple[np.ndarray, float, float]]:
    """Yield each frame (H, W, 3) in display order, with its start and end in seconds."""
    times = video.timeline()
    starts, ends = times.starts, np.append(times.starts[1:], times.seconds)
    following = 0
    for places, pixels in video.decode_at(starts + TIME_TOLERANCE_SEC, None):
        for place in places:
            if place >= following:
                following = int(place) + 1
                yield pixels, float(starts[place]), float(ends[place])
