"""A data set in a few numbers."""

import pytest

from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.data.inspection.dataset_stats import summarize


def facts(seconds=2.0, fps=25.0, width=320, height=240):
    return ClipFacts(round(seconds * fps), fps, seconds, width, height, "h264", None)


UNREADABLE = ClipFacts(0, 0.0, 0.0, 0, 0, "", "the file is empty (0 bytes).")


def test_statistics_are_of_readable_clips():
    stats = summarize(
        ["run", "jump", "swim"],
        named=True,
        train_labels=[0, 0, 0, 1, 2, 2],
        train=[facts(1.0), facts(2.0), UNREADABLE, facts(3.0, fps=30.0), facts(4.0), UNREADABLE],
        val=[facts(5.0, width=240, height=426), UNREADABLE],
        test=[facts(100.0), UNREADABLE, facts(100.0)],
    )
    assert (stats.num_train, stats.num_val, stats.num_test, stats.unreadable) == (4, 1, 2, 4)
    assert (stats.num_classes, stats.class_names) == (3, ("run", "jump", "swim"))
    assert stats.named
    assert (stats.clips_per_class_min, stats.clips_per_class_max) == (1, 2)
    assert stats.seconds_median == 3.0
    assert stats.fps_median == 25.0
    assert (stats.width_median, stats.height_median, stats.short_side_median) == (320, 240, 240)


def test_class_without_a_readable_clip_counts():
    stats = summarize(
        ["a", "b"], named=False, train_labels=[0, 1], train=[facts(), UNREADABLE], val=[]
    )
    assert (stats.clips_per_class_min, stats.clips_per_class_max) == (0, 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("train", [[], [UNREADABLE, UNREADABLE]])
def test_statistics_of_nothing_are_zeros(train):
    stats = summarize(
        ["a", "b"], named=False, train_labels=[0, 1][: len(train)], train=train, val=[]
    )
    assert stats.num_train == stats.clips_per_class_max == 0
    assert stats.seconds_median == stats.fps_median == stats.short_side_median == 0
    assert stats.unreadable == len(train)


def test_labels_must_belong_to_the_clips():
    with pytest.raises(ValueError, match="zip"):
        summarize(["a"], named=False, train_labels=[0], train=[facts(), facts()], val=[])
