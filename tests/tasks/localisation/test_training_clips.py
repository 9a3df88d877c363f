"""Labelled segments of recordings → windows of equal length, with background."""

from dataclasses import replace

import numpy as np
import pytest

from autox_video.core.errors import ListingError
from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.data.listing.listing import Listing
from autox_video.tasks.localisation.training_clips import (
    as_training_clips,
    looks_like_recordings,
    recording_facts,
    window_seconds,
    without_background,
)

VIDEO = ClipFacts(500, 25.0, 20.0, 64, 48, "h264", None)
"""A recording of 20 s."""


def table(*rows, video=VIDEO):
    """Make a table from rows (path, start, end, label); infinite ends are allowed."""
    segments = [(start, end) for _, start, end, _ in rows]
    facts = [
        replace(video, seconds=min(end, video.start + 20) - start, whole_sec=20.0)
        for start, end in segments
    ]
    paths = [path for path, *_ in rows]
    return ClipTable(paths, [label for *_, label in rows], segments, facts, source="list.csv")


def listing(train, val=None, test=None, classes=("a", "b")):
    return Listing("/data", classes, named=True, train=train, val=val, test=test)


def windows(clips, label):
    rows = zip(clips.paths, clips.segments, clips.labels, strict=True)
    return [(path, *segment) for path, segment, of in rows if of == label]


def test_windows_are_as_long_as_a_short_segment_and_clips_about_twice_as_long():
    train = table(("r.mp4", 1.0, 3.0, 0), ("r.mp4", 4.0, 6.0, 0), ("r.mp4", 7.0, 14.0, 1))
    made = as_training_clips(listing(train))
    assert window_seconds(listing(train)) == 2.0
    assert made.classes == ("a", "b", "background")
    clips = made.train
    assert windows(clips, 0) == [("r.mp4", 1.0, 3.0), ("r.mp4", 4.0, 6.0)]
    # 7 s are nearest to two clips of 4 s.
    assert windows(clips, 1) == [("r.mp4", 7.0, 10.5), ("r.mp4", 10.5, 14.0)]
    lengths = [end - start for start, end in clips.segments]
    assert [fact.seconds for fact in clips.facts] == pytest.approx(lengths)
    assert [fact.frames for fact in clips.facts] == [round(25 * length) for length in lengths]


@pytest.mark.parametrize(("end", "length"), [(16.0, 2.0), (15.0, 4.0)])
def test_background_clips_keep_away_from_segments(end, length):
    """They are as long as two windows where there is room, else as long as one."""
    train = table(("r.mp4", 1.0, 3.0, 0), ("r.mp4", 4.0, 6.0, 0), ("r.mp4", 7.0, end, 1))
    made = as_training_clips(listing(train)).train
    found = windows(made, 2)
    assert len(found) == len(made) - len(found)
    for _, start, stop in found:
        assert stop - start == pytest.approx(length)
        for first, last in train.segments:
            assert stop <= first - 0.5 + 1e-3 or start >= last + 0.5 - 1e-3
        assert start >= 0
        assert stop <= 20


def test_a_short_segment_gets_the_window_around_it_within_the_recording():
    train = table(
        ("r.mp4", 0.2, 0.6, 0),
        *[("r.mp4", float(start), start + 2.0, 1) for start in (5, 8, 11, 14)],
        ("r.mp4", 19.6, 20.0, 0),
    )
    made = as_training_clips(listing(train)).train
    # The quantile lies a quarter of the way from 0.4 s to 2 s.
    assert windows(made, 0) == [("r.mp4", 0.0, 0.8), ("r.mp4", 19.2, 20.0)]


def test_there_are_as_many_background_windows_as_others():
    rows = [("r.mp4", float(s), s + 1.0, s % 2) for s in (4, 9)]
    made = as_training_clips(listing(table(*rows))).train
    counts = [len(windows(made, label)) for label in range(3)]
    assert counts == [1, 1, 2]


def test_test_segments_and_unreadable_segments_stay():
    train = table(("r.mp4", 2.0, 4.0, 0), ("r.mp4", 6.0, 8.0, 1), ("bad.mp4", 1.0, 2.0, 0))
    bad = ClipFacts(0, 0.0, 0.0, 0, 0, "", "no video")
    train = replace(train, facts=(*train.facts[:2], bad))
    test = table(("t.mp4", 1.0, 5.0, 1))
    made = as_training_clips(listing(train, test=test))
    assert made.test is test
    kept = [row for row, path in enumerate(made.train.paths) if path == "bad.mp4"]
    assert [made.train.segments[row] for row in kept] == [(1.0, 2.0)]
    assert [made.train.facts[row].error for row in kept] == ["no video"]


def test_the_same_segments_give_the_same_windows():
    rows = [(f"r{n}.mp4", float(s), s + 1.5, (s + n) % 2) for n in range(3) for s in (2, 7, 12)]
    one, other = (as_training_clips(listing(table(*rows))).train for _ in range(2))
    assert one == other
    assert np.all(np.diff([len(windows(one, label)) for label in range(2)]) <= 1)


def test_recordings_that_begin_late_use_presentation_times():
    video = replace(VIDEO, start=3.0)
    train = table(
        ("r.mp4", 3.2, 3.6, 0), ("r.mp4", 8.0, 10.0, 1), ("r.mp4", 13, 15, 1), video=video
    )
    found = windows(as_training_clips(listing(train)).train, 0)
    assert found == [("r.mp4", 3.0, 4.2)]
    background = windows(as_training_clips(listing(train)).train, 2)
    assert max(end for _, _, end in background) <= 23.0


def test_overlapping_classes_are_refused_with_their_place():
    train = table(("r.mp4", 2.0, 4.0, 0), ("r.mp4", 3.0, 6.0, 1))
    with pytest.raises(ListingError, match=r"`b` overlaps `a` of the same recording by 1\.0 s"):
        as_training_clips(listing(train))


def test_recordings_without_unlabelled_time_are_refused():
    train = table(("r.mp4", 0.0, 10.0, 0), ("r.mp4", 10.0, 20.0, 1))
    with pytest.raises(ListingError, match="no background"):
        as_training_clips(listing(train))


def test_a_class_called_background_is_taken_for_it():
    train = table(("r.mp4", 2.0, 4.0, 0), ("r.mp4", 5.0, 9.0, 1), ("r.mp4", 12.0, 14.0, 2))
    test = table(("t.mp4", 1.0, 5.0, 2), ("t.mp4", 8.0, 9.0, 1))
    made = without_background(listing(train, test=test, classes=("a", "Background", "c")))
    assert made.classes == ("a", "c")
    assert made.train.labels == (0, 1)
    assert made.test.labels == (1,)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("r.mp4", 2.0, 4.0, 0), ("r.mp4", 6.0, 9.0, 1)], True),
        ([("r.mp4", 0.0, 10.0, 0), ("r.mp4", 10.0, 20.0, 1)], False),  # all is labelled
        ([("r.mp4", 2.0, 4.0, 0), ("s.mp4", 6.0, 9.0, 1)], False),  # one segment per video
    ],
)
def test_recordings_are_told_from_clips(rows, expected):
    assert looks_like_recordings(table(*rows), "/data") is expected


def test_a_recording_counts_once():
    train = table(("r.mp4", 2.0, 4.0, 0), ("./r.mp4", 6.0, 9.0, 1), ("s.mp4", 6.0, 9.0, 1))
    facts = recording_facts(train, "/data")
    assert sorted(facts) == ["r.mp4", "s.mp4"]
    assert [fact.whole_sec for fact in facts.values()] == [20.0, 20.0]
