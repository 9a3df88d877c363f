"""Seconds as text → segments."""

import math

import pytest

from autox_video.data.listing.reading.segments import read_segment


@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        ("", "", (0.0, math.inf)),
        ("1.5", "2", (1.5, 2.0)),
        ("", "3s", (0.0, 3.0)),
        (".5s", "inf", (0.5, math.inf)),
        ("0", "Infinity", (0.0, math.inf)),
        ("1e-1", "1e2", (0.1, 100.0)),
        ("nan", "2", (0.0, 2.0)),
        ("2.5 sec", "4 seconds", (2.5, 4.0)),
        ("0:01", "00:02", (1.0, 2.0)),
        ("1:30", "75:00", (90.0, 4500.0)),
        ("00:00:02,500", "00:00:04.25", (2.5, 4.25)),
        ("1:00:00", "1:00:00.5", (3600.0, 3600.5)),
        ("1,5", "2,25", (1.5, 2.25)),
        ("500ms", "2", (0.5, 2.0)),
    ],
)
def test_segments(start, end, wanted):
    assert read_segment(start, end) == pytest.approx(wanted)


def test_other_units():
    assert read_segment("500", "2500", "ms") == pytest.approx((0.5, 2.5))
    assert read_segment("1.5s", "0:02", "ms") == pytest.approx((1.5, 2.0))
    assert read_segment("12", "24.0", "frame") == (12.0, 24.0)
    assert read_segment("12", "", "frame") == (12.0, math.inf)
    with pytest.raises(ValueError, match=r"`1\.5` is not a frame number"):
        read_segment("1.5", "3", "frame")
    with pytest.raises(ValueError, match="ends at frame 3, which is not after its start at frame"):
        read_segment("5", "3", "frame")


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        ("2", "1", "ends at 1 s, which is not after its start at 2 s"),
        ("2", "2", "not after"),
        ("-1", "2", "the start `-1` is not a time of 0 or more; write seconds, such as 83.5"),
        ("1", "x", "the end `x` is not a time"),
        ("inf", "inf", "the start `inf`"),
        ("0:61", "2", "the start `0:61`"),
        ("1:75:00", "2", "has 75 minutes"),
        ("00:00:02:12", "3", "the start `00:00:02:12`"),
        ("1,234.5", "2", "the start `1,234.5`"),
    ],
)
def test_what_is_no_segment(start, end, reason):
    with pytest.raises(ValueError, match=reason):
        read_segment(start, end)
