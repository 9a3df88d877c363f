"""Refuse a work dir that holds a run on other clips or the run given by `from_plan`."""

from pathlib import Path

from autox_video.config.settings import AUTO, Settings
from autox_video.core.errors import CheckpointError, ConfigError
from autox_video.planning.record import is_probe_run, load_stored
from autox_video.run.work_dir import has_checkpoint
from autox_video.video.files.remote import full_root, is_remote


def refuse_run_of_others(settings: Settings, *, fresh: bool) -> None:
    """Refuse a work dir that holds a run on other clips or the run given by `from_plan`.

    Args:
        settings: the settings of the new run.
        fresh: whether an existing run in the work dir is moved aside.

    Raises:
        CheckpointError: the work dir contains a run on clips in a different folder of the same
            name.
        ConfigError: the work dir contains the run that `from_plan` specifies.
    """
    work_dir = Path(settings.work_dir)
    if settings.from_plan != AUTO and _is_record_of(Path(settings.from_plan), work_dir):
        raise ConfigError(
            f"from_plan: {work_dir} contains the run to be repeated; give the new run "
            f"another folder, such as work_dir={work_dir}-2"
        )
    holds_run = has_checkpoint(work_dir) or is_probe_run(work_dir)
    if fresh or "work_dir" in settings.model_fields_set or not holds_run:
        return
    now = full_root(settings.data_root)
    before = ((load_stored(work_dir) or {}).get("data") or {}).get("data_root", now)
    if before == now or (not is_remote(before) and _is_gone_or_same(before, now)):
        return
    raise CheckpointError(
        f"work_dir: {work_dir} holds a run on {before}, not on {now}. Use another work "
        f"dir, such as work_dir={work_dir}-2, or move the other run aside with --fresh."
    )


def _is_record_of(record: Path, work_dir: Path) -> bool:
    folder = record if record.is_dir() else record.parent
    return folder.exists() and work_dir.exists() and folder.samefile(work_dir)


def _is_gone_or_same(before: str, now: str) -> bool:
    if not Path(before).is_dir():
        return True  # the folder may have been moved; resuming compares the clips
    return not is_remote(now) and Path(now).is_dir() and Path(before).samefile(now)
