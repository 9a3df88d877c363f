"""The second job: trained weights and clips → results.json and a table."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autox_video import processes
from autox_video.allocator import keep_freed_memory
from autox_video.calibration import calibrated, read_calibration
from autox_video.console import progress, say, table
from autox_video.dataset.boundary import say_outside
from autox_video.dataset.decode import check_decoder
from autox_video.dataset.given_lists import check_root
from autox_video.dataset.listing import (
    ClipList,
    find_videos,
    read_list,
    read_test,
    read_test_list,
)
from autox_video.errors import CheckpointError, ConfigError, ListingError, ResourceError
from autox_video.fileio import sha256
from autox_video.launch import use_own_share
from autox_video.plan.hardware import detect, usable_cores
from autox_video.results import (
    Prediction,
    Provenance,
    average_precision,
    class_accuracy,
    results,
    scored,
    write_results,
)
from autox_video.settings import AUTO, Settings

WEIGHTS = ("best.pth", "best.safetensors", "latest.pth")
SHOWN = {
    "mAP": "mAP",
    "f1": "F1 at 0.5",
    "mean_class_f1": "mean class F1 at 0.5",
    "top1": "top-1",
    "top5": "top-5",
    "mean_class_accuracy": "mean class accuracy",
}
WORST_CLASSES = 5
NAMED_AT_MOST = 20
VIEWS_AT_A_TIME = {"cpu": 12, "cuda": 48}


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
    me = processes.join()
    job = processes.by_main(lambda: _prepare(settings, checkpoint, whole_folder=whole_folder))

    from autox_video.predict import Loading, load_model, predict, read_config

    config = read_config(job.weights)
    _settle_reading(config, settings)
    device = use_own_share(me, job.device)
    if device == "cpu":
        keep_freed_memory()
    model = load_model(config, job.weights, device)
    loading = Loading(_batch_size(config, device), _workers(settings, device, me), device)
    with progress("Testing", len(job.clips)) as show:
        predictions = predict(
            model, config, job.clips, data_root=settings.data_root, loading=loading, on_done=show
        )
    return processes.by_main(lambda: _finish(settings, job, config, predictions))


@dataclass(frozen=True, slots=True)
class _Job:
    """What all processes are to do."""

    weights: Path
    clips: ClipList
    device: str


def _prepare(settings: Settings, checkpoint: str | None, *, whole_folder: bool) -> _Job:
    """Find the weights and the clips."""
    check_results_path(Path(settings.test_results_path))
    weights = Path(checkpoint) if checkpoint else _best_weights(Path(settings.work_dir))
    from autox_video.predict import read_config

    config = read_config(weights)
    multi_label = bool(config.model.cls_head.get("multi_label", False))
    classes = tuple(config.classes)
    clips = _clips(settings, classes, whole_folder=whole_folder, multi_label=multi_label)
    return _Job(weights, clips, detect(settings.device).device)


def _finish(
    settings: Settings, job: _Job, config: Any, predictions: Sequence[Prediction]
) -> dict[str, Any]:
    """Write results.json and show the figures."""
    _refuse_no_numbers(predictions, job.weights)
    provenance = Provenance(
        config=str(job.weights.parent / "config.py"),
        checkpoint=str(job.weights),
        checkpoint_sha256=sha256(job.weights),
        decoder=config.test_pipeline[0].decoder,
        classes=tuple(config.classes),
    )
    from autox_video.engine.checkpoint import read_meta

    found = read_calibration(read_meta(job.weights).get("metrics"))
    record = None if found is None else found.record(predictions)
    predictions = predictions if found is None else calibrated(predictions, found)
    content = results(predictions, provenance, record)
    write_results(settings.test_results_path, content)
    _show(content, predictions, provenance.classes)
    say(f"Wrote {len(predictions)} predictions to {settings.test_results_path}.")
    return content


def _refuse_no_numbers(predictions: Sequence[Prediction], weights: Path) -> None:
    bad = [p.video for p in predictions if p.scores and not all(map(math.isfinite, p.scores))]
    if bad:
        raise CheckpointError(
            f"{weights}: the model's scores are no numbers for {len(bad)} of {len(predictions)} "
            f"clips ({bad[0]} is the first). Its weights are damaged, or training went astray: "
            "test another checkpoint, or train anew."
        )


def _settle_reading(config: Any, settings: Settings) -> None:
    """Decode as in training unless the settings ask otherwise, and say where that differs."""
    read = config.test_pipeline[0]
    trained = read.decoder
    read.decoder = trained if settings.decoder == AUTO else settings.decoder
    read.remote_cache = settings.remote_cache
    check_decoder(read.decoder)
    if read.decoder != trained:
        say(
            f"Clips are decoded by {read.decoder}, but the model was trained with {trained}: their "
            "colours may differ by rounding."
        )


def is_tested(settings: Settings) -> bool:
    """Whether the results file is of the best weights in the work dir."""
    try:
        found = json.loads(Path(settings.test_results_path).read_bytes())
        weights = _best_weights(Path(settings.work_dir))
        return found["checkpoint_sha256"] == sha256(weights)
    except (OSError, ValueError, LookupError, TypeError, RecursionError, CheckpointError):
        return False


def check_results_path(path: Path) -> None:
    """Raise ResourceError if the results cannot be written there."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ResourceError(
            f"test_results_path: the folder {folder} does not exist; make it, or give another path."
        )
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise ResourceError(f"test_results_path: {path} cannot be written; give another path.")


