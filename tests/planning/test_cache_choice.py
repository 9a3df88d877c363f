"""Whether decoded frames are kept: a table of cases."""

import math
from dataclasses import replace

import pytest

from autox_video.config.load import settings_from_mapping
from autox_video.planning.cache_choice import choose_cache, clip_bytes
from autox_video.planning.predicted_time import Measured
from tests.planning.test_plan import GPU, STATS, plan_for


def speeds(read_sec, step_sec):
    return Measured(read_sec, read_sec, step_sec, step_sec, read_sec)


SLOW_READING, FAST_READING = speeds(0.004, 0.008), speeds(0.0001, 0.008)


def settled(measured=None, *, plan=None, folder="/home/me/.cache/x", free_gib=100.0, **keys):
    settings = settings_from_mapping({"data_root": "d", **keys}, "test")
    where = {"asked": settings.cache, "folder": folder, "free_gib": free_gib}
    return choose_cache(plan or plan_for(epoch=10), STATS, **where, measured=measured)


@pytest.mark.parametrize(
    ("measured", "cache", "why"),
    [
        (
            SLOW_READING,
            "/home/me/.cache/x",
            "training on it 8.0 ms: decoding is 33% of the",
        ),
        (FAST_READING, None, "1% of the CPU time"),
        (None, None, "nothing was measured"),
    ],
)
def test_on_a_cpu_every_share_of_the_time_counts(measured, cache, why):
    plan = settled(measured)
    assert plan.cache == cache
    assert why in plan.choices["cache"].reason
    assert plan.cache_gib == (50.0 if cache else 0.0)


@pytest.mark.parametrize(("workers", "cached"), [(1, True), (4, True), (16, False)])
def test_beside_a_gpu_only_waiting_counts(workers, cached):
    plan = replace(plan_for(hardware=GPU, epoch=10), workers=workers)
    plan = settled(speeds(0.040, 0.004), plan=plan)
    assert (plan.cache is not None) == cached
    share = max(0.0, 1 - 0.004 / (0.040 / workers))
    assert f"would wait {share:.0%}" in plan.choices["cache"].reason


def test_a_single_epoch_keeps_nothing():
    plan = settled(SLOW_READING, plan=plan_for(epoch=1))
    assert plan.cache is None and "single epoch" in plan.choices["cache"].reason


def test_without_a_home_there_is_no_cache():
    assert settled(SLOW_READING, folder=None).cache is None


@pytest.mark.parametrize(
    ("given", "kept", "gib"),
    [
        (False, False, 0.0),
        ("off", False, 0.0),
        ("/big/disk", True, 50.0),
        ("/big/disk:2G", True, 2.0),
        ("rel:1.5TiB", True, 1536.0),
    ],
)
def test_what_is_given_is_taken(given, kept, gib):
    plan = settled(FAST_READING, cache=given, folder="/big/disk")
    assert (plan.cache, plan.cache_gib) == ("/big/disk" if kept else None, gib)


def test_the_size_of_a_clip_is_that_of_the_frames_training_can_ask_for():
    plan = replace(plan_for(clip_len=8, resolution=112), jitter=True)
    assert plan.short_side == 128
    # 2 s of 340x256 at half the side; 16 times of 8 slots, of which 30 frames/s show each once.
    assert clip_bytes(plan, STATS) == 3 * 16 * 170 * 128
    assert clip_bytes(replace(plan, jitter=False), STATS) == 3 * 8 * 170 * 128
    slow = replace(STATS, fps_median=4.0)
    assert clip_bytes(plan, slow) == 3 * 8 * 170 * 128
    barely_larger = replace(STATS, short_side_median=255, width_median=340, height_median=255)
    assert clip_bytes(plan, barely_larger) == 3 * 16 * 340 * 255
    small = replace(STATS, short_side_median=64, width_median=64, height_median=80)
    assert clip_bytes(plan, small) == 3 * 16 * 64 * 80


def test_what_does_not_fit_is_said():
    plan = settled(SLOW_READING, free_gib=0.002)
    assert plan.cache is not None
    assert "of which 0.001 GiB fit" in plan.choices["cache"].reason
    assert not math.isinf(plan.cache_gib)
