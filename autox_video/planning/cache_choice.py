"""Whether decoded frames are kept, from what reading and computing were measured to take."""

import math
from dataclasses import dataclass

from autox_video.config.settings import AUTO, OFF, Settings
from autox_video.core.sized_folder import read_sized_folder
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.planning.plan import Plan
from autox_video.planning.source import GIVEN, MEASUREMENT, RULE, USER, Choice, Source
from autox_video.video.decoders.frame_rgb import WORTH_SCALING
from autox_video.video.sampling import count_train_times

FREE_SHARE = 0.5
"""Share of the free disk that the cache may take where no size is given."""

LEAST_SAVED_SHARE = 0.05  # of the time of an epoch, for which the disk is worth using
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Speeds:
    """What was measured on a few training clips."""

    read_sec: float
    """Seconds of one process to decode and cut out one sample."""
    step_sec: float
    """Seconds of a training step on one sample."""


def choose_cache(
    plan: Plan,
    settings: Settings,
    stats: DatasetStats,
    *,
    folder: str | None,
    free_gib: float,
    speeds: Speeds | None,
) -> Plan:
    """Give the plan with its cache settled; a pure function.

    Args:
        plan: all other choices.
        settings: what the user asked for.
        stats: the clips in figures.
        folder: where it would be, the user's own or the given one; None where there can be none.
        free_gib: free space on the disk of the folder that it would be.
        speeds: measured where the settings leave the choice open.
    """
    if settings.cache == OFF:
        return _settled(plan, None, 0.0, GIVEN, USER)
    if settings.cache != AUTO:
        _, limit = read_sized_folder(settings.cache)
        return _settled(plan, folder, limit / GIB if limit else free_gib * FREE_SHARE, GIVEN, USER)
    if folder is None or speeds is None:
        why = "there is no folder to keep it in" if folder is None else "nothing was measured"
        return _settled(plan, None, 0.0, why, RULE)
    saved, why = _saved_share(plan, speeds)
    if plan.epochs < 2 or saved < LEAST_SAVED_SHARE:
        few = "a single epoch reads each clip once" if plan.epochs < 2 else why
        return _settled(plan, None, 0.0, few, MEASUREMENT)
    wanted_gib = stats.num_train * clip_bytes(plan, stats) / GIB
    limit_gib = free_gib * FREE_SHARE
    enough = "" if wanted_gib <= limit_gib else f", of which {limit_gib:.3g} GiB fit"
    why = f"{why}; about {wanted_gib:.2g} GiB{enough}"
    return _settled(plan, folder, limit_gib, why, MEASUREMENT)


def clip_bytes(plan: Plan, stats: DatasetStats) -> float:
    """What all frames that training can ask of the median clip take, in bytes."""
    clip = stats.seconds_median, plan.clip_len, plan.frame_interval_sec
    count = count_train_times(*clip, jitter=plan.jitter)
    count = min(count, math.ceil(stats.seconds_median * stats.fps_median))
    large = stats.short_side_median >= WORTH_SCALING * plan.short_side
    scale = plan.short_side / stats.short_side_median if large else 1.0
    return 3 * count * stats.width_median * stats.height_median * scale**2


def _saved_share(plan: Plan, speeds: Speeds) -> tuple[float, str]:
    """Share of an epoch's time that would go if decoding took none, and the figures."""
    figures = (
        f"reading {1e3 * speeds.read_sec:.1f} ms a clip, a step {1e3 * speeds.step_sec:.1f} ms"
    )
    if plan.device == "cpu":
        # Decoding and the model share the cores, whatever runs beside what.
        share = speeds.read_sec / (speeds.read_sec + speeds.step_sec)
        return share, f"{figures}: {share:.0%} of the time on the same cores"
    waiting = speeds.read_sec / max(plan.workers, 1) / speeds.step_sec
    share = max(0.0, 1 - 1 / waiting) if waiting > 0 else 0.0
    return share, f"{figures}, {plan.workers} workers: the GPU would wait {share:.0%} of the time"


def _settled(plan: Plan, folder: str | None, gib: float, why: str, source: Source) -> Plan:
    size_why = "no cache" if folder is None else "at most; clips of other runs make room"
    size = Choice(round(gib, 3), size_why, source)
    return plan.with_choices({"cache": Choice(folder, why, source), "cache_gib": size})
