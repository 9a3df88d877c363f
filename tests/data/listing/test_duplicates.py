"""Clips that are listed more than once."""

from array import array

import pytest

from autox_video.data.clip_table import ClipTable
from autox_video.data.listing.duplicates import (
    drop_repeats,
    same_clip_twice,
    say_overlapping_parts,
    say_overlaps,
    say_several_labels,
)


def entries(text, name="l.csv"):
    """Give a list from `path:label[:start-end]` words."""
    rows = [(*word.split(":"), "")[:3] for word in text.split()]
    paths = [path for path, _, _ in rows]
    segments = [tuple(map(float, times.split("-"))) if times else (0.0, 9.0) for *_, times in rows]
    return ClipTable(
        paths,
        [label for _, label, _ in rows],
        segments if any(times for *_, times in rows) else None,
        lines=array("L", range(1, len(rows) + 1)),
        source=name,
    )


def test_a_clip_counts_once():
    once, problems, notes = drop_repeats(entries("a:x b:y a:x"), "videos")
    assert (once.paths, problems) == (("a", "b"), [])
    assert notes == ["l.csv: 1 duplicate line ignored, for example l.csv:3, which repeats l.csv:1."]


def test_two_labels_are_a_problem_unless_a_clip_may_have_several():
    given = entries("a:x b:y a:y;z a:x")
    assert drop_repeats(given, "videos")[1] == [
        "l.csv:3: clip `a` has the label `y;z` here but `x` at l.csv:1; keep one of the two lines."
    ]
    once, *sentences = drop_repeats(given, "videos", multi_label=True)
    assert (once.paths, once.labels, sentences) == (("a", "b"), ("x;y;z", "y"), [[], []])


def test_other_parts_of_a_video_are_other_clips():
    given = entries("a:x:0-1 a:y:1-2 a:y:0-1")
    assert drop_repeats(given, "videos")[1] == [
        "l.csv:3: clip `a` has the label `y` here but `x` at l.csv:1; keep one of the two lines."
    ]
    assert drop_repeats(given.select([0, 1]), "videos")[0].segments == ((0.0, 1.0), (1.0, 2.0))


@pytest.mark.parametrize(
    ("train", "val", "places"),
    [
        ("a:x b:y", "c:x b:y", ["v.csv:2"]),
        ("a:x:0-1 a:y:1-2", "a:x:1-2 a:x:2-3", ["v.csv:1"]),
        ("a:x:0-1", "a:x", ["v.csv:1"]),
        ("a:x", "a:x:0-1 a:y:1-2", ["v.csv:1", "v.csv:2"]),
    ],
)
def test_clips_for_training_and_validation(train, val, places):
    found = same_clip_twice({"train": entries(train), "val": entries(val, "v.csv")}, "videos")
    assert [sentence.split(": ")[0] for sentence in found] == places


def test_parts_of_one_video_in_two_splits_are_said():
    splits = {"train": entries("a:x:0-1 b:x:0-1"), "val": entries("a:x:1-2 c:x:1-2")}
    (sentence,) = say_overlaps(splits, "videos")
    assert sentence.startswith("1 video with segments in both the train and the val list")


def test_several_labels_are_said():
    splits = {"train": entries("a:x;y b:y"), "val": entries("c:x")}
    (note,) = say_several_labels(splits)
    assert note.startswith("Labels with several classes in 1 of 3 clips, for example `x;y` at l")
    assert "multi_label: false" in note
    assert say_several_labels({"train": entries("a:x b:y")}) == []


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a:x:0-4 a:y:1-5", 1),
        ("a:x:0-4 a:y:3-7", 0),
        ("a:x:0-4 a:x:1-5", 0),
        ("a:x:0-4 b:y:1-5", 0),
        ("a:x:0-10 a:y:2-3", 1),
        ("a:x:0-4 a:y:4-8", 0),
        ("a:x b:y", 0),
    ],
)
def test_parts_that_overlap_with_other_labels_are_said(text, pairs):
    notes = say_overlapping_parts(entries(text), "videos")
    assert len(notes) == pairs
    for note in notes:
        assert "l.csv:1 (x) and l.csv:2 (y)" in note