def _best_weights(work_dir: Path) -> Path:
    for name in WEIGHTS:
        if (work_dir / name).is_file():
            if name != WEIGHTS[0]:
                say(f"There is no {WEIGHTS[0]} in {work_dir}: testing {name}.")
            return work_dir / name
    raise CheckpointError(
        f"work_dir: there are no trained weights in {work_dir.absolute()}; run autotrain.py with "
        "this config first."
    )


def _clips(
    settings: Settings, classes: Sequence[str], *, whole_folder: bool, multi_label: bool
) -> ClipList:
    if whole_folder:
        return _whole_folder(check_root(settings.data_root))
    if settings.ann_file_test != AUTO:
        return read_test_list(
            settings.ann_file_test,
            settings.data_root,
            classes,
            settings=settings,
            multi_label=multi_label,
        )
    split = Path(settings.work_dir, "split", "test.csv")
    if split.is_file():
        return _set_aside(split, settings)
    named = read_test(settings, classes, multi_label=multi_label)
    if named is None:
        raise ConfigError(
            "ann_file_test: names no list of clips to test; give one "
            "(autotest.py ann_file_test=LIST, lines `path` or `path label`)."
        )
    return named


def _set_aside(split: Path, settings: Settings) -> ClipList:
    clips = read_list(split)

    def place(index: int) -> str:
        # Behind the header; a name may go over several lines.
        return f"{split}:{index + 2 + sum(name.count(chr(10)) for name in clips.paths[:index])}"

    root, allowed = settings.data_root, settings.allow_outside
    if outside := say_outside(clips.paths, root, place, allowed=allowed):
        raise ListingError(*outside)
    if not len(clips):
        raise ListingError(
            f"{split}: no clip was set aside for testing, as the classes have too few; give "
            "ann_file_test."
        )
    return clips


def _whole_folder(folder: str | Path) -> ClipList:
    videos = find_videos(folder)
    if not videos:
        raise ListingError(f"data_root: there is no video file in {folder}.")
    return ClipList(videos, None)


def _batch_size(config: Any, device: str) -> int:
    views = config.test_pipeline[0].num_clips * 3
    return max(1, VIEWS_AT_A_TIME[device.partition(":")[0]] // views)


def _workers(settings: Settings, device: str, me: processes.Processes) -> int:
    if settings.workers != AUTO:
        return settings.workers
    cores = usable_cores() // me.local_size
    return max(1, cores - 1 if device == "cpu" else min(cores, 16))


def _show(content: dict[str, Any], predictions: Sequence[Prediction], classes: tuple) -> None:
    bad = [(p.video, p.error) for p in predictions if p.error is not None]
    if bad:
        table(f"{len(bad)} clips cannot be read", ("clip", "reason"), bad[:NAMED_AT_MOST])
    measured = content["metrics"]
    if measured is None:
        return
    rows = [(name, _with_interval(measured, key)) for key, name in SHOWN.items() if key in measured]
    rows += _calibration_rows(content["calibration"])
    rows += [("clips", measured["clips"]), ("unreadable", measured["unreadable"])]
    by_class = sorted(_by_class(predictions).items(), key=lambda item: item[1])
    worst = [(f"worst: {classes[label]}", f"{share:.4f}") for label, share in by_class]
    table("Test", ("figure", "value"), rows + worst[:WORST_CLASSES])


def _with_interval(measured: dict[str, Any], key: str) -> str:
    low, high = measured["intervals"][key]
    return f"{measured[key]:.4f} (95%: {low:.4f} to {high:.4f})"


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


def _by_class(predictions: Sequence[Prediction]) -> dict[int, float]:
    """Average precision of each class, or the share of its clips that are right."""
    scores, labels = scored(predictions)
    return (average_precision if labels.ndim == 2 else class_accuracy)(scores, labels)
