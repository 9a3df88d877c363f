"""The job that predicts new videos with a model file, and writes and shows the predictions.

Many videos are predicted in parts, which are kept in the folder OUT.parts until all are done. If
the job is stopped and run again, it continues after the parts that are there.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autox_video.core.console import complain, progress, say, short_path, table
from autox_video.core.errors import ResourceError
from autox_video.core.files import sha256, write_json
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.distributed import processes
from autox_video.evaluation.results import Prediction, Provenance, results
from autox_video.jobs.test_report import show_report
from autox_video.prediction.video_prediction import VideoPrediction

if TYPE_CHECKING:
    from autox_video.prediction.timeline import TimelineOptions
    from autox_video.prediction.video_model import VideoModel

PART_VIDEOS = 1000
"""Number of videos in a part."""
SHOWN_VIDEOS, SHOWN_SEGMENTS = 20, 60
"""Maximum numbers of table rows."""
NAMED_UNREADABLE = 10
MANIFEST = "parts.json"


@dataclass(frozen=True, slots=True)
class Request:
    """What to predict, and what to do with the predictions."""

    model: Path
    sources: Sequence[str]
    out: Path | None = None
    """File to write; None to only show the predictions."""
    overwrite: bool = False
    """Whether existing output files are replaced."""
    top: int = 3
    """Number of classes to show for each video."""
    timeline: "TimelineOptions | None" = None
    """How segments are made; None for no timeline."""
    annotate: Path | None = None
    """Video file to write with the timeline drawn on it, or a folder for several; None for none."""
    data_root: str | None = None
    device: str = "auto"
    workers: int | None = None
    custom_imports: Sequence[str] = ()


def predict(request: Request) -> int:
    """Predict the videos, and return how many of them could be read at least in part.

    All processes must call this. Only the main process writes and shows anything.

    Raises:
        AutoXVideoError: there is a problem that the user can fix.
    """
    from autox_video.prediction.outputs.output_files import check_output
    from autox_video.prediction.sources import find_videos
    from autox_video.prediction.video_model import VideoModel

    me = processes.join()
    if request.out is not None:
        check_output(request.out, request.overwrite)
    model = VideoModel.load(
        request.model,
        device=request.device,
        workers=request.workers,
        custom_imports=request.custom_imports,
    )
    if request.timeline is not None:
        timeline = replace(request.timeline, overlaps=model.task.has_label_sets)
        request = replace(request, timeline=timeline)
    videos = processes.run_on_rank_zero(
        lambda: find_videos(request.sources, model, data_root=request.data_root)
    )
    if request.out is not None:
        check_output(request.out, request.overwrite, videos=len(videos))
    predictions = _predictions(request, model, videos)
    if not me.is_main:
        for _ in predictions:
            pass
        return len(videos)
    return _finish(request, model, videos, predictions)


def _predictions(
    request: Request, model: "VideoModel", videos: ClipTable
) -> Iterator[VideoPrediction]:
    """Yield the predictions in order, part by part."""
    windows = request.timeline is not None or request.annotate is not None
    parts = Parts.of(request, videos, windows=windows)
    with progress("Predicting", len(videos)) as show:
        for start in range(0, len(videos), PART_VIDEOS):
            rows = range(start, min(start + PART_VIDEOS, len(videos)))
            done = processes.run_on_rank_zero(lambda start=start: parts and parts.read(start))
            if done is None:
                done = model.predict_clips(
                    videos.select(rows),
                    windows=windows,
                    on_done=lambda count, start=start: show(start + count),
                )
                if parts and processes.current().is_main:
                    parts.write(start, done)
            show(rows.stop)
            yield from done


@dataclass(frozen=True, slots=True)
class Parts:
    """The folder with the parts that are done."""

    folder: Path

    @classmethod
    def of(cls, request: Request, videos: ClipTable, *, windows: bool) -> "Parts | None":
        """Return the folder for many videos; None if they fit into one part or are not written.

        Raises:
            ResourceError: the folder holds parts of another prediction.
        """
        if request.out is None or len(videos) <= PART_VIDEOS:
            return None
        parts = cls(request.out.with_name(f"{request.out.name}.parts"))
        about = {
            "model": sha256(request.model),
            "videos": _digest(videos),
            "windows": windows,
            "videos_per_part": PART_VIDEOS,
        }
        processes.run_on_rank_zero(lambda: parts._prepare(about, request))
        return parts

    def _prepare(self, about: Mapping[str, Any], request: Request) -> None:
        manifest = self.folder / MANIFEST
        if manifest.is_file():
            if _read_manifest(manifest) == about:
                say(f"Continuing with the predictions in {short_path(self.folder)}.")
                return
            if not request.overwrite:
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
        write_json(manifest, about)

    def read(self, start: int) -> list[VideoPrediction] | None:
        """Return the predictions of the part that starts with this video; None if not done yet."""
        from autox_video.prediction.outputs.output_files import read_predictions

        path = self._path(start)
        return list(read_predictions(path).predictions) if path.is_file() else None

    def write(self, start: int, predictions: Sequence[VideoPrediction]) -> None:
        """Store the predictions of a part."""
        from autox_video.prediction.outputs.output_files import write_predictions

        write_predictions(self._path(start), predictions, {}, None)

    def remove(self) -> None:
        """Delete the folder with all parts."""
        shutil.rmtree(self.folder)

    def _path(self, start: int) -> Path:
        return self.folder / f"part-{start // PART_VIDEOS:06d}.json"


def _read_manifest(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _digest(videos: ClipTable) -> str:
    digest = hashlib.sha256()
    for row, path in enumerate(videos.paths):
        digest.update(f"{path}\0{videos.segment(row)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


# ---- what is written and shown ----


class _Shown:
    """Passes predictions on, and keeps what is shown at the end."""

    def __init__(self, labelled: bool) -> None:
        self.first: list[VideoPrediction] = []
        self.labelled: list[VideoPrediction] | None = [] if labelled else None
        self.unreadable: list[VideoPrediction] = []
        self.readable = 0

    def passing(self, predictions: Iterator[VideoPrediction]) -> Iterator[VideoPrediction]:
        """Yield the predictions."""
        for prediction in predictions:
            self.readable += prediction.is_readable
            if prediction.error is not None:
                self.unreadable.append(prediction)
            if len(self.first) < SHOWN_VIDEOS:
                self.first.append(prediction)
            if self.labelled is not None:
                self.labelled.append(prediction)
            yield prediction


def _finish(
    request: Request, model: "VideoModel", videos: ClipTable, predictions: Iterator[VideoPrediction]
) -> int:
    from autox_video.prediction.outputs.output_files import write_predictions

    shown = _Shown(videos.labels is not None)
    passing = shown.passing(predictions)
    if request.out is not None:
        about = {
            "model": request.model.name,
            "model_sha256": sha256(request.model),
            "task": model.task.name,
            "classes": model.classes,
        }
        write_predictions(request.out, passing, about, request.timeline)
    else:
        for _ in passing:
            pass
    _show(request, shown, len(videos))
    if shown.labelled is not None and shown.readable:
        _show_scores(model, shown.labelled)
    if request.out is not None:
        say(f"Predictions: {short_path(request.out)} ({counted(len(videos), 'video')})")
    return shown.readable


def _show(request: Request, shown: _Shown, total: int) -> None:
    for prediction in shown.unreadable[:NAMED_UNREADABLE]:
        what = "only a part can be read" if prediction.is_readable else "cannot be read"
        complain(f"{prediction.video}: {what}: {prediction.error}")
    if len(shown.unreadable) > NAMED_UNREADABLE:
        more = len(shown.unreadable) - NAMED_UNREADABLE
        complain(f"{counted(more, 'more video')} cannot be read, or only in part.")
    readable = [prediction for prediction in shown.first if prediction.is_readable]
    if not readable:
        return
    folder, names = _without_folder([prediction.video for prediction in readable])
    title = f"Predictions for {counted(total, 'video')}{folder and f' in {folder}'}"
    if request.timeline is not None:
        _show_timelines(request.timeline, title, dict(zip(names, readable, strict=True)))
    else:
        rows = [
            _row(name, prediction.top(request.top))
            for name, prediction in zip(names, readable, strict=True)
        ]
        table(title, ("video", "class", "score", "next"), rows, lines=False)
    if total > len(shown.first):
        where = "" if request.out is not None else "; --out FILE writes all of them"
        say(f"The first {len(shown.first)} of {counted(total, 'video')} are shown{where}.")


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


def _show_timelines(
    options: "TimelineOptions", title: str, predictions: Mapping[str, VideoPrediction]
) -> None:
    from autox_video.prediction.timeline import timeline

    rows = [
        (name, f"{part.start:.2f}", f"{part.end:.2f}", part.name, f"{part.score:.3f}")
        for name, prediction in predictions.items()
        for part in timeline(prediction, options)
    ]
    if not rows:
        say(
            f"{title}: no segment reaches a probability of {options.threshold:g}; --threshold "
            "lowers it."
        )
        return
    columns = ("video", "start (s)", "end (s)", "class", "score")
    table(title, columns, rows[:SHOWN_SEGMENTS], lines=False)
    if len(rows) > SHOWN_SEGMENTS:
        say(f"The first {SHOWN_SEGMENTS} of {len(rows)} segments are shown.")


def _show_scores(model: "VideoModel", predictions: Sequence[VideoPrediction]) -> None:
    """Print the same report as a test."""
    as_tested = [
        Prediction(
            prediction.video,
            prediction.label,
            None if prediction.scores is None else tuple(prediction.scores.tolist()),
            prediction.error,
            prediction.segment,
        )
        for prediction in predictions
    ]
    provenance = Provenance("", "", "", "", "", model.classes)
    show_report(model.task, results(model.task, as_tested, provenance), as_tested)
