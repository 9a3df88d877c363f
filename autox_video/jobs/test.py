"""The job that tests trained weights, writes results.json and mistakes.csv, and shows a report."""

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from autox_video.automl.prepare import check_work_dir
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import complain, progress, say, short_path, showing
from autox_video.core.errors import CheckpointError, ListingError, ResourceError
from autox_video.core.files import sha256, write_json
from autox_video.core.run_log import log_file
from autox_video.core.wording import counted
from autox_video.distributed import processes
from autox_video.distributed.launch import use_device
from autox_video.evaluation.calibrated_predictions import calibration_of
from autox_video.evaluation.loading import loading_of
from autox_video.evaluation.mistakes import outcomes, write_mistakes
from autox_video.evaluation.results import (
    Prediction,
    is_of_clips,
    keep_other_results,
    mistakes_file,
    read_results,
    results,
)
from autox_video.evaluation.tested_clips import Model, clips_to_test
from autox_video.jobs.next_steps import say_next_steps
from autox_video.jobs.prepared_test import PreparedTest
from autox_video.jobs.test_report import show_report
from autox_video.jobs.test_segments import test_segments
from autox_video.machine.allocator import keep_freed_memory
from autox_video.machine.hardware import detect, device_to_find
from autox_video.prediction.recordings.truth import LabelledRecordings
from autox_video.run.work_dir import BEST, BEST_SAFE, LATEST, LOG
from autox_video.tasks.task import TASKS
from autox_video.video.files.remote import full_root, is_remote
from autox_video.video.open_video import check_decoder

WEIGHTS = (BEST, BEST_SAFE, LATEST)
EXAMPLES = 3


def transform(
    settings: Settings, checkpoint: str | None = None, *, whole_folder: bool = False
) -> dict[str, Any]:
    """Predict clips with trained weights; write and return the content of results.json.

    Args:
        settings: the settings for the clips, the work dir and the output.
        checkpoint: path to the weights; None for the best weights in the work dir.
        whole_folder: whether to predict every video in data_root instead of the listed clips.

    Raises:
        AutoXVideoError: there is a problem that the user can fix.
    """
    me, work_dir = processes.join(), Path(settings.work_dir).absolute()
    with ExitStack() as held:
        held.enter_context(showing(settings.verbose))
        if me.is_main and work_dir.is_dir():
            with suppress(ResourceError):  # the weights' folder may be read-only
                held.enter_context(log_file(work_dir / LOG))
        return run_test(
            processes.run_on_rank_zero(
                lambda: prepare_test(settings, checkpoint, whole_folder=whole_folder)
            )
        )


def prepare_test(
    settings: Settings, checkpoint: str | None = None, *, whole_folder: bool = False
) -> PreparedTest:
    """Find the weights and the clips; the arguments are the same as for `transform`."""
    work_dir, is_in_work_dir = Path(settings.work_dir), settings.test_results_path == AUTO
    if not is_in_work_dir:
        check_results_path(settings.results_file)
    weights = _weights(checkpoint, work_dir)
    if is_in_work_dir:
        check_work_dir(work_dir)
    from autox_video.evaluation.predict import for_testing, record_of

    record = record_of(weights)
    data = record.data
    model = Model(data.classes, data.root_digest, TASKS[data.task])
    clips = clips_to_test(settings, model, whole_folder=whole_folder)
    recordings = None
    if model.task.finds_segments:
        recordings = LabelledRecordings.of(clips, settings.data_root, len(model.classes) - 1)
        clips = recordings.clips
    decoder = _decoder(record.plan.decoder, settings.decoder)
    return PreparedTest(
        weights=weights,
        record=for_testing(record, decoder=decoder, remote_cache=settings.remote_cache),
        clips=clips,
        data_root=settings.data_root,
        device=detect(device_to_find(settings.device, settings.gpus)).device,
        workers=None if settings.workers == AUTO else settings.workers,
        results_file=settings.results_file,
        recordings=recordings,
    )


def run_test(test: PreparedTest) -> dict[str, Any]:
    """Predict the clips; write, show and return the results. All processes must call this."""
    if test.recordings is not None:
        return test_segments(test)
    from autox_video.evaluation.ensemble import load_models, predict_all

    device = use_device(processes.current(), test.device)
    if device == "cpu":
        keep_freed_memory()
    models = load_models(test.weights, test.record, device)
    with progress("Testing", len(models) * len(test.clips)) as done:
        predictions = predict_all(
            models,
            test.clips,
            data_root=test.data_root,
            loading=partial(loading_of, workers=test.workers, device=device),
            on_done=done,
        )
    return processes.run_on_rank_zero(lambda: _finish(test, predictions))


