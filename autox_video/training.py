"""The main job: settings → a trained model in the work dir."""

from pathlib import Path
from typing import TYPE_CHECKING

from autox_video.allocator import keep_freed_memory
from autox_video.console import say
from autox_video.dataset.frame_cache import default_folder, free_bytes
from autox_video.dataset.remote import is_remote
from autox_video.errors import ResourceError
from autox_video.plan.choose import Plan
from autox_video.plan.choose_cache import choose_cache
from autox_video.prepare import (
    Prepared,
    check_writable,
    prepare,
    show_plan,
    write_lists,
    write_plan,
)
from autox_video.results import MAIN_SCORES, main_score
from autox_video.settings import AUTO, OFF, Settings
from autox_video.sized_folder import read_sized_folder

if TYPE_CHECKING:
    from autox_video.recipe import TrainingData

CONFIG = "config.py"
LATEST = "latest.pth"


def fit(settings: Settings) -> dict[str, float] | None:
    """Train, or go on with the run in the work dir; give the best validation metrics, if any.

    Raises:
        AutoXVideoError: something that the user can mend.
        Stopped: a signal came; everything is saved.
    """
    work_dir = Path(settings.work_dir).absolute()
    resuming = (work_dir / LATEST).exists()
    prepared = prepare(settings, resuming=resuming)
    # These bring torch and mmaction2, which take seconds: after all that can be wrong before.
    from autox_video.engine.train import train
    from autox_video.recipe import build_config, write_config

    if prepared.plan.device == "cpu":
        keep_freed_memory()
    data = _training_data(prepared, settings, work_dir)
    plan = prepared.plan
    if not resuming or settings.cache != AUTO:
        plan = _settle_cache(prepared, settings, data, work_dir)
    show_plan(plan)
    write_plan(work_dir, plan, prepared.fingerprint)
    config = build_config(plan, data, str(work_dir))
    write_config(config, work_dir / CONFIG)
    best = train(config)
    _say_what_came_out(best, work_dir)
    return best


def _training_data(prepared: Prepared, settings: Settings, work_dir: Path) -> "TrainingData":
    from autox_video.recipe import TrainingData

    listing, root = prepared.listing, prepared.listing.data_root
    train_list, val_list = write_lists(work_dir, listing)
    return TrainingData(
        data_root=str(root if is_remote(root) else Path(root).absolute()),
        train_list=train_list,
        val_list=val_list,
        classes=listing.classes,
        num_train=len(listing.train),
        multi_label=listing.multi_label,
        fingerprint=prepared.fingerprint,
        remote_cache=settings.remote_cache,
    )


def _settle_cache(
    prepared: Prepared, settings: Settings, data: "TrainingData", work_dir: Path
) -> Plan:
    """Decide whether decoded frames are kept; where that is left open, by what it would save."""
    from autox_video.engine.measure import measure
    from autox_video.recipe import build_config

    folder = _cache_folder(settings)
    open_choice = settings.cache == AUTO and folder is not None and prepared.plan.epochs > 1
    speeds = measure(build_config(prepared.plan, data, str(work_dir))) if open_choice else None
    return choose_cache(
        prepared.plan,
        settings,
        prepared.stats,
        folder=None if folder is None else str(folder.absolute()),
        free_gib=free_bytes(folder or work_dir) / 2**30,
        speeds=speeds,
    )


def _cache_folder(settings: Settings) -> Path | None:
    """The folder for decoded frames; None for none, or where the user's own cannot be written."""
    if settings.cache == OFF:
        return None
    if settings.cache != AUTO:
        given = Path(read_sized_folder(settings.cache)[0])
        check_writable("cache", given)
        return given
    folder = default_folder()
    try:
        if folder is not None:
            check_writable("cache", folder)
    except ResourceError as error:
        say(f"{error} Frames are not kept in this run.")
        return None
    return folder


def _say_what_came_out(best: dict[str, float] | None, work_dir: Path) -> None:
    if best is None:
        say(f"Training is done; there was no evaluation. The weights are {work_dir / LATEST}.")
        return
    key = main_score(best)
    say(
        f"Training is done: best validation {MAIN_SCORES[key]} {best[key]:.4f} after epoch "
        f"{best['epoch']}. The weights are {work_dir / 'best.pth'}; autotest.py tests them."
    )
