"""Test a model that finds segments: scan recordings, and compare what is found with the truth.

Writes results.json, and shows the metrics.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autox_video.core.console import complain, progress, say, short_path, table
from autox_video.core.errors import CheckpointError, ListingError
from autox_video.core.files import write_json
from autox_video.core.wording import counted
from autox_video.distributed import processes
from autox_video.evaluation.results import SCHEMA, keep_other_results, provenance_entries
from autox_video.jobs.prepared_test import PreparedTest
from autox_video.metrics.intervals import score_text

if TYPE_CHECKING:
    from autox_video.prediction.video_model import VideoModel
    from autox_video.prediction.video_prediction import VideoPrediction
    from autox_video.tasks.localisation.metrics import Recording

SHOWN = {
    "mAP@0.5": "mAP at IoU 0.5",
    "mAP": "mAP at IoU 0.1 to 0.7",
    "f1@50": "F1 at IoU 0.5",
    "f1@25": "F1 at IoU 0.25",
    "f1@10": "F1 at IoU 0.1",
    "edit_score": "edit score",
    "step_accuracy": "accuracy of steps",
}
"""The metrics that are shown, with their labels."""
NAMED_UNREADABLE = 3


def test_segments(test: PreparedTest) -> dict[str, Any]:
    """Predict the recordings; write, show and return the results. All processes must call this.

    Raises:
        CheckpointError: the model has no temporal part, because its training did not finish.
        ListingError: none of the recordings can be read.
    """
    from autox_video.prediction.video_model import VideoModel

    model = VideoModel.load(
        test.weights, device=test.device, workers=test.workers, decoder=test.record.plan.decoder
    )
    if model.temporal is None:
        raise CheckpointError(
            f"{test.weights}: training has not finished, so the model cannot find segments yet. "
            "Run the training command again; it resumes."
        )
    clips = test.recordings.clips
    with progress("Testing", len(clips)) as show:
        predictions = model.predict_clips(clips, data_root=test.data_root, on_done=show)
    return processes.run_on_rank_zero(lambda: _finish(test, model, predictions))


test_segments.__test__ = False  # otherwise pytest would collect it


def _finish(
    test: PreparedTest, model: "VideoModel", predictions: Sequence["VideoPrediction"]
) -> dict[str, Any]:
    unreadable = [p for p in predictions if p.error is not None]
    if all(p.windows is None for p in predictions):
        raise ListingError(
            f"None of the {counted(len(predictions), 'recording')} to test can be read, so no "
            f"results are written: {unreadable[0].error}"
        )
    content = {
        "schema": SCHEMA,
        **provenance_entries(test.provenance()),
        "classes": list(model.classes),
        "metrics": _metrics(test, model, predictions),
        "predictions": _records(test, model, predictions),
    }
    keep_other_results(test.results_file, content)
    write_json(test.results_file, content)
    for prediction in unreadable[:NAMED_UNREADABLE]:
        complain(f"{prediction.video} cannot be read, or only in part: {prediction.error}")
    _show(content["metrics"])
    number = counted(len(predictions), "recording")
    say(f"Results: {short_path(test.results_file)} ({number})")
    return content


def _records(
    test: PreparedTest, model: "VideoModel", predictions: Sequence["VideoPrediction"]
) -> list[dict[str, Any]]:
    from autox_video.prediction.recordings.finding import found_in
    from autox_video.prediction.recordings.truth import as_records, within

    records = []
    for prediction, truth in zip(predictions, test.recordings.segments, strict=True):
        is_read = prediction.windows is not None
        records.append(
            {
                "video": prediction.video,
                "status": "ok" if is_read else "unreadable",
                "error": prediction.error,
                "label": None,
                "seconds": prediction.seconds,
                "labelled": as_records(within(truth, prediction), model.classes),
                "segments": as_records(found_in(prediction, model.temporal.options), model.classes),
            }
        )
    return records


def _metrics(
    test: PreparedTest, model: "VideoModel", predictions: Sequence["VideoPrediction"]
) -> dict[str, Any] | None:
    """Return the metrics on recordings with labels, and the number of unreadable recordings."""
    from autox_video.tasks.localisation.metrics import (
        localisation_figures,
        localisation_intervals,
    )

    recordings = _compared(test, model, predictions)
    if not recordings:
        return None
    return {
        **localisation_figures(recordings),
        "intervals": {k: list(v) for k, v in localisation_intervals(recordings).items()},
        "recordings": len(recordings),
        "segments": sum(len(one.truth) for one in recordings),
        "unreadable": sum(p.windows is None for p in predictions),
        "validation": dict(model.temporal.figures),
    }


def _compared(
    test: PreparedTest, model: "VideoModel", predictions: Sequence["VideoPrediction"]
) -> list["Recording"]:
    from autox_video.prediction.recordings.finding import compared
    from autox_video.prediction.recordings.truth import within

    pairs = zip(test.recordings.segments, predictions, strict=True)
    return [
        compared(within(truth, prediction), prediction, model.temporal.options)
        for truth, prediction in pairs
        if prediction.windows is not None and test.recordings.are_labelled
    ]


def _show(metrics: dict[str, Any] | None) -> None:
    if metrics is None:
        return
    segments = metrics["segments"]
    rows = [
        (
            label,
            score_text(metrics[name], segments),
            " to ".join(score_text(end, segments) for end in metrics["intervals"][name]),
        )
        for name, label in SHOWN.items()
    ]
    title = f"Test on {counted(metrics['recordings'], 'recording')}, {segments} segments"
    table(title, ("metric", "value", "95% interval"), rows, lines=False)
