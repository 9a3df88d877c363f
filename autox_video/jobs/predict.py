"""The job that predicts new videos with a model file, and writes and shows the predictions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autox_video.core.console import complain, progress, say, short_path
from autox_video.core.errors import ConfigError
from autox_video.core.files import sha256
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.distributed import processes
from autox_video.video.files.suffixes import is_list, is_video

if TYPE_CHECKING:
    from autox_video.jobs.predict_annotated import AnnotatedVideos
    from autox_video.prediction.timeline import TimelineOptions
    from autox_video.prediction.video_model import VideoModel
    from autox_video.prediction.video_prediction import VideoPrediction

PART_VIDEOS_PER_WORKER = 4
"""Number of long videos in the first part, for each decoding process."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to predict, and what to do with the predictions."""

    model: Path
    sources: Sequence[str]
    segments: "TimelineOptions"
    """How segments are made, if any are."""
    asked: Mapping[str, float] = field(default_factory=dict)
    """The values in `segments` that the user gave; the model may know better ones for the rest."""
    out: Path | None = None
    """File to write; None to only show the predictions."""
    overwrite: bool = False
    """Whether existing output files are replaced."""
    top: int = 3
    """Number of classes to show for each video."""
    timeline: bool = False
    """Whether to make segments."""
    annotate: Path | None = None
    """Video file to write with the timeline drawn on it, or a folder for several; None for none."""
    data_root: str | None = None
    device: str = "auto"
    workers: int | None = None
    custom_imports: Sequence[str] = ()

    @property
    def windows(self) -> bool:
        """Whether all videos are predicted in windows, however short."""
        return self.timeline or self.annotate is not None


def predict(request: Request) -> int:
    """Predict the videos, and return how many of them can be read at least in part.

    All processes must call this. Only the main process writes and shows anything.

    Raises:
        AutoXVideoError: there is a problem that the user can fix.
    """
    from autox_video.jobs.predict_live import live_source_of, predict_live
    from autox_video.prediction.sources import find_videos

    processes.join()
    live = processes.run_on_rank_zero(lambda: live_source_of(request.sources))
    processes.run_on_rank_zero(lambda: _check_output(request, is_live=live is not None))
    model = _load(request)
    if live is not None:
        return predict_live(model, live, request.out)
    request = replace(request, segments=replace(model.timeline_options, **request.asked))
    videos = processes.run_on_rank_zero(
        lambda: find_videos(request.sources, model, data_root=request.data_root)
    )
    job = _Job(request, model, videos)
    with ExitStack() as held:
        processes.run_on_rank_zero(lambda: job.begin(held))
        try:
            job.run()
        except (KeyboardInterrupt, SystemExit):
            job.say_stopped()
            raise
        return processes.run_on_rank_zero(job.finish)


def _load(request: Request) -> "VideoModel":
    from autox_video.prediction.video_model import VideoModel

    name = request.model.name
    if is_video(name) or is_list(name):
        raise ConfigError(f"{request.model} is no model; give the model first, then the videos.")
    return VideoModel.load(
        request.model,
        device=request.device,
        workers=request.workers,
        custom_imports=request.custom_imports,
    )


def _check_output(request: Request, *, is_live: bool) -> None:
    """Check what can be checked before the model is loaded."""
    from autox_video.jobs.predict_live import check_live
    from autox_video.prediction.outputs.output_files import check_output

    if is_live:
        check_live(out=request.out, overwrite=request.overwrite, windows=request.windows)
        return
    if request.out is not None:
        check_output(request.out, request.overwrite)
        if request.out.resolve() in {Path(source).resolve() for source in request.sources}:
            raise ConfigError(f"out: {request.out} is a source; give another name.")
    if request.annotate is not None:
        _annotated(request).check()


def _annotated(request: Request) -> "AnnotatedVideos":
    from autox_video.jobs.predict_annotated import AnnotatedVideos

    return AnnotatedVideos(request.annotate, request.segments, overwrite=request.overwrite)