def is_tested(test: PreparedTest) -> bool:
    """Return whether the weights have already been tested on the clips; if so, tell the user."""
    known, root = read_results(test.results_file), full_root(test.data_root)
    try:
        same = (
            known["checkpoint_sha256"] == sha256(test.weights)
            and known["decoder"] == test.record.plan.decoder
            and known.get("data_root", root) == root
            and is_of_clips(known, test.clips)
        )
    except (OSError, LookupError, TypeError):
        return False
    if same:
        say(f"The best weights have been tested already: {short_path(test.results_file)}")
    return same


def _finish(test: PreparedTest, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Write results.json and mistakes.csv, and show the report."""
    _refuse_no_numbers(predictions, test.weights)
    _refuse_all_unreadable(predictions)
    provenance = test.provenance()
    from autox_video.training.checkpoints.checkpoint import read_meta

    task, summary = TASKS[test.record.data.task], None
    calibration = calibration_of(read_meta(test.weights), task)
    if calibration is not None:
        summary, predictions = calibration.record(predictions), calibration.applied(predictions)
    content = results(task, predictions, provenance, summary)
    keep_other_results(test.results_file, content)
    write_json(test.results_file, content)
    show_report(task, content, predictions)
    say(f"Results: {short_path(test.results_file)} ({counted(len(predictions), 'clip')})")
    wrong = 0
    if content["metrics"] is not None:
        found = outcomes(task, predictions, provenance.classes)
        file = mistakes_file(test.results_file)
        if wrong := write_mistakes(file, found, provenance.classes):
            say(f"Mistakes: {short_path(file)} ({counted(wrong, 'clip')}, most confident first)")
    plan = test.record.plan
    longer = ("longer",) if wrong and plan.mode != "probe" else ()
    say_next_steps("clips", "leaderboard", *longer, plan=plan)
    return content


def _refuse_no_numbers(predictions: Sequence[Prediction], weights: Path) -> None:
    bad = [p.video for p in predictions if p.scores and not all(map(math.isfinite, p.scores))]
    if bad:
        raise CheckpointError(
            f"{weights}: the model's scores are not finite for {len(bad)} of {len(predictions)} "
            f"clips, such as {bad[0]}. The weights are damaged, or training diverged: test another "
            "checkpoint, or train again."
        )


def _refuse_all_unreadable(predictions: Sequence[Prediction]) -> None:
    if all(p.scores is None for p in predictions):
        reasons = "; ".join(str(p.error).rstrip(".") for p in predictions[:EXAMPLES])
        raise ListingError(
            f"None of the {counted(len(predictions), 'clip')} to test can be read, so no results "
            f"are written: {reasons}."
        )


def _decoder(trained: str, asked: str) -> str:
    """Return the decoder to use, and warn if it differs from the decoder used in training."""
    decoder = trained if asked == AUTO else asked
    check_decoder(decoder)
    if decoder != trained:
        complain(
            f"Clips are decoded by {decoder}, but the model was trained with {trained}: colours "
            "may differ by rounding."
        )
    return decoder


def check_results_path(path: Path) -> None:
    """Raise ResourceError if the results cannot be written to `path`."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ResourceError(
            f"test_results_path: folder {folder} does not exist; create it, or give another path."
        )
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise ResourceError(f"test_results_path: {path} cannot be written; give another path.")


def _weights(checkpoint: str | None, work_dir: Path) -> Path:
    if checkpoint and is_remote(checkpoint):
        raise CheckpointError(
            f"{checkpoint}: weights can only be read from this machine; download the file first."
        )
    if checkpoint:
        return Path(checkpoint)
    for name in WEIGHTS:
        if (work_dir / name).is_file():
            if name == LATEST:
                complain(f"There is no {WEIGHTS[0]} in {short_path(work_dir)}: testing {name}.")
            return work_dir / name
    raise CheckpointError(
        f"work_dir: no trained weights in {work_dir.absolute()}; run autotrain.py with this config "
        "first."
    )
