"""The second job: trained weights and clips → results.json and a table."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autox_video.allocator import keep_freed_memory
from autox_video.console import progress, say, table
from autox_video.dataset.listing import ClipList, find_videos, read_list, read_test_list
from autox_video.errors import CheckpointError, ConfigError, ListingError, ResourceError
from autox_video.plan.hardware import detect, usable_cores
from autox_video.results import (
    Prediction,
    Provenance,
    class_accuracy,
    results,
    scored,
    write_results,
)
from autox_video.settings import AUTO, Settings

WEIGHTS = ("best.pth", "latest.pth")
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
    _check_results_path(Path(settings.test_results_path))
    weights = Path(checkpoint) if checkpoint else _best_weights(Path(settings.work_dir))

    from autox_video.predict import Loading, load_model, predict, read_config, sha256

    config = read_config(weights)
    classes = tuple(config.classes)
    data_root = Path(settings.data_root)
    clips = _clips(settings, classes, whole_folder=whole_folder)
    device = detect(settings.device).device
    if device == "cpu":
        keep_freed_memory()
    model = load_model(config, weights, device)
    loading = Loading(_batch_size(config, device), _workers(settings, device), device)
    with progress("Testing", len(clips)) as show:
        predictions = predict(
            model, config, clips, data_root=data_root, loading=loading, on_done=show
        )
    provenance = Provenance(
        config=str(weights.parent / "config.py"),
        checkpoint=str(weights),
        checkpoint_sha256=sha256(weights),
        classes=classes,
    )
    content = results(predictions, provenance)
    write_results(settings.test_results_path, content)
    _show(content, predictions, classes)
    say(f"Wrote {len(predictions)} predictions to {settings.test_results_path}.")
    return content


def _check_results_path(path: Path) -> None:
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


def _clips(settings: Settings, classes: Sequence[str], *, whole_folder: bool) -> ClipList:
    data_root = Path(settings.data_root)
    if whole_folder:
        return _whole_folder(data_root)
    if settings.ann_file_test != AUTO:
        return read_test_list(settings.ann_file_test, data_root, classes)
    split = Path(settings.work_dir, "split", "test.csv")
    if not split.is_file():
        raise ConfigError(
            "ann_file_test: names no list of clips to test; give one "
            "(autotest.py ann_file_test=LIST, lines `path` or `path label`)."
        )
    clips = read_list(split)
    if not len(clips):
        raise ListingError(
            f"{split}: no clip was set aside for testing, as the classes have too few; give "
            "ann_file_test."
        )
    return clips


def _whole_folder(folder: Path) -> ClipList:
    if not folder.is_dir():
        raise ListingError(f"data_root: the folder {folder.absolute()} does not exist.")
    videos = find_videos(folder)
    if not videos:
        raise ListingError(f"data_root: there is no video file in {folder.absolute()}.")
    return ClipList(videos, None)


def _batch_size(config: Any, device: str) -> int:
    views = config.test_pipeline[0].num_clips * 3
    return max(1, VIEWS_AT_A_TIME[device.partition(":")[0]] // views)


def _workers(settings: Settings, device: str) -> int:
    if settings.workers != AUTO:
        return settings.workers
    return max(1, usable_cores() - 1 if device == "cpu" else min(usable_cores(), 16))


def _show(content: dict[str, Any], predictions: Sequence[Prediction], classes: tuple) -> None:
    bad = [(p.video, p.error) for p in predictions if p.error is not None]
    if bad:
        table(f"{len(bad)} clips cannot be read", ("clip", "reason"), bad[:NAMED_AT_MOST])
    measured = content["metrics"]
    if measured is None:
        return
    rows = [
        ("top-1", f"{measured['top1']:.4f}"),
        ("top-5", f"{measured['top5']:.4f}"),
        ("mean class accuracy", f"{measured['mean_class_accuracy']:.4f}"),
        ("clips", measured["clips"]),
        ("unreadable", measured["unreadable"]),
    ]
    by_class = sorted(class_accuracy(*scored(predictions)).items(), key=lambda item: item[1])
    worst = [(f"worst: {classes[label]}", f"{share:.4f}") for label, share in by_class]
    table("Test", ("figure", "value"), rows + worst[:WORST_CLASSES])
