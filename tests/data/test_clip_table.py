"""Clips in columns: what tells them apart, their classes, and rows of all columns at once."""

import math
from array import array

import numpy as np

from autox_video.data.clip_table import WHOLE_VIDEO, ClipTable, video_keys
from autox_video.data.inspection.clip_facts import ClipFacts, unreadable
from autox_video.data.splitting.recordings import Recordings

READABLE, TORN = ClipFacts(9, 9.0, 1.0, 8, 8, "x", None), unreadable("torn").facts


def test_video_keys_show_the_same_video(tmp_path):
    spellings = ["a/b.mp4", "./a/b.mp4", "a//b.mp4", "x/../a/b.mp4", f"{tmp_path}/a/b.mp4"]
    assert video_keys(spellings, tmp_path) == ["a/b.mp4"] * 5
    assert video_keys(["/b.mp4", "../b.mp4"], tmp_path) == ["/b.mp4", "../b.mp4"]


def test_video_keys_of_a_relative_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert video_keys([f"{tmp_path}/d/a.mp4"], "d") == ["a.mp4"]


def test_columns_of_clips():
    clips = ClipTable(("a", "./a"), ((0, 2), (2,)), ((0.0, 1.0), (1.0, math.inf)))
    assert clips.classes() == {0, 2}
    assert clips.segment(1) == (1.0, math.inf)
    assert clips.identities("videos") == [("a", (0.0, 1.0)), ("a", (1.0, math.inf))]
    assert clips.select([1]) == ClipTable(("./a",), ((2,),), ((1.0, math.inf),))
    plain = ClipTable(("a",), (3,))
    assert (plain.classes(), plain.segment(0), plain.has_label_sets) == (
        {3},
        (0.0, math.inf),
        False,
    )


def test_lists_are_put_together_with_their_segments():
    whole = ClipTable(("a", "b"), (0, 1))
    part = ClipTable(("b",), (1,), ((1.0, 2.0),))
    joined = whole.with_those_of(part)
    assert (joined.paths, joined.labels) == (("a", "b", "b"), (0, 1, 1))
    assert joined.segments == (WHOLE_VIDEO, WHOLE_VIDEO, (1.0, 2.0))
    assert whole.with_those_of(whole).segments is None
    assert ClipTable(("a",), None).with_those_of(ClipTable(("b",), None)).labels is None


def test_classes_of_clips_of_one_class_and_of_several():
    several = ClipTable("abcd", [(0, 1), (0,), (0, 2), ()])
    assert several.class_counts() == {0: 3, 1: 1, 2: 1}
    assert several.rarest_classes() == [1, 0, 2, -1]
    assert several.class_sets() == [(0, 1), (0,), (0, 2), ()]
    plain = ClipTable("abc", [1, 0, 1])
    assert (plain.class_counts(), plain.rarest_classes()) == ({0: 1, 1: 2}, [1, 0, 1])
    assert plain.class_sets() == [(1,), (0,), (1,)]
    unlabelled = ClipTable("ab")
    assert (unlabelled.classes(), unlabelled.rarest_classes()) == (set(), [None, None])


def test_all_columns_of_chosen_rows():
    digests = np.array([[1], [2], [3]], dtype=np.uint8)
    recordings = Recordings(np.array([0, 0, 2]), *np.zeros((4, 3), dtype=bool))
    clips = ClipTable(
        "abc",
        facts=[READABLE, TORN, READABLE],
        digests=digests,
        recordings=recordings,
        lines=array("L", [3, 5, 7]),
        source="l.txt",
    )
    assert (clips.unreadable(), clips.readable().paths) == ([1], ("a", "c"))
    chosen = clips.select([2, 0])
    assert [chosen.location(row) for row in (0, 1)] == ["l.txt:7", "l.txt:3"]
    assert chosen.digests[:, 0].tolist() == [3, 1]
    assert chosen.recordings.labels.tolist() == [2, 0]
    assert clips.with_those_of(chosen).recordings.labels.tolist() == [0, 0, 2, 2, 0]
    assert len(clips.select([])) == len(clips.select([]).digests) == 0
