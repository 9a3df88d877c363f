"""Counts and long lists in words."""

from autox_video.core.wording import at_most, counted


def test_at_most_and_counted():
    assert at_most(iter("abc"), shown=3) == ["a", "b", "c"]
    assert at_most(iter("abcd"), shown=3) == ["a", "b", "c", "... and 1 more like these."]
    assert at_most([]) == []
    assert (counted(1, "class", "classes"), counted(2, "clip")) == ("1 class", "2 clips")
