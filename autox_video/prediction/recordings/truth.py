"""The recordings in a table of labelled segments, and what is true in each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from autox_video.data.clip_table import ClipTable, video_keys
from autox_video.prediction.video_prediction import VideoPrediction
from autox_video.tasks.localisation.segments import Segments


@dataclass(frozen=True, slots=True)
class LabelledRecordings:
    """Recordings, each listed once, and their true segments."""

    clips: ClipTable
    """The recordings as whole videos."""
    keys: tuple[str, ...]
    """Video key of each recording."""
    segments: tuple[Segments, ...]
    """True segments of each recording, in presentation time; ends may be infinite."""

    @classmethod
    def of(cls, clips: ClipTable, data_root: str, classes: int) -> "LabelledRecordings":
        """Return the recordings in a table of segments, in the order of their first segment.

        Segments with a label from `classes` on are background and left out.
        """
        rows: dict[str, list[int]] = {}
        for row, key in enumerate(video_keys(clips.paths, data_root)):
            rows.setdefault(key, []).append(row)
        return cls(
            ClipTable(tuple(clips.paths[of_one[0]] for of_one in rows.values())),
            tuple(rows),
            tuple(_segments(clips, of_one, classes) for of_one in rows.values()),
            clips.labels is not None,
        )

    are_labelled: bool = True
    """Whether the table has labels."""

    def __len__(self) -> int:
        return len(self.keys)


def _segments(clips: ClipTable, rows: list[int], classes: int) -> Segments:
    if clips.labels is None:
        return Segments.of([])
    found = []
    for row in rows:
        start, end = clips.segment(row)
        if clips.labels[row] >= classes:
            continue
        found.append((start, end if math.isfinite(end) else LATEST_SEC, clips.labels[row]))
    return Segments.of(found)


LATEST_SEC = 1e9
"""Stands for the end of a recording until its length is known."""


def clipped(segments: Segments, begin_sec: float, end_sec: float) -> Segments:
    """Return the parts of segments within a recording, given its bounds in presentation time."""
    shifted = Segments(
        segments.starts - begin_sec, segments.ends - begin_sec, segments.labels, segments.scores
    ).clipped(end_sec - begin_sec)
    return Segments(
        shifted.starts + begin_sec, shifted.ends + begin_sec, shifted.labels, shifted.scores
    )


def within(segments: Segments, prediction: VideoPrediction) -> Segments:
    """Return the parts of segments within a predicted recording; none if it is unreadable."""
    if prediction.windows is None:
        return Segments.of([])
    return clipped(segments, prediction.windows.starts[0], prediction.windows.ends[-1])


def as_records(segments: Segments, classes: tuple[str, ...]) -> list[Mapping[str, object]]:
    """Return segments as entries of a JSON file, in order of time."""
    ordered = segments.by_time()
    columns = (ordered.starts, ordered.ends, ordered.labels, ordered.scores)
    return [
        {
            "class": classes[int(label)],
            "start": round(float(start), 3),
            "end": round(float(end), 3),
            "score": round(float(score), 6),
        }
        for start, end, label, score in zip(*columns, strict=True)
    ]
