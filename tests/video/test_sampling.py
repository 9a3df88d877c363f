"""Times of frames: tables of cases."""

import math

import numpy as np
import pytest

from autox_video.video.sampling import all_train_times, count_train_times, train_times
from autox_video.video.sampling import test_times as times_for_test

LAST = math.nextafter  # LAST(x, 0): the last time before x


@pytest.mark.parametrize(
    ("seconds", "clip_len", "interval", "num_clips", "expected"),
    [
        (10, 4, 0.5, 1, [[4.25, 4.75, 5.25, 5.75]]),  # centred
        (10, 4, 0.5, 2, [[0.25, 0.75, 1.25, 1.75], [8.25, 8.75, 9.25, 9.75]]),
        (10, 2, 1.0, 3, [[0.5, 1.5], [4.5, 5.5], [8.5, 9.5]]),
        (2, 4, 0.5, 1, [[0.25, 0.75, 1.25, 1.75]]),  # just fits
        (2, 4, 0.5, 3, [[0.25, 0.75, 1.25, 1.75]] * 3),  # no room to spread
        (1.7, 4, 0.5, 1, [[0.25, 0.75, 1.25, LAST(1.7, 0)]]),  # barely short: the end is held
        (1.5, 4, 0.5, 1, [[0.25, 0.75, 1.25, 0.25]]),  # short: repeated
        (1, 4, 0.5, 2, [[0.25, 0.75, 0.25, 0.75]] * 2),
        (0.25, 3, 1.0, 1, [[0.0, 0.0, 0.0]]),  # 0.5, 1.5 and 2.5 are whole rounds
        (0.04, 1, 2.0, 1, [[LAST(0.04, 0)]]),  # one frame, one slot longer than the video
    ],
)
def test_test_times_are_these(seconds, clip_len, interval, num_clips, expected):
    times = times_for_test(seconds, clip_len, interval, num_clips=num_clips)
    assert times.dtype == np.float64
    np.testing.assert_allclose(times, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("seconds", "clip_len", "interval"),
    [
        (10.0, 8, 0.25),
        (2.0, 16, 0.125),
        (1.9, 16, 0.125),
        (0.3, 16, 0.125),
        (0.033, 32, 0.5),
        (1e-6, 2, 3.0),
        (86400.0, 32, 0.1),
        (0.1 + 0.2, 3, 0.1),
    ],
)
def test_all_times_are_inside_the_video(seconds, clip_len, interval):
    rng = np.random.default_rng(0)
    for _ in range(200):
        times = train_times(seconds, clip_len, interval, rng=rng, jitter=bool(rng.integers(2)))
        assert times.shape == (clip_len,)
        assert (times >= 0).all() and (times < seconds).all()
    for num_clips in (1, 2, 10):
        times = times_for_test(seconds, clip_len, interval, num_clips=num_clips)
        assert times.shape == (num_clips, clip_len)
        assert (times >= 0).all() and (times < seconds).all()


def test_train_clips_start_uniformly_over_the_grid_where_they_fit():
    rng = np.random.default_rng(1)
    starts = np.array([train_times(4, 4, 0.5, rng=rng)[0] - 0.25 for _ in range(4500)])
    places, counts = np.unique(starts, return_counts=True)
    np.testing.assert_allclose(places, 0.25 * np.arange(9), atol=1e-12)
    assert abs(counts - 500).max() < 100  # 4.5 standard deviations


def test_train_frames_are_one_interval_apart_without_jitter():
    times = train_times(10, 8, 0.25, rng=np.random.default_rng(2))
    np.testing.assert_allclose(np.diff(times), 0.25)


def test_jitter_moves_a_frame_by_a_quarter_of_its_slot():
    rng = np.random.default_rng(3)
    # In a video as long as the span the start is 0, so that the slots are known.
    shifts = np.array([train_times(2, 8, 0.25, rng=rng, jitter=True) for _ in range(500)])
    shifts -= (np.arange(8) + 0.5) * 0.25
    np.testing.assert_allclose(abs(shifts), 0.25 / 4)
    assert abs(np.sign(shifts).mean(axis=0)).max() < 0.2  # both sides
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.2  # each frame by itself


def test_short_training_video_starts_at_its_beginning_and_goes_round():
    rng = np.random.default_rng(4)
    np.testing.assert_allclose(train_times(1, 4, 0.5, rng=rng), [0.25, 0.75, 0.25, 0.75])
    seen = {tuple(train_times(1, 4, 0.5, rng=rng, jitter=True)) for _ in range(200)}
    assert len(seen) == 16
    expected = {0.125, 0.375, 0.625, 0.875}
    assert {time for times in seen for time in times} == expected


def test_same_seed_gives_the_same_times():
    first, second = (train_times(10, 8, 0.25, rng=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("seconds", "clip_len", "interval"),
    [
        (10, 8, 0.25),
        (2, 8, 0.25),
        (2.1, 8, 0.25),
        (2.2, 8, 0.25),
        (0.3, 4, 0.5),
        (3.33, 4, 0.3),
        (7.7, 1, 2.0),
    ],
)
@pytest.mark.parametrize("jitter", [False, True])
def test_all_train_times_are_exactly_those_that_come(seconds, clip_len, interval, jitter):
    rng = np.random.default_rng(6)
    seen = np.concatenate(
        [train_times(seconds, clip_len, interval, rng=rng, jitter=jitter) for _ in range(4000)]
    )
    every = all_train_times(seconds, clip_len, interval, jitter=jitter)
    assert np.array_equal(np.unique(seen), every)
    assert len(every) <= count_train_times(seconds, clip_len, interval, jitter=jitter)


def test_counting_the_times_of_a_day_takes_no_memory():
    assert count_train_times(86400, 8, 0.25) == 16 + 2 * (86400 - 2) * 4
    assert count_train_times(2, 8, 0.25) == 8
    assert count_train_times(2, 8, 0.25, jitter=True) == 16


@pytest.mark.parametrize(
    ("seconds", "clip_len", "interval", "named"),
    [
        (0, 4, 0.5, "seconds"),
        (-1, 4, 0.5, "seconds"),
        (math.nan, 4, 0.5, "seconds"),
        (math.inf, 4, 0.5, "seconds"),
        (10, 0, 0.5, "clip_len"),
        (10, 4, 0, "frame_interval_sec"),
        (10, 4, math.nan, "frame_interval_sec"),
    ],
)
def test_impossible_arguments_are_refused(seconds, clip_len, interval, named):
    with pytest.raises(ValueError, match=named):
        times_for_test(seconds, clip_len, interval, num_clips=1)
    with pytest.raises(ValueError, match=named):
        train_times(seconds, clip_len, interval, rng=np.random.default_rng(0))


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="num_clips"):
        times_for_test(10, 4, 0.5, num_clips=0)
