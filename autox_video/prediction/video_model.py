"""A trained model that predicts new videos.

Shape letters: N windows, K classes, T frames; H is the height and W the width in pixels.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from autox_video.config.custom_imports import import_custom_modules
from autox_video.core.console import complain
from autox_video.data.clip_table import ClipTable
from autox_video.data.loading.transforms import CropClips, decoded_side
from autox_video.distributed import processes
from autox_video.distributed.launch import use_device
from autox_video.evaluation.calibrated_predictions import Calibration, calibration_of
from autox_video.evaluation.ensemble import Loaded, load_models, mixture_of, predict_all
from autox_video.evaluation.loading import (
    Loading,
    decoding_threads,
    loading_of,
    views_at_a_time,
)
from autox_video.evaluation.predict import Scorer, for_testing, record_of
from autox_video.evaluation.results import Prediction
from autox_video.machine.allocator import keep_freed_memory
from autox_video.machine.hardware import detect
from autox_video.metrics.mixture import softened_outputs
from autox_video.prediction.array_video import ArrayVideo
from autox_video.prediction.grid_reader import ArrayReader, GridReader
from autox_video.prediction.recordings.step_features import StepScorer, steps_of
from autox_video.prediction.recordings.temporal_model import TemporalModel, read_temporal
from autox_video.prediction.scan import Scan, Scanned, nearest
from autox_video.prediction.sources import find_videos
from autox_video.prediction.stream import LiveWindows, StreamLine, predict_stream
from autox_video.prediction.timeline import TimelineOptions
from autox_video.prediction.video_prediction import VideoPrediction, Windows
from autox_video.prediction.window_scorer import OVERLAP, WindowScorer, window_scorer
from autox_video.tasks.task import TASKS, Task
from autox_video.training.checkpoints.checkpoint import read_checkpoint, read_meta
from autox_video.video.open_video import check_decoder
from autox_video.video.sampling import LEAST_SEEN_SHARE, rounds_of, seen_share, test_times

OnDone = Callable[[float], None]
"""Called with the number of videos done so far; a video in progress counts as a fraction."""


@dataclass(eq=False)
class VideoModel:
    """A trained model, ready to predict. Create one with `AutoXVideo.load`.

    Example::

        model = AutoXVideo.load("work_dirs/clips/best.safetensors")
        for prediction in model.predict("new/clips"):
            print(prediction.video, prediction.top(1))
    """

    models: Sequence[Loaded]
    """The models, of which an ensemble has several; the first one is the main model."""
    calibration: Calibration | None
    device: str
    workers: int | None
    """Number of decoding processes; None to choose it automatically."""
    temporal: TemporalModel | None = None
    """How segments of recordings are found; None for a classifier."""

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        workers: int | None = None,
        decoder: str | None = None,
        custom_imports: Sequence[str] = (),
    ) -> "VideoModel":
        """Load a model file; see `AutoXVideo.load`."""
        import_custom_modules(tuple(custom_imports), Path(), "custom_imports")
        path = Path(path)
        record = record_of(path)
        check_decoder(decoder or record.plan.decoder)
        device = use_device(processes.current(), detect(device).device)
        if device == "cpu":
            keep_freed_memory()
        models = load_models(path, for_testing(record, decoder=decoder), device)
        task, temporal = TASKS[record.data.task], None
        if task.finds_segments:
            temporal = read_temporal(read_checkpoint(path), str(path), device)
        return cls(models, calibration_of(read_meta(path), task), device, workers, temporal)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores."""
        classes = self.models[0].record.data.classes
        return classes if self.temporal is None else classes[:-1]  # without the background

    @property
    def task(self) -> Task:
        """The task of the model."""
        return TASKS[self.models[0].record.data.task]

    @property
    def timeline_options(self) -> TimelineOptions:
        """How timelines are made best: as chosen in training, or by default."""
        if self.temporal is not None:
            return self.temporal.options
        return TimelineOptions(overlaps=self.task.has_label_sets)

    @property
    def span_sec(self) -> float:
        """Length of video that the model sees at a time, in seconds."""
        plan = self.models[0].record.plan
        return plan.clip_len * plan.frame_interval_sec

    def predict(
        self,
        source: str | os.PathLike[str] | np.ndarray | torch.Tensor | Sequence,
        *,
        windows: bool = False,
        fps: float | None = None,
        data_root: str | os.PathLike[str] | None = None,
        on_done: OnDone | None = None,
    ) -> list[VideoPrediction]:
        """Predict videos.

        A clip is predicted from the same views as in a test, so its scores are the same. A video
        that is too long for these views is predicted from overlapping windows that cover all of it.
        A localisation model predicts short steps of each video, and the highest score of each class
        counts for the video.

        Args:
            source: a video file, a folder, a glob pattern, a list file or a URL; several of these;
                or the frames of one video, an RGB array or tensor (T, H, W, 3) uint8.
            windows: whether to predict windows of all videos, however short.
            fps: frames per second of an array.
            data_root: folder that the paths in a list file are relative to; default: the folder of
                the list.
            on_done: called with the number of videos done so far, often a fraction.

        Returns:
            One prediction per video, in order.

        Raises:
            ListingError: no videos are found, or a list has errors.
            VideoError: an array is not a video.
            ResourceError: there is not enough memory for one view of one video.
        """
        if isinstance(source, np.ndarray | torch.Tensor):
            return [self.predict_array(np.asarray(source), fps, windows=windows)]
        words = [source] if isinstance(source, str | os.PathLike) else list(source)
        root = None if data_root is None else os.fspath(data_root)
        videos = find_videos([os.fspath(word) for word in words], self, data_root=root)
        return self.predict_clips(videos, windows=windows, on_done=on_done)

    def predict_clips(
        self,
        clips: ClipTable,
        *,
        data_root: str = "",
        windows: bool = False,
        on_done: OnDone | None = None,
    ) -> list[VideoPrediction]:
        """Predict the videos or segments of videos in a table; see `predict`."""
        if windows or self.temporal is not None:
            return self._scan_clips(clips, data_root, on_done)
        predictions = predict_all(
            self.models,
            clips,
            data_root=data_root,
            loading=partial(loading_of, workers=self.workers, device=self.device),
            # A clip that is long for one model of an ensemble may be short for another.
            looks_at_long=len(self.models) > 1,
            on_done=on_done and (lambda done: on_done(done / len(self.models))),
        )
        whole = [self._of_clip(prediction) for prediction in predictions]
        long = [row for row, prediction in enumerate(predictions) if prediction.is_partly_seen]
        others = len(clips) - len(long)
        on_more = on_done and (lambda done: on_done(others + done))
        scanned = self._scan_clips(clips.select(long), data_root, on_more)
        for row, prediction in zip(long, scanned, strict=True):
            whole[row] = prediction
        return whole

    def stream(
        self,
        source: str,
        *,
        stride_sec: float | None = None,
        max_seconds: float | None = None,
        on_note: Callable[[str], None] = complain,
    ) -> Iterator[StreamLine]:
        """Yield a prediction for each window of a camera or stream, as soon as it is known.

        If predicting takes longer than the time between windows, windows are skipped. A connection
        that breaks is restored. Of an ensemble, only the main model predicts; of a localisation
        model, only the classifier.

        Args:
            source: `camera:0`, /dev/video0, or an address such as rtsp://...
            stride_sec: seconds between the starts of two windows; None for half a window.
            max_seconds: stop after this time; None for no limit.
            on_note: called with each message about the connection, also from another thread.

        Raises:
            VideoError: the source cannot be opened.
        """
        one, plan = self.models[0], self.models[0].record.plan
        scorer = Scorer(one.model, self.task)

        def score(frames: np.ndarray) -> np.ndarray:
            outputs = scorer({"inputs": torch.from_numpy(frames[None]), "positions": [0]})[0]
            if len(self.models) > 1:
                outputs = softened_outputs(outputs[None], np.array([one.temperature]), self.task)[0]
            return self.probabilities(outputs)[: len(self.classes)]  # without the background

        with LiveWindows(
            source,
            clip_len=plan.clip_len,
            frame_interval_sec=plan.frame_interval_sec,
            side=plan.resolution,
            stride_sec=self.span_sec * (1 - OVERLAP) if stride_sec is None else stride_sec,
            on_note=on_note,
            max_seconds=max_seconds,
        ) as windows:
            yield from predict_stream(score, windows, self.classes)

    def predict_array(
        self, frames: np.ndarray, fps: float | None, *, windows: bool = False
    ) -> VideoPrediction:
        """Predict one video from its frames (T, H, W, 3) uint8 RGB; see `predict`."""
        video = ArrayVideo(frames, 0.0 if fps is None else fps)
        if windows or self.temporal is not None or self._is_long(video.seconds):
            clips = ClipTable((str(video.path),))
            return self._combined(clips, self._scan_array(video))[0]
        outputs = np.array([_array_outputs(one, video) for one in self.models])
        mixed = mixture_of(self.models).outputs(outputs) if len(outputs) > 1 else outputs[0]
        scores = self.probabilities(mixed)
        return VideoPrediction(str(video.path), self.classes, scores, video.seconds)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (..., K) from a model's outputs (..., K)."""
        if self.calibration is None:
            return self.task.probabilities(outputs)
        return self.calibration.probabilities(outputs)

    def _of_clip(self, prediction: Prediction) -> VideoPrediction:
        outputs = prediction.outputs
        return VideoPrediction(
            prediction.video,
            self.classes,
            None if outputs is None else self.probabilities(np.array(outputs)),
            prediction.seconds,
            error=prediction.error,
            label=prediction.label,
            segment=prediction.segment,
        )

    # ---- windows ----

    def _is_long(self, seconds: float) -> bool:
        plan = self.models[0].record.plan
        clips = plan.test_clips * rounds_of(seconds, self.span_sec, num_clips=plan.test_clips)
        return seen_share(seconds, self.span_sec, clips=clips) < LEAST_SEEN_SHARE

    def _scan_clips(
        self, clips: ClipTable, data_root: str, on_done: OnDone | None = None
    ) -> list[VideoPrediction]:
        if not len(clips):
            return []
        me = processes.current()
        mine = range(me.rank, len(clips), me.size)
        scans = self.scan(clips.select(mine), data_root, on_done)
        found = dict(zip(mine, self._combined(clips.select(mine), scans), strict=True))
        everywhere = {row: one for part in processes.all_gather(found) for row, one in part.items()}
        return [everywhere[row] for row in range(len(clips))]

    def scan(
        self, clips: ClipTable, data_root: str, on_done: OnDone | None = None
    ) -> list[list[Scanned]]:
        """Return the outputs of each model for all windows of each video, in this process only."""
        scans, count = [], len(self.models)
        for number, (one, scorer) in enumerate(zip(self.models, self.scorers, strict=True)):
            plan, loading = one.record.plan, self._loading(one)
            reader = GridReader(
                clips,
                data_root,
                scorer.grid,
                plan.resolution,
                decoder=plan.decoder,
                remote_cache=one.record.data.remote_cache,
                threads=decoding_threads(loading.workers, len(clips)),
            )
            scan = Scan(reader, scorer, loading)
            if on_done is not None:
                before, share = number * len(clips), processes.current().size / count
                scan.on_done = lambda done, b=before, s=share: on_done((b + done) * s)
            scanned = {video.row: video for video in scan}
            scans.append([scanned[row] for row in range(len(clips))])
        return scans

    def _scan_array(self, video: ArrayVideo) -> list[list[Scanned]]:
        clips, scans = ClipTable((str(video.path),)), []
        for one, scorer in zip(self.models, self.scorers, strict=True):
            side = one.record.plan.resolution
            reader = ArrayReader(clips, "", scorer.grid, side, video=video)
            scans.append(list(Scan(reader, scorer, replace(self._loading(one), workers=0))))
        return scans

    @cached_property
    def scorers(self) -> list[WindowScorer]:
        """The scorers of the models' windows."""
        if self.task.finds_segments:
            return [StepScorer(self.models[0])]
        return [window_scorer(one) for one in self.models]

    def _loading(self, one: Loaded) -> Loading:
        loading = loading_of(one.record, workers=self.workers, device=self.device)
        return replace(loading, batch_size=views_at_a_time(self.device))

    def _combined(
        self, clips: ClipTable, scans: Sequence[Sequence[Scanned]]
    ) -> list[VideoPrediction]:
        """Return the predictions from the scans of each model."""
        return [
            self._of_scans(clips, row, of_video)
            for row, of_video in enumerate(zip(*scans, strict=True))
        ]

    def _of_scans(self, clips: ClipTable, row: int, scans: Sequence[Scanned]) -> VideoPrediction:
        main = scans[0]
        prediction = VideoPrediction(
            clips.paths[row],
            self.classes,
            None,
            main.seconds,
            error=next((scan.error for scan in scans if scan.error), None),
            label=None if clips.labels is None else clips.labels[row],
            segment=None if clips.segments is None else clips.segments[row],
        )
        if not all(len(scan.starts) for scan in scans):
            return prediction
        if self.temporal is not None:
            steps = steps_of(main, self.scorers[0], len(self.classes) + 1)
            windows = self.temporal.windows(steps)
            return replace(prediction, scores=windows.scores.max(0), windows=windows)
        outputs, spans = main.outputs, [scorer.grid.span_sec for scorer in self.scorers]
        if len(scans) > 1:
            outputs = mixture_of(self.models).outputs(_aligned(scans, spans))
        whole = self.task.mean_output(outputs, np.ones(len(outputs)))
        end = main.begin_sec + main.seconds
        ends = np.minimum(main.starts + spans[0], end)
        windows = Windows(main.starts, ends, self.probabilities(outputs))
        return replace(prediction, scores=self.probabilities(whole), windows=windows)


