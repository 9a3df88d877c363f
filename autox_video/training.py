"""The main job: settings → a trained model in the work dir."""

import math
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autox_video import processes
from autox_video.allocator import keep_freed_memory
from autox_video.console import say
from autox_video.dataset.frame_cache import default_folder, free_bytes
from autox_video.dataset.listing import Listing
from autox_video.dataset.remote import is_remote
from autox_video.errors import ResourceError
from autox_video.launch import use_own_share
from autox_video.plan.choose import Plan
from autox_video.plan.choose_cache import choose_cache
from autox_video.prepare import (
    Prepared,
    check_work_dir,
    check_writable,
    prepare,
    show_plan,
)
from autox_video.results import MAIN_SCORES, main_score
from autox_video.run_data import list_file
from autox_video.run_files import (
    LATEST,
    check_disk,
    free_for_others_bytes,
    has_checkpoint,
    make_ready,
)
from autox_video.run_lock import own
from autox_video.run_record import is_probe_run, write_plan
from autox_video.settings import AUTO, OFF, Settings
from autox_video.sized_folder import read_sized_folder

if TYPE_CHECKING:
    from autox_video.recipe import TrainingData

CONFIG = "config.py"


def fit(settings: Settings, *, fresh: bool = False) -> dict[str, float] | None:
    """Train, or go on with the run in the work dir; give the best validation metrics, if any.

    Args:
        settings: what the user asked for.
        fresh: whether a run that the work dir holds is moved aside, to train anew.

    Raises:
        AutoXVideoError: something that the user can mend.
        Stopped: a signal came; everything is saved.
    """
    me = processes.join()
    work_dir = Path(settings.work_dir).absolute()
    with ExitStack() as held:
        text = processes.by_main(lambda: _begin(settings, work_dir, held, fresh=fresh))
        # This brings torch and mmaction2, which take seconds: after all that can be wrong before.
        from autox_video.finishing import finish_probe, train_and_compare
        from autox_video.recipe import check_config
        from autox_video.stored_config import config_from_text

        config = config_from_text(text, str(work_dir / CONFIG))
        check_config(config)
        config.device = use_own_share(me, config.device)
        if config.device == "cpu":
            keep_freed_memory()
        if settings.mode == "probe":
            best = processes.by_main(lambda: finish_probe(work_dir, config))
        else:
            best = train_and_compare(config, work_dir)
        _say_what_came_out(best, work_dir)
        return best


def _begin(settings: Settings, work_dir: Path, held: ExitStack, *, fresh: bool) -> str:
    """Take the work dir for this run, until `held` is closed; gives the run's config as text."""
    check_work_dir(work_dir)
    held.enter_context(own(work_dir))
    goes_on = settings.mode == "probe" and is_probe_run(work_dir)
    make_ready(work_dir, fresh=fresh, goes_on=goes_on)
    return _prepare_config(settings, work_dir)


def _prepare_config(settings: Settings, work_dir: Path) -> str:
    """Look at the data, make every choice, write the files of the work dir; gives the config."""
    resuming = has_checkpoint(work_dir) or is_probe_run(work_dir)
    prepared = prepare(settings, resuming=resuming)
    from autox_video.probing import is_wanted, probe_candidates
    from autox_video.recipe import build_config, write_config
    from autox_video.stored_config import config_text

    data = _training_data(prepared, settings, work_dir)
    if is_wanted(prepared, settings, resuming=resuming):
        prepared = probe_candidates(prepared, settings, data, work_dir)
    plan = prepared.plan
    if plan.device == "cpu":
        keep_freed_memory()
    trains = plan.mode == "train"
    if trains and (not resuming or settings.cache != AUTO):
        plan = _settle_cache(prepared, settings, data, work_dir)
    if trains and plan.device != "cpu":
        plan = _settle_parts(plan, data, work_dir)
    show_plan(plan)
    check_disk(work_dir, plan.disk_gib)
    write_plan(work_dir, plan, prepared.fingerprint, prepared.data)
    config = build_config(plan, data, str(work_dir))
    write_config(config, work_dir / CONFIG)
    return config_text(config)


def _training_data(prepared: Prepared, settings: Settings, work_dir: Path) -> "TrainingData":
    from autox_video.recipe import TrainingData

    listing, root = prepared.listing, prepared.listing.data_root
    return TrainingData(
        data_root=str(root if is_remote(root) else Path(root).absolute()),
        train_list=str(list_file(work_dir, "train")),
        val_list=str(list_file(work_dir, "val")),
        classes=listing.classes,
        num_train=len(listing.train),
        multi_label=listing.multi_label,
        class_clips=_class_clips(listing),
        fingerprint=prepared.fingerprint,
        remote_cache=settings.remote_cache,
    )


def _class_clips(listing: Listing) -> tuple[int, ...]:
    """Training clips of each class; nothing where a clip may have several."""
    if listing.multi_label:
        return ()
    counts = Counter(listing.train.labels)
    return tuple(counts[label] for label in range(len(listing.classes)))


def _settle_parts(plan: Plan, data: "TrainingData", work_dir: Path) -> Plan:
    """Find out, by trying, in how many parts a GPU must do a step; or remember it."""
    from autox_video.engine.measure import parts_that_fit
    from autox_video.engine.memory import read_accumulation, write_accumulation
    from autox_video.recipe import build_config

    clips = math.ceil(plan.batch_size / plan.processes)
    tried = " ".join(
        str(value)
        for value in (
            *(plan.reasons["device"], clips, plan.backbone, plan.clip_len, plan.resolution),
            *(plan.precision, plan.gradient_checkpointing),
        )
    )
    parts = read_accumulation(work_dir, tried)
    if parts is None:
        parts = parts_that_fit(build_config(plan, data, str(work_dir)), clips)
        write_accumulation(work_dir, parts, tried)
    why = f"{math.ceil(clips / parts)} clips at a time fit on this GPU, by trying"
    return replace(plan, accumulation=parts, reasons={**plan.reasons, "accumulation": why})


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
        free_gib=_free_for_cache(folder or work_dir, work_dir, prepared.plan) / 2**30,
        speeds=speeds,
    )


def _free_for_cache(folder: Path, work_dir: Path, plan: Plan) -> int:
    return free_for_others_bytes(folder, free_bytes(folder), work_dir, plan.disk_gib)


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
    when = f"after epoch {best['epoch']}" if best["epoch"] else "of the probe"
    say(
        f"Training is done: best validation {MAIN_SCORES[key]} {best[key]:.4f} {when}. "
        f"The weights are {work_dir / 'best.pth'}; autotest.py tests them."
    )
