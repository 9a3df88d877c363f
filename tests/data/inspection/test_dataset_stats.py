"""A data set in a few numbers."""

from types import SimpleNamespace

import pytest

from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.data.inspection.dataset_stats import summarize

UNREADABLE = ClipFacts(0, 0.0, 0.0, 0, 0, "", "the file is empty (0 bytes).")


def clip(seconds=2.0, fps=25.0, width=320, height=240):
    return ClipFacts(round(seconds * fps), fps, seconds, width, height, "h264", None)


def table(facts, labels=None):
    labels = tuple(labels or (0 for _ in facts))
    return ClipTable(tuple(map(str, range(len(facts)))), labels, facts=tuple(facts))


def stats_of(classes, **splits):
    splits = {"val": table([]), **splits}
    return summarize(SimpleNamespace(classes=classes, named=True, splits=splits), "single_label")


def test_statistics_are_of_readable_clips():
    train = [clip(1.0), clip(2.0), UNREADABLE, clip(3.0, fps=30.0), clip(4.0), UNREADABLE]
    stats = stats_of(
        ["run", "jump", "swim"],
        train=table(train, [0, 0, 0, 1, 2, 2]),
        val=table([clip(5.0, width=240, height=426), UNREADABLE]),
        test=table([clip(100.0), UNREADABLE, clip(100.0)]),
    )
    assert (stats.num_train, stats.num_val, stats.num_test, stats.unreadable) == (4, 1, 2, 4)
    assert (stats.num_classes, stats.class_names) == (3, ("run", "jump", "swim"))
    assert stats.named
    assert (stats.clips_per_class_min, stats.clips_per_class_max) == (1, 2)
    assert (stats.seconds_median, stats.fps_median) == (3.0, 25.0)
    assert (stats.width_median, stats.height_median, stats.short_side_median) == (320, 240, 240)


@pytest.mark.parametrize("labels", [[0, 1], [(0,), (0, 1)]])
def test_class_without_a_readable_clip_counts(labels):
    stats = stats_of(["a", "b"], train=table([clip(), UNREADABLE], labels))
    assert (stats.clips_per_class_min, stats.clips_per_class_max) == (0, 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("train", [[], [UNREADABLE, UNREADABLE]])
def test_statistics_of_nothing_are_zeros(train):
    stats = stats_of(["a", "b"], train=table(train))
    assert stats.num_train == stats.clips_per_class_max == stats.clips_per_class_min == 0
    assert stats.seconds_median == stats.fps_median == stats.short_side_median == 0
    assert stats.unreadable == len(train)
