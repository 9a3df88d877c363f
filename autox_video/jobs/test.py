"""The second job: trained weights and clips → results.json and a table."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autox_video.automl.prepare import check_work_dir
from autox_video.config.settings import AUTO, Settings
from autox_video.core.console import progress, say, table
from autox_video.core.errors import CheckpointError, ListingError, ResourceError
from autox_video.core.files import sha256, write_json
from autox_video.core.wording import counted
from autox_video.data.clip_table import ClipTable
from autox_video.distributed import processes
from autox_video.distributed.launch import use_device
from autox_video.evaluation.calibrated_predictions import read_calibration
from autox_video.evaluation.results import (
    Prediction,
    Provenance,
    is_of_clips,
    keep_other_results,
    read_results,
    results,
    scored,
)
from autox_video.evaluation.tested_clips import Model, clips_to_test
from autox_video.machine.allocator import keep_freed_memory
from autox_video.machine.hardware import detect, device_to_find, usable_cores
from autox_video.metrics.intervals import score_text
from autox_video.metrics.metric import METRICS
from autox_video.planning.record import RunRecord
from autox_video.run.work_dir import BEST, BEST_SAFE, CONFIG, LATEST
from autox_video.tasks.task import TASKS, Task
from autox_video.video.files.remote import full_root, is_remote
from autox_video.video.open_video import check_decoder
from autox_video.video.sampling import MOST_TEST_CLIPS

if TYPE_CHECKING:
    from autox_video.evaluation.predict import Loading

WEIGHTS = (BEST, BEST_SAFE, LATEST)
WORST_CLASSES = 5
NAMED_AT_MOST = 20
EXAMPLES = 3
VIEWS_AT_A_TIME = {"cpu": 12, "cuda": 48}


@dataclass(frozen=True, slots=True)
class PreparedTest:
    """What all processes are to do."""

    weights: Path
    record: RunRecord
    """Of the weights, with the decoder and the cache of remote clips that are asked for."""
    clips: ClipTable
    data_root: str
    device: str
    workers: int | None
    """Processes that decode, for each that tests; None: as many as are of use."""
    results_file: Path


def transform(
    settings: Settings, checkpoint: str | None = None, *, whole_folder: bool = False
) -> dict[str, Any]:
    """Predict clips with trained weights; write and give the content of results.json.

    Args:
        settings: which clips, which work dir, where to write.
        checkpoint: the weights; default: the best of the work dir.
        whole_folder: predict every video in data_root instead of a list.

    Raises:
        AutoXVideoError: something that the user can mend.
    """
    processes.join()
    return run_test(
        processes.run_on_rank_zero(
            lambda: prepare_test(settings, checkpoint, whole_folder=whole_folder)
        )
    )


def prepare_test(
    settings: Settings, checkpoint: str | None = None, *, whole_folder: bool = False
) -> PreparedTest:
    """Find the weights and the clips, as for `transform`."""
    work_dir, is_in_work_dir = Path(settings.work_dir), settings.test_results_path == AUTO
    if not is_in_work_dir:
        check_results_path(settings.results_file)
    weights = _weights(checkpoint, work_dir)
    if is_in_work_dir:
        check_work_dir(work_dir)
    from autox_video.evaluation.predict import for_testing, record_of

    record = record_of(weights)
    data = record.data
    model = Model(data.classes, data.data_root, TASKS[data.task])
    clips = clips_to_test(settings, model, whole_folder=whole_folder)
    decoder = _decoder(record.plan.decoder, settings.decoder)
    return PreparedTest(
        weights=weights,
        record=for_testing(record, decoder=decoder, remote_cache=settings.remote_cache),
        clips=clips,
        data_root=settings.data_root,
        device=detect(device_to_find(settings.device, settings.gpus)).device,
        workers=None if settings.workers == AUTO else settings.workers,
        results_file=settings.results_file,
    )


def run_test(test: PreparedTest) -> dict[str, Any]:
    """Predict, write and show; gives the content of results.json. All processes must call it."""
    from autox_video.evaluation.predict import load_model, predict
    from autox_video.training.config.build_config import model_config

    device = use_device(processes.current(), test.device)
    if device == "cpu":
        keep_freed_memory()
    config, loading = model_config(test.record), _loading(test, device)
    model = load_model(config, test.weights, device)
    with progress("Testing", len(test.clips)) as done:
        predictions = predict(
            model, config, test.clips, data_root=test.data_root, loading=loading, on_done=done
        )
    return processes.run_on_rank_zero(lambda: _finish(test, predictions))


def is_tested(test: PreparedTest) -> bool:
    """Whether the results file is of these weights and clips already; the user is told."""
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
        say(f"The best weights were tested before: {test.results_file}.")
    return same


def _finish(test: PreparedTest, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Write results.json and show the figures."""
    _refuse_no_numbers(predictions, test.weights)
    _refuse_all_unreadable(predictions)
    provenance = Provenance(
        config=str(test.weights.parent / CONFIG),
        checkpoint=str(test.weights),
        checkpoint_sha256=sha256(test.weights),
        decoder=test.record.plan.decoder,
        classes=test.record.data.classes,
        data_root=full_root(test.data_root),
    )
    from autox_video.training.checkpoints.checkpoint import read_meta

    calibration = read_calibration(_own_figures(read_meta(test.weights)))
    task, summary = TASKS[test.record.data.task], None
    if calibration is not None and task.calibrates:
        summary, predictions = calibration.record(predictions), calibration.applied(predictions)
    content = results(task, predictions, provenance, summary)
    keep_other_results(test.results_file, content)
    write_json(test.results_file, content)
    _show(task, content, predictions, provenance.classes)
    _say_what_was_seen(predictions)
    say(f"Wrote {len(predictions)} predictions to {test.results_file}.")
    return content


