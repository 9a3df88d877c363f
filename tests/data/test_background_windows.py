"""Windows of what is not labelled."""

import math

import numpy as np
import pytest

from autox_video.data.background_windows import background_windows, unlabelled


def drawn(segments, seconds, span_sec, *, count=100, seed=0, **more):
    rng = np.random.default_rng(seed)
    return background_windows(segments, seconds, span_sec, count=count, rng=rng, **more)


@pytest.mark.parametrize(
    ("segments", "margin", "gaps"),
    [
        ([], 0, [(0, 10)]),
        ([(2, 4)], 0, [(0, 2), (4, 10)]),
        ([(6, 7), (2, 4)], 0, [(0, 2), (4, 6), (7, 10)]),
        ([(2, 5), (3, 4), (4, 6)], 0, [(0, 2), (6, 10)]),
        ([(2, 6), (3, 4)], 0, [(0, 2), (6, 10)]),
        ([(2, 4)], 0.5, [(0, 1.5), (4.5, 10)]),
        ([(0, 4)], 1, [(5, 10)]),
        ([(2, 4), (5, 7)], 0.5, [(0, 1.5), (7.5, 10)]),
        ([(2, math.inf)], 0, [(0, 2)]),
        ([(0, math.inf)], 0, []),
        ([(8, 12)], 0, [(0, 8)]),
        ([(12, 14)], 0, [(0, 10)]),
    ],
)
def test_what_is_not_labelled(segments, margin, gaps):
    assert unlabelled(segments, 10, margin_sec=margin) == gaps


def test_windows_touch_no_segment_and_no_margin():
    segments = [(3, 5), (4, 8), (20, 21)]
    windows = drawn(segments, 30, 1.5, count=500, margin_sec=0.5)
    assert len(windows) == 500
    for start, end in windows:
        assert end - start == pytest.approx(1.5)
        assert start >= 0 and end <= 30
        assert all(
            end <= first - 0.5 + 1e-9 or start >= last + 0.5 - 1e-9 for first, last in segments
        )


def test_windows_are_spread_evenly_over_the_possible_positions():
    # Starts are possible from 0 to 2 and from 8 to 14: one of four windows is in the first gap.
    windows = drawn([(4, 8)], 16, 2, count=400)
    starts = np.array([start for start, _ in windows])
    assert (starts < 4).sum() == 100
    assert (np.diff(starts) > 0).all()
    counts = np.histogram(starts[starts >= 8], bins=6, range=(8, 14))[0]
    assert counts.tolist() == [50] * 6


def test_gaps_shorter_than_a_window_are_left_out():
    windows = drawn([(1, 3), (4.9, 6)], 10, 2)
    assert all(start >= 6 for start, _ in windows)
    assert drawn([(1, 3), (4.9, 6)], 10, 4.5) == []
    assert drawn([(0, math.inf)], 10, 1) == []
    assert drawn([], 10, 1, count=0) == []


def test_gaps_as_long_as_a_window_are_used_alike():
    windows = drawn([(2, 5), (7, 10)], 12, 2, count=9)
    assert windows == [(0.0, 2.0)] * 3 + [(5.0, 7.0)] * 3 + [(10.0, 12.0)] * 3
    ((start, end),) = drawn([(0.3, 5)], 5, 0.1 + 0.2, count=1)  # 0.1 + 0.2 is above 0.3
    assert (start, end) == (0.0, pytest.approx(0.3))


def test_the_seed_decides():
    assert drawn([(2, 4)], 10, 1, seed=1) == drawn([(2, 4)], 10, 1, seed=1)
    assert drawn([(2, 4)], 10, 1, seed=1) != drawn([(2, 4)], 10, 1, seed=2)


@pytest.mark.parametrize("wrong", [{"span_sec": 0}, {"margin_sec": -1}, {"count": -1}])
def test_lengths_out_of_range(wrong):
    with pytest.raises(ValueError, match="must be"):
        drawn([], 10, **{"span_sec": 1, **wrong})
