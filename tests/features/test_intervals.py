"""Intervals of scores."""

import pytest

from autox_video.features.intervals import score_interval, wilson


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    # By the formula's own closed form, as in Brown, Cai & DasGupta (2001), and its ends.
    [(0.5, 10, 0.2366, 0.7634), (0.0, 20, 0.0, 0.1611), (1.0, 20, 0.8389, 1.0), (0.2, 0, 0, 1)],
)
def test_wilson(share, count, low, high):
    assert wilson(share, count) == pytest.approx((low, high), abs=1e-4)


def test_only_shares_have_that_interval():
    assert score_interval({"top1": 0.5, "clips": 10}) == wilson(0.5, 10)
    assert score_interval({"mAP": 0.5, "clips": 10}) == (None, None)
