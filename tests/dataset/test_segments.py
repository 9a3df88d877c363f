"""Seconds as text → segments."""

import math

import pytest

from autox_video.dataset.segments import read_segment


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        ("", "", (0.0, math.inf)),
        ("1.5", "2", (1.5, 2.0)),
        ("", "3s", (0.0, 3.0)),
        (".5s", "inf", (0.5, math.inf)),
        ("0", "Infinity", (0.0, math.inf)),
        ("1e-1", "1e2", (0.1, 100.0)),
    ],
)
def test_segments(start, end, wanted):
    assert read_segment(start, end) == wanted


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        ("2", "1", "ends at 1 s, which is not after its start at 2 s"),
        ("2", "2", "not after"),
        ("-1", "2", "the start `-1` is no number of seconds from 0 on"),
        ("1", "x", "the end `x` is no number"),
        ("nan", "2", "the start `nan`"),
        ("inf", "inf", "the start `inf`"),
        ("0:01", "2", "the start `0:01`"),
        ("1,5", "2", "the start `1,5`"),
    ],
)
def test_what_is_no_segment(start, end, reason):
    with pytest.raises(ValueError, match=reason):
        read_segment(start, end)
