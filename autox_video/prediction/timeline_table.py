"""Print timelines as a table."""

from autox_video.core.console import complain, say, table
from autox_video.core.wording import SHOWN_AT_MOST, counted
from autox_video.prediction.timeline import TimelineOptions, timeline
from autox_video.prediction.video_prediction import VideoPrediction

MOST_ROWS = 100
"""Maximum number of segments that are printed; further ones are only counted."""


class TimelineTable:
    """Collects the segments of videos, and prints the first ones; memory is bounded.

    Args:
        options: how segments are made.
    """

    def __init__(self, options: TimelineOptions) -> None:
        self._options = options
        self._rows: list[tuple[str, str, str, str, str]] = []
        self._videos, self._segments, self._unreadable = 0, 0, 0

    def add(self, prediction: VideoPrediction) -> None:
        """Add the segments of a video; a warning names a video that could not be read."""
        self._videos += 1
        if not prediction.is_readable:
            self._unreadable += 1
            if self._unreadable <= SHOWN_AT_MOST:
                complain(f"{prediction.video}: unreadable: {prediction.error}")
            return
        segments = timeline(prediction, self._options)
        self._segments += len(segments)
        for segment in segments[: MOST_ROWS - len(self._rows)]:
            times = (f"{segment.start:.2f}", f"{segment.end:.2f}")
            self._rows.append((prediction.video, *times, segment.name, f"{segment.score:.3f}"))

    def show(self) -> None:
        """Print the table, and how much it leaves out."""
        if self._unreadable > SHOWN_AT_MOST:
            complain(f"{self._unreadable - SHOWN_AT_MOST} more videos are unreadable.")
        title = f"{counted(self._segments, 'segment')} in {counted(self._videos, 'video')}"
        first = 0 if self._videos > 1 else 1  # the only video need not be repeated
        columns = ("video", "start (s)", "end (s)", "class", "score")[first:]
        if self._rows:
            rows = [row[first:] for row in self._rows]
            table(title, columns, rows, lines=False)
        else:
            say(f"{title} with a probability of at least {self._options.threshold:g}.")
        if self._segments > len(self._rows):
            say(f"{self._segments - len(self._rows)} more segments; --out x.csv writes all.")