class _Job:
    """The prediction of all videos, in parts if they are many and written to a file."""

    def __init__(self, request: Request, model: "VideoModel", videos: ClipTable) -> None:
        from autox_video.jobs.predict_report import PredictReport
        from autox_video.jobs.predicted_parts import Parts

        self.request, self.model, self.videos = request, model, videos
        self.report: PredictReport = PredictReport(
            model.task,
            top=request.top,
            timeline=request.segments if request.timeline else None,
            is_labelled=videos.labels is not None,
        )
        self.annotated = None if request.annotate is None else _annotated(request)
        self.least = self._least_part()
        is_large = request.out is not None and len(videos) > self.least
        self.parts: Parts | None = Parts(request.out, videos) if is_large else None
        self.predictions: Sequence[VideoPrediction] = ()

    def _least_part(self) -> int:
        from autox_video.evaluation.loading import loading_of
        from autox_video.jobs.predicted_parts import PART_VIDEOS

        if not self.request.windows:
            return PART_VIDEOS
        record, device = self.model.models[0].record, self.model.device
        workers = loading_of(record, workers=self.request.workers, device=device).workers
        return PART_VIDEOS_PER_WORKER * max(workers, 1) * processes.current().size

    def begin(self, held: ExitStack) -> None:
        """Check the outputs, and find the parts that are done; only in the main process."""
        from autox_video.prediction.outputs.output_files import check_output

        request = self.request
        if request.out is not None:
            check_output(request.out, request.overwrite, videos=len(self.videos))
        if self.annotated is not None:
            self.annotated.check(self.videos)
        if self.parts is None:
            return
        about = {"model": sha256(request.model), "windows": request.windows}
        self.parts.open(about, overwrite=request.overwrite)
        held.enter_context(self.parts.lock())
        if self.parts.done:
            say(f"Continuing after {self.parts.done} of {counted(len(self.videos), 'video')}.")

    def run(self) -> None:
        """Predict the videos; all processes must call this."""
        from autox_video.jobs.predicted_parts import PartSizes

        total, start = len(self.videos), self.parts.done if self.parts else 0
        sizes = PartSizes(total, start, self.least)
        with progress("Predicting", total, start=start) as show:
            while (rows := processes.run_on_rank_zero(sizes.next)) is not None:
                predictions = self.model.predict_clips(
                    self.videos.select(rows),
                    windows=self.request.windows,
                    on_done=lambda done, before=rows.start: show(before + done),
                )
                processes.run_on_rank_zero(
                    lambda rows=rows, predictions=predictions: self._take(rows, predictions)
                )

    def _take(self, rows: range, predictions: Sequence["VideoPrediction"]) -> None:
        if self.parts is not None:
            self.parts.write(rows, predictions)
        elif self.request.out is not None:
            self.predictions = predictions
        else:
            for _ in self._passing(predictions):
                pass

    def _passing(self, predictions: Iterable["VideoPrediction"]) -> Iterator["VideoPrediction"]:
        """Yield the predictions, after adding each to the report and annotating its video."""
        for prediction in self.report.passing(predictions):
            if self.annotated is not None:
                self.annotated.write(prediction)
            yield prediction

    def finish(self) -> int:
        """Write and show the predictions; return the number of videos that can be read."""
        from autox_video.prediction.outputs.output_files import write_predictions

        request, model = self.request, self.model
        if request.out is not None:
            about = {
                "model": request.model.name,
                "model_sha256": sha256(request.model),
                "task": model.task.name,
                "classes": model.classes,
            }
            predictions = self._passing(self.predictions if self.parts is None else self.parts)
            segments = request.segments if request.timeline else None
            write_predictions(request.out, predictions, about, segments)
        self.report.show(is_written=request.out is not None)
        if request.out is not None:
            say(f"Predictions: {short_path(request.out)} ({counted(self.report.total, 'video')})")
        if request.annotate is not None and self.report.readable:
            say(f"Annotated: {short_path(request.annotate)}")
        if self.parts is not None:
            self.parts.remove()
        return self.report.readable

    def say_stopped(self) -> None:
        """Tell how to resume, if that is possible."""
        if self.parts is not None and processes.current().is_main:
            complain(
                f"{self.parts.done} of {counted(len(self.videos), 'video')} are done; run the same "
                "command again to resume."
            )
