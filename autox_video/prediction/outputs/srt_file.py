"""The timeline of one video as subtitles (SubRip)."""

from collections.abc import Iterable
from pathlib import Path

from autox_video.core.errors import ConfigError, VideoError
from autox_video.prediction.outputs.output_format import (
    KEEP_BYTES,
    OUTPUTS,
    Header,
    OutputFormat,
)
from autox_video.prediction.timeline import Segment, TimelineOptions, timeline
from autox_video.prediction.video_prediction import VideoPrediction


def write(
    path: Path,
    predictions: Iterable[VideoPrediction],
    header: Header,
    options: TimelineOptions | None,
) -> None:
    """Write a subtitle per segment, with the class and its score.

    Raises:
        ConfigError: there is not exactly one video.
        VideoError: the video could not be read.
    """
    remaining = iter(predictions)
    prediction = next(remaining, None)
    if prediction is None or next(remaining, None) is not None:
        raise ConfigError(
            "out: an .srt file holds the subtitles of one video; give one video, or write a .csv."
        )
    if not prediction.is_readable:
        raise VideoError(f"{prediction.video}: no subtitles, as it is unreadable.")
    options = options or TimelineOptions(overlaps=bool(header.about.get("overlaps")))
    segments = timeline(prediction, options)
    text = "\n".join(_subtitle(number, each) for number, each in enumerate(segments, start=1))
    path.write_bytes(text.encode("utf-8", KEEP_BYTES))


def _subtitle(number: int, segment: Segment) -> str:
    name = " ".join(segment.name.split()).replace("-->", "->")  # a line break would end it
    times = f"{_clock(segment.start)} --> {_clock(segment.end)}"
    return f"{number}\n{times}\n{name} ({segment.score:.2f})\n"


def _clock(seconds: float) -> str:
    whole, millis = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{millis:03d}"


OUTPUTS.register(".srt")(OutputFormat(write, is_for_one_video=True))
