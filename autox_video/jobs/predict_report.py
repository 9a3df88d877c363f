"""What `autox-video predict` shows: a table of classes or segments, and scores if there are labels.

The memory does not grow with the number of videos, unless they have labels.
"""

import os
from collections.abc import Iterable, Iterator, Sequence

from autox_video.core.console import complain, say, table
from autox_video.core.wording import SHOWN_AT_MOST, counted
from autox_video.evaluation.results import Prediction, Provenance, results
from autox_video.jobs.test_report import show_report
from autox_video.prediction.timeline import TimelineOptions
from autox_video.prediction.timeline_table import TimelineTable
from autox_video.prediction.video_prediction import VideoPrediction
from autox_video.tasks.task import Task

SHOWN_VIDEOS = 20


class PredictReport:
    """Collects what is shown at the end.

    Args:
        task: the task of the model.
        top: number of classes to show for each video.
        timeline: how segments are made; None to show classes.
        is_labelled: whether the videos have labels.
    """

    def __init__(
        self, task: Task, *, top: int, timeline: TimelineOptions | None, is_labelled: bool
    ) -> None:
        self.total, self.readable = 0, 0
        self._task, self._top = task, top
        self._timeline = None if timeline is None else TimelineTable(timeline)
        self._first: list[VideoPrediction] = []
        self._labelled: list[Prediction] | None = [] if is_labelled else None
        self._classes: tuple[str, ...] = ()
        self._unread = 0

    def passing(self, predictions: Iterable[VideoPrediction]) -> Iterator[VideoPrediction]:
        """Yield the predictions, after adding each."""
        for prediction in predictions:
            self.add(prediction)
            yield prediction

    def add(self, prediction: VideoPrediction) -> None:
        """Add a prediction; a warning names a video that cannot be read, or only in part."""
        self.total += 1
        self.readable += prediction.is_readable
        self._classes = prediction.classes
        if prediction.error is not None:
            self._unread += 1
            if self._unread <= SHOWN_AT_MOST:
                what = "only a part can be read" if prediction.is_readable else "cannot be read"
                complain(f"{prediction.video}: {what}: {_reason(prediction)}")
        if self._labelled is not None:
            self._labelled.append(_as_tested(prediction))
        if not prediction.is_readable:
            return
        if self._timeline is not None:
            self._timeline.add(prediction)
        elif len(self._first) < SHOWN_VIDEOS:
            self._first.append(prediction)

    def show(self, *, is_written: bool) -> None:
        """Print what was collected.

        Args:
            is_written: whether all predictions are in a file.
        """
        if self._unread > SHOWN_AT_MOST:
            more = counted(self._unread - SHOWN_AT_MOST, "more video")
            complain(f"{more} cannot be read, or only in part.")
        if self._timeline is not None and self.readable:
            self._timeline.show()
        elif self._first:
            self._show_classes()
        if self.readable > len(self._first) > 0:
            where = "" if is_written else "; --out FILE writes all of them"
            say(f"The first {len(self._first)} of {counted(self.total, 'video')} are shown{where}.")
        if self._labelled and self.readable:
            provenance = Provenance("", "", "", "", "", self._classes)
            show_report(self._task, results(self._task, self._labelled, provenance), self._labelled)

    def _show_classes(self) -> None:
        folder, names = _without_folder([prediction.video for prediction in self._first])
        title = f"Predictions for {counted(self.total, 'video')}{folder and f' in {folder}'}"
        rows = [
            _row(f"{name}{_part(prediction)}", prediction.top(self._top))
            for name, prediction in zip(names, self._first, strict=True)
        ]
        columns = ("video", "class", "score", "next")[: 3 if self._top == 1 else 4]
        table(title, columns, [row[: len(columns)] for row in rows], lines=False)


def _reason(prediction: VideoPrediction) -> str:
    """Return why a video cannot be read, without the name of the video."""
    video = prediction.video
    return prediction.error.removeprefix(f"{video}: ").removeprefix(f"{video.rstrip('/')}: ")


def _as_tested(prediction: VideoPrediction) -> Prediction:
    """Return a prediction as a test makes it; unreadable videos have been named already."""
    scores = None if prediction.scores is None else tuple(prediction.scores.tolist())
    return Prediction(prediction.video, prediction.label, scores, None, prediction.segment)


def _part(prediction: VideoPrediction) -> str:
    if prediction.segment is None:
        return ""
    start, end = prediction.segment
    if prediction.seconds is not None:
        end = min(end, start + prediction.seconds)
    return f" ({start:.2f} to {end:.2f} s)"


def _without_folder(videos: Sequence[str]) -> tuple[str, list[str]]:
    """Return the folder that all videos are in, and the rest of their paths."""
    parts = [video.split("/")[:-1] for video in videos]
    folder = "/".join(os.path.commonprefix(parts))  # noqa: RUF071 (of lists of folder names)
    if not folder or len(set(videos)) == 1:
        return "", list(videos)
    return folder, [video[len(folder) + 1 :] for video in videos]


def _row(name: str, top: Sequence[tuple[str, float]]) -> tuple[str, ...]:
    (best, score), *others = top
    others = ", ".join(f"{other} {probability:.3f}" for other, probability in others)
    return name, best, f"{score:.3f}", others
