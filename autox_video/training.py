"""The main job: settings → a trained model in the work dir."""

from pathlib import Path

from autox_video.allocator import keep_freed_memory
from autox_video.console import say
from autox_video.prepare import Prepared, prepare, show_plan, write_lists, write_plan
from autox_video.results import MAIN_SCORES, main_score
from autox_video.settings import Settings

CONFIG = "config.py"
LATEST = "latest.pth"


def fit(settings: Settings) -> dict[str, float] | None:
    """Train, or go on with the run in the work dir; give the best validation metrics, if any.

    Raises:
        AutoXVideoError: something that the user can mend.
        Stopped: a signal came; everything is saved.
    """
    work_dir = Path(settings.work_dir).absolute()
    prepared = prepare(settings, resuming=(work_dir / LATEST).exists())
    show_plan(prepared.plan)
    write_plan(work_dir, prepared)
    best = _train(prepared, work_dir)
    _say_what_came_out(best, work_dir)
    return best


def _train(prepared: Prepared, work_dir: Path) -> dict[str, float] | None:
    # These bring torch and mmaction2, which take seconds: after all that can be wrong before.
    from autox_video.engine.train import train
    from autox_video.recipe import TrainingData, build_config, write_config

    if prepared.plan.device == "cpu":
        keep_freed_memory()
    listing = prepared.listing
    train_list, val_list = write_lists(work_dir, listing)
    data = TrainingData(
        data_root=str(listing.data_root.absolute()),
        train_list=train_list,
        val_list=val_list,
        classes=listing.classes,
        num_train=len(listing.train),
    )
    config = build_config(prepared.plan, data, str(work_dir))
    write_config(config, work_dir / CONFIG)
    return train(config)


def _say_what_came_out(best: dict[str, float] | None, work_dir: Path) -> None:
    if best is None:
        say(f"Training is done; there was no evaluation. The weights are {work_dir / LATEST}.")
        return
    key = main_score(best)
    say(
        f"Training is done: best validation {MAIN_SCORES[key]} {best[key]:.4f} after epoch "
        f"{best['epoch']}. The weights are {work_dir / 'best.pth'}; autotest.py tests them."
    )
