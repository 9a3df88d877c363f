"""Spans of time, read and said."""

import pytest

from autox_video.core.durations import duration, read_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45m", 2700),
        ("1h30m", 5400),
        ("1h 30 min 5s", 5405),
        ("90s", 90),
        ("90 sec", 90),
        ("2h", 7200),
        ("1.5H", 5400),
        ("1d", 86400),
        (" 10M ", 600),
    ],
)
def test_spans_that_are_read(text, seconds):
    assert read_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "45", "m45", "30m1h", "1h1h", "1x", "-5m", "1h-5m", "1.h", "inf s", "5mm"]
)
def test_what_is_no_span(text):
    with pytest.raises(ValueError, match="not a duration"):
        read_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_spans_for_people(seconds, text):
    assert duration(seconds) == text
