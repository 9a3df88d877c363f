"""One list file, whatever it is written like, as columns."""

import math
import os

import pytest

from autox_video.core.errors import ListingError, ResourceError
from autox_video.core.wording import at_most, counted
from autox_video.data.clip_table import WHOLE_VIDEO, ClipTable, video_keys
from autox_video.data.listing.formats.list_files import read_list, write_list


def test_clip_keys_show_the_same_clip(tmp_path):
    spellings = ["a/b.mp4", "./a/b.mp4", "a//b.mp4", "x/../a/b.mp4", f"{tmp_path}/a/b.mp4"]
    assert video_keys(spellings, tmp_path) == ["a/b.mp4"] * 5
    assert video_keys(["/b.mp4", "../b.mp4"], tmp_path) == ["/b.mp4", "../b.mp4"]


def test_clip_keys_of_a_relative_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert video_keys([f"{tmp_path}/d/a.mp4"], "d") == ["a.mp4"]


def test_at_most_and_counted():
    assert at_most(iter("abc"), shown=3) == ["a", "b", "c"]
    assert at_most(iter("abcd"), shown=3) == ["a", "b", "c", "... and 1 more like these."]
    assert at_most([]) == []
    assert (counted(1, "class", "classes"), counted(2, "clip")) == ("1 class", "2 clips")


@pytest.mark.parametrize(
    "clips",
    [
        ClipTable(("a.mp4", "b c.mp4"), (0, 12)),
        ClipTable(("a, b.mp4", '"q".mp4', "#x.mp4", " s .mp4", "new\nline.mp4", "r\r.mp4"), None),
        ClipTable((os.fsdecode(b"\xe9.mp4"),), (3,)),
        ClipTable((), ()),
        ClipTable(("a", "b", "c"), ((0, 2), (), (11,))),
        ClipTable(("a", "a", "b"), (0, 1, 0), ((0.0, 1.5), (1.5, 2.25), (0.1, math.inf))),
        ClipTable(("a", "b"), ((1,), (0,)), ((0.0, math.inf), (1e-3, 2.0))),
        ClipTable(("a", "s3://b/c, d.mp4"), None, ((0.0, 1.0), (1.0, 2.0))),
    ],
)
def test_what_is_written_is_read_again(tmp_path, clips):
    path = tmp_path / "new" / "list.csv"
    write_list(path, clips)
    found = read_list(path)
    assert found.paths == clips.paths
    assert found.labels == clips.labels
    assert found.segments == clips.segments
    assert found.has_label_sets == clips.has_label_sets
    assert len(found) == len(clips.paths)


def test_a_written_list_of_parts_and_several_classes_is_plain_csv(tmp_path):
    clips = ClipTable(("a.mp4", "a.mp4"), ((0, 2), (1,)), ((0.5, 2.0), (2.0, math.inf)))
    write_list(tmp_path / "l.csv", clips)
    wanted = "path,labels,start,end\na.mp4,0;2,0.5,2.0\na.mp4,1,2.0,\n"
    assert (tmp_path / "l.csv").read_text() == wanted


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


def test_a_written_list_is_plain_csv(tmp_path):
    write_list(tmp_path / "l.csv", ClipTable(("a b.mp4", "c.mp4"), (1, 0)))
    assert (tmp_path / "l.csv").read_bytes() == b"path,label\na b.mp4,1\nc.mp4,0\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a.mp4 0\n",
        "path,label\na\n",
        "path,label\na,x\n",
        'path,label\n"a,1\n',
        "path,labels\na,1;x\n",
        "path,label,start,end\na,1,3,2\n",
        "path,label,start\na,1,3\n",
    ],
)
def test_a_damaged_written_list_is_one_sentence(tmp_path, content):
    path = tmp_path / "l.csv"
    path.write_text(content)
    with pytest.raises(ListingError, match=r"l\.csv: the list ") as caught:
        read_list(path)
    assert "\n" not in str(caught.value)


def test_a_written_list_that_is_gone_or_cannot_be_written(tmp_path):
    with pytest.raises(ListingError, match="cannot be read"):
        read_list(tmp_path / "l.csv")
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="cannot be written"):
        write_list(tmp_path / "file" / "l.csv", ClipTable((), ()))


def test_lists_are_put_together_with_their_segments():
    one = ClipTable(("a", "b"), (0, 1))
    other = ClipTable(("b",), (1,), ((1.0, 2.0),))
    both = one.with_those_of(other)
    assert (both.paths, both.labels) == (("a", "b", "b"), (0, 1, 1))
    assert both.segments == (WHOLE_VIDEO, WHOLE_VIDEO, (1.0, 2.0))
    assert one.with_those_of(one).segments is None
    assert ClipTable(("a",), None).with_those_of(ClipTable(("b",), None)).labels is None
