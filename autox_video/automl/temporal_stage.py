"""After training on windows of recordings: fit the temporal head, and choose how to find segments.

The head is compared with sliding windows, the probabilities of the classifier itself, on the
validation recordings, and the better of the two is stored with the best weights.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autox_video.core.console import progress, say, table
from autox_video.core.wording import counted
from autox_video.data.clip_table import video_keys
from autox_video.data.listing.listing import Listing
from autox_video.data.listing.written_list import read_list
from autox_video.planning.record import RunRecord
from autox_video.prediction.recordings.finding import best_options, selection_score
from autox_video.prediction.recordings.step_features import Steps, steps_of
from autox_video.prediction.recordings.temporal_model import TemporalModel
from autox_video.prediction.recordings.truth import LabelledRecordings, clipped
from autox_video.prediction.timeline import TimelineOptions
from autox_video.prediction.video_model import VideoModel
from autox_video.prediction.video_prediction import VideoPrediction
from autox_video.run.work_dir import BEST
from autox_video.tasks.localisation.fit_temporal_head import fit_temporal_head
from autox_video.tasks.localisation.segments import Segments, labels_of_segments
from autox_video.training.checkpoints.checkpoint import read_checkpoint, write_best
from autox_video.training.checkpoints.members import TEMPORAL_HEAD

LONGEST_FIT_SEC = 120.0
"""Time limit for fitting the head without a time budget."""
SHOWN = {"mAP@0.5": "mAP at IoU 0.5", "mAP": "mAP at IoU 0.1 to 0.7", "f1@50": "F1 at IoU 0.5"}
WAYS = {"temporal_head": "temporal head", "sliding_windows": "sliding windows"}


@dataclass(frozen=True, slots=True)
class _Known:
    """The readable recordings that the head is fitted and chosen on."""

    steps: Sequence[Steps]
    truth: Sequence[Segments]
    validation: Sequence[int]
    """Positions of the validation recordings."""


def fit_segments(
    record: RunRecord, listed: Listing, work_dir: Path, left_sec: Callable[[], float]
) -> dict[str, Any] | None:
    """Fit the temporal head for the best weights of a run, unless they have one already.

    Args:
        record: the record of the run.
        listed: the labelled segments of the recordings.
        work_dir: the work dir of the run.
        left_sec: function that returns the time left for this, in seconds.

    Returns:
        The metrics on the validation recordings of each way to find segments; None if there are no
        best weights.
    """
    path = work_dir / BEST
    if not path.is_file():
        return None
    state = read_checkpoint(path)
    if TEMPORAL_HEAD in state["meta"]:
        return state["meta"][TEMPORAL_HEAD]["figures"]
    plan = record.plan
    model = VideoModel.load(path, device=plan.device, workers=plan.workers)
    known = _scanned(model, record, listed)
    classes = len(record.data.classes) - 1
    labels = [
        labels_of_segments(true, steps.edges)
        for true, steps in zip(known.truth, known.steps, strict=True)
    ]
    say(f"Fitting the temporal head on {counted(len(known.steps), 'recording')}.")
    limit_sec = left_sec() if math.isfinite(left_sec()) else LONGEST_FIT_SEC
    fitted = fit_temporal_head(
        [steps.features for steps in known.steps],
        labels,
        classes=classes,
        seed=plan.seed,
        seconds_limit=max(1.0, limit_sec),
        validation=known.validation or None,
        device=model.device,
    )
    ways = {
        "temporal_head": TemporalModel(fitted.head, TimelineOptions(), {}),
        "sliding_windows": TemporalModel(None, TimelineOptions(), {}),
    }
    chosen = _chosen(ways, known, record.data.classes[:-1])
    write_best(work_dir, chosen.stored_in(state))
    return dict(chosen.figures)


def _scanned(model: VideoModel, record: RunRecord, listed: Listing) -> _Known:
    """Compute the features of all readable training and validation recordings."""
    root, data = str(listed.data_root), record.data
    clips = listed.train if listed.val is None else listed.train.with_those_of(listed.val)
    recordings = LabelledRecordings.of(clips, root, len(data.classes) - 1)
    held_out = set()
    if data.val_list is not None:
        held_out = set(video_keys(read_list(data.val_list).paths, root))
    with progress("Scanning recordings", len(recordings)) as show:
        [scans] = model.scan(recordings.clips, root, show)
    steps, truth, validation = [], [], []
    for key, scan, true in zip(recordings.keys, scans, recordings.segments, strict=True):
        if not len(scan.starts):
            continue
        if key in held_out:
            validation.append(len(steps))
        steps.append(steps_of(scan, model.scorers[0], len(data.classes)))
        truth.append(clipped(true, scan.begin_sec, scan.begin_sec + scan.seconds))
    return _Known(steps, truth, validation)


def _chosen(
    ways: dict[str, TemporalModel], known: _Known, classes: tuple[str, ...]
) -> TemporalModel:
    """Return the better way on the validation recordings, with its options and all figures."""
    rows = known.validation or range(len(known.steps))
    truth = [known.truth[row] for row in rows]
    figures, options = {}, {}
    for name, way in ways.items():
        predictions = [_prediction(way, known.steps[row], classes) for row in rows]
        options[name], figures[name] = best_options(truth, predictions)
    best = max(ways, key=lambda name: selection_score(figures[name]))
    table(
        f"Finding segments in {counted(len(rows), 'validation recording')}",
        ("", *SHOWN.values()),
        [(WAYS[name], *(f"{figures[name][key]:.3f}" for key in SHOWN)) for name in ways],
        lines=False,
    )
    say(f"The better of the two is kept: {WAYS[best]}.")
    about = {**figures, "recordings": len(rows), "kept": best}
    return replace(ways[best], options=options[best], figures=about)


def _prediction(way: TemporalModel, steps: Steps, classes: tuple[str, ...]) -> VideoPrediction:
    windows = way.windows(steps)
    scores = windows.scores.max(0) if len(windows) else np.zeros(len(classes))
    return VideoPrediction("", classes, scores, windows=windows)
