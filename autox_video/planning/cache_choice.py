"""Decide whether to cache decoded frames, based on the measured times."""

import math

from autox_video.config.settings import AUTO, OFF
from autox_video.core.sized_folder import read_sized_folder
from autox_video.data.inspection.dataset_stats import DatasetStats
from autox_video.planning.choice import GIVEN, MEASUREMENT, RULE, USER, Choice, Source
from autox_video.planning.plan import Plan
from autox_video.planning.predicted_time import Measured
from autox_video.video.decoders.frame_rgb import WORTH_SCALING
from autox_video.video.sampling import count_train_times

FREE_SHARE = 0.5
"""Share of the free disk space that the cache may use by default."""

LEAST_SAVED_SHARE = 0.05  # smallest share of an epoch's time for which a cache is worth its space
GIB = 2**30


def choose_cache(
    plan: Plan,
    stats: DatasetStats,
    *,
    asked: str,
    folder: str | None,
    free_gib: float,
    measured: Measured | None,
) -> Plan:
    """Return the plan, with a cache if the key `cache` or the measured times call for one.

    Args:
        plan: the plan without a cache.
        stats: statistics of the readable clips.
        asked: the value of the key `cache`.
        folder: the folder for the cache; None if caching is impossible.
        free_gib: free disk space for the cache, in GiB.
        measured: times measured on this machine; None if nothing was measured.
    """
    if asked == OFF:
        return _with_cache(plan, None, 0.0, USER, GIVEN)
    if asked != AUTO:
        _, limit = read_sized_folder(asked)
        return _with_cache(
            plan, folder, limit / GIB if limit else free_gib * FREE_SHARE, USER, GIVEN
        )
    if folder is None or measured is None:
        why = "there is no folder for it" if folder is None else "nothing was measured"
        return _with_cache(plan, None, 0.0, RULE, why)
    if plan.epochs < 2:
        why = "in a single epoch, each clip is read only once"
        return _with_cache(plan, None, 0.0, MEASUREMENT, why)
    saved, why = _saved_share(plan, measured)
    if saved < LEAST_SAVED_SHARE:
        return _with_cache(plan, None, 0.0, MEASUREMENT, why)
    wanted_gib, limit_gib = stats.num_train * clip_bytes(plan, stats) / GIB, free_gib * FREE_SHARE
    enough = "" if wanted_gib <= limit_gib else f", of which {limit_gib:.3g} GiB fit"
    why = f"{why}; about {wanted_gib:.2g} GiB{enough}"
    return _with_cache(plan, folder, limit_gib, MEASUREMENT, why)


def _with_cache(plan: Plan, folder: str | None, gib: float, source: Source, why: str) -> Plan:
    size_why = "no cache" if folder is None else "size limit; clips of other runs are removed first"
    size = Choice(round(gib, 3), source, size_why)
    return plan.with_choices({"cache": Choice(folder, source, why), "cache_gib": size})


def clip_bytes(plan: Plan, stats: DatasetStats) -> float:
    """Return the size, in bytes, of all frames that training can read from a median-size clip."""
    clip = stats.seconds_median, plan.clip_len, plan.frame_interval_sec
    count = count_train_times(*clip, jitter=plan.jitter)
    count = min(count, math.ceil(stats.seconds_median * stats.fps_median))
    large = stats.short_side_median >= WORTH_SCALING * plan.short_side
    scale = plan.short_side / stats.short_side_median if large else 1.0
    return 3 * count * stats.width_median * stats.height_median * scale**2


def _saved_share(plan: Plan, measured: Measured) -> tuple[float, str]:
    """Return the share of an epoch's time that a cache saves, and the measured times as text."""
    read_sec, step_sec = measured.read_sec, measured.step_sec
    figures = (
        f"reading a clip takes {1e3 * read_sec:.1f} ms, training on it {1e3 * step_sec:.1f} ms"
    )
    if plan.device == "cpu":
        # Decoding and the model share the cores.
        saved = read_sec / (read_sec + step_sec)
        return saved, f"{figures}: decoding is {saved:.0%} of the CPU time"
    waiting = read_sec / max(plan.workers, 1) / step_sec
    saved = max(0.0, 1 - 1 / waiting) if waiting > 0 else 0.0
    workers = f"with {plan.workers} workers"
    return saved, f"{figures}: {workers}, the GPU would wait {saved:.0%} of the time"