def _own_figures(meta: Mapping[str, Any]) -> Any:
    """The validation figures of these very weights.

    None where they learnt from the validation clips too: the figures that they keep are of the same
    plan without these.
    """
    from autox_video.training.checkpoints.checkpoint import ALL_CLIPS

    if not meta.get(ALL_CLIPS):
        return meta.get("metrics")
    say(
        "These weights learnt from the validation clips too, so their probabilities are not "
        "calibrated; the validation score they keep is that of the same plan without these clips."
    )
    return None


def _refuse_no_numbers(predictions: Sequence[Prediction], weights: Path) -> None:
    bad = [p.video for p in predictions if p.scores and not all(map(math.isfinite, p.scores))]
    if bad:
        raise CheckpointError(
            f"{weights}: the model's scores are no numbers for {len(bad)} of {len(predictions)} "
            f"clips ({bad[0]} is the first). Its weights are damaged, or training went astray: "
            "test another checkpoint, or train anew."
        )


def _refuse_all_unreadable(predictions: Sequence[Prediction]) -> None:
    if all(p.scores is None for p in predictions):
        reasons = "; ".join(str(p.error).rstrip(".") for p in predictions[:EXAMPLES])
        raise ListingError(
            f"None of the {counted(len(predictions), 'clip')} to test can be read, so nothing is "
            f"written: {reasons}."
        )


def _decoder(trained: str, asked: str) -> str:
    """Decode as in training unless another decoder is asked for, and say where that differs."""
    decoder = trained if asked == AUTO else asked
    check_decoder(decoder)
    if decoder != trained:
        say(
            f"Clips are decoded by {decoder}, but the model was trained with {trained}: their "
            "colours may differ by rounding."
        )
    return decoder


def check_results_path(path: Path) -> None:
    """Raise ResourceError if the results cannot be written there."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ResourceError(
            f"test_results_path: the folder {folder} does not exist; make it, or give another path."
        )
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise ResourceError(f"test_results_path: {path} cannot be written; give another path.")


def _weights(checkpoint: str | None, work_dir: Path) -> Path:
    if checkpoint and is_remote(checkpoint):
        raise CheckpointError(f"{checkpoint}: weights are read from this machine alone; fetch it.")
    if checkpoint:
        return Path(checkpoint)
    for name in WEIGHTS:
        if (work_dir / name).is_file():
            if name != WEIGHTS[0]:
                say(f"There is no {WEIGHTS[0]} in {work_dir}: testing {name}.")
            return work_dir / name
    raise CheckpointError(
        f"work_dir: there are no trained weights in {work_dir.absolute()}; run autotrain.py with "
        "this config first."
    )


def _loading(test: PreparedTest, device: str) -> "Loading":
    from autox_video.evaluation.predict import Loading

    views = 3 * test.record.plan.test_clips
    batch_size = max(1, VIEWS_AT_A_TIME[device.partition(":")[0]] // views)
    cores = usable_cores() // processes.current().local_size
    useful = max(1, cores - 1 if device == "cpu" else min(cores, 16))
    return Loading(batch_size, useful if test.workers is None else test.workers, device)


def _show(
    task: Task, content: dict[str, Any], predictions: Sequence[Prediction], classes: tuple
) -> None:
    bad = [(p.video, p.error) for p in predictions if p.error is not None]
    if bad:
        table(f"{len(bad)} clips cannot be read", ("clip", "reason"), bad[:NAMED_AT_MOST])
    measured = content["metrics"]
    if measured is None:
        return
    # Of five classes each is among the first five.
    names = [name for name in task.metrics if name != "top5" or len(classes) > 5]
    rows = [(METRICS[name].label, _with_interval(measured, name)) for name in names]
    rows += _calibration_rows(content["calibration"])
    rows += [("clips", measured["clips"]), ("unreadable", measured["unreadable"])]
    by_class = sorted(task.class_scores(*scored(predictions)).items(), key=lambda item: item[1])
    clips = measured["clips"]
    shown = [(f"worst: {classes[label]}", score_text(score, clips)) for label, score in by_class]
    worst = [row for row in shown if row[1] != score_text(1.0, clips)]
    table("Test", ("figure", "value"), rows + worst[:WORST_CLASSES])


def _say_what_was_seen(predictions: Sequence[Prediction]) -> None:
    """Say of how many long clips a part was looked at only."""
    partly = sorted((p for p in predictions if p.is_partly_seen), key=lambda p: p.seen)
    if partly:
        say(
            f"{len(partly)} of {len(predictions)} clips are too long to be looked at whole: of "
            f"{partly[0].video} it was {partly[0].seen:.1%}, in {MOST_TEST_CLIPS} parts at most, "
            "spread evenly. `seen` in the results is the share of each. To judge all of it, train "
            "with a larger video_length, or list its parts (columns start and end)."
        )


def _with_interval(measured: dict[str, Any], key: str) -> str:
    figures = (measured[key], *measured["intervals"][key])
    score, low, high = (score_text(figure, measured["clips"]) for figure in figures)
    return f"{score} (95%: {low} to {high})"


def _calibration_rows(calibration: dict[str, Any] | None) -> list[tuple[str, str]]:
    errors = calibration and calibration["test"]
    if not errors:
        return []
    temperature, source = calibration["temperature"], calibration["validation"]
    by = f"the {source['clips']} clips of {source['on']}"
    how = f"{errors['ece_before']:.4f} without temperature {temperature:.3f} from {by}"
    if temperature == 1.0:
        how = f"without a temperature: {by} call for none"
    return [("calibration error", f"{errors['ece_after']:.4f} ({how})")]