def _aligned(scans: Sequence[Scanned], spans: Sequence[float]) -> np.ndarray:
    """Return the outputs (M, N, K) of all models at the windows of the first model.

    Each window gets the output of the other model's window whose middle is the nearest.
    """
    wanted = scans[0].starts + spans[0] / 2
    return np.array(
        [
            scan.outputs[nearest(scan.starts + span / 2, wanted)]
            for scan, span in zip(scans, spans, strict=True)
        ]
    )


def _array_outputs(one: Loaded, video: ArrayVideo) -> np.ndarray:
    """Return the outputs (K,) of a model for frames in memory, as in a test."""
    task = TASKS[one.record.data.task]
    views = np.stack(list(_array_views(one.config, video)))
    scorer = Scorer(one.model, task)
    outputs = [
        scorer({"inputs": torch.from_numpy(of_round[None]), "positions": [0]})[0]
        for of_round in views
    ]
    return task.mean_output(np.stack(outputs), np.ones(len(outputs)))


def _array_views(config: Config, video: ArrayVideo) -> Iterator[np.ndarray]:
    """Yield the views (V, T, S, S, 3) of each round of a test."""
    read, crop = config.test_pipeline
    slots, num_clips = (read.clip_len, read.frame_interval_sec), read.num_clips
    rounds = rounds_of(video.seconds, slots[0] * slots[1], num_clips=num_clips)
    times = test_times(video.seconds, *slots, num_clips=rounds * num_clips)
    for of_round in times.reshape(rounds, -1):
        frames = video.frames_at(of_round, decoded_side(video, read.short_side))
        views = {"imgs": list(frames), "clip_len": read.clip_len}
        yield CropClips(crop.side, crop.crop).transform(views)["inputs"]
