"""One list file, whatever it is written like, as columns."""

import math
import os

import pytest

from autox_video.dataset.entries import WHOLE_VIDEO
from autox_video.dataset.list_files import (
    ClipList,
    at_most,
    clip_keys,
    counted,
    read_entries,
    read_list,
    write_list,
)
from autox_video.errors import ListingError, ResourceError


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Give a function that reads a list with this content; data_root is `videos`, left empty."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("videos")

    def read(content, name="list.txt", *, need_labels=True):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return read_entries(name, "videos", need_labels=need_labels)

    return read


@pytest.fixture
def problems(read):
    """Give a function that reads such a list and gives the problems found."""

    def problems(content, name="list.txt", *, need_labels=True):
        with pytest.raises(ListingError) as caught:
            read(content, name, need_labels=need_labels)
        return list(caught.value.problems)

    return problems


def rows(entries):
    """Give (path, label, line) of each clip."""
    return list(zip(entries.paths, entries.labels, entries.lines, strict=True))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("a.mp4 0\nb.mp4 1\n", [("a.mp4", "0", 1), ("b.mp4", "1", 2)]),
        ("a b  c.mp4 0", [("a b  c.mp4", "0", 1)]),
        ("a b.mp4\tplay chess\nc.mp4\t2 \n", [("a b.mp4", "play chess", 1), ("c.mp4", "2", 2)]),
        ("\n# x.mp4 1\n\n  a.mp4   run \n", [("a.mp4", "run", 4)]),
        ("a.mp4 0\r\n\r\nb.mp4 1\r\n", [("a.mp4", "0", 1), ("b.mp4", "1", 3)]),
        (b"\xef\xbb\xbfa.mp4 0\n", [("a.mp4", "0", 1)]),
        ("\u8df3 \u821e\u2028x.mp4 3\n", [("\u8df3 \u821e\u2028x.mp4", "3", 1)]),
        ("a,b.mp4 0\n", [("a,b.mp4", "0", 1)]),
    ],
)
def test_text_lines(read, content, wanted):
    assert rows(read(content)) == wanted


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('path,label\n"a, b.mp4",0\nc.mp4,1\n', "list.csv"),
        ('path,label\n"a, b.mp4",0\nc.mp4,1\n', "list.txt"),
        ('\ufeffid,Label,Path\r\n7,0,"a, b.mp4"\r\n8,1, c.mp4\r\n', "list.CSV"),
        ("video;class\na, b.mp4;0\nc.mp4;1\n", "list.csv"),
        ("filename\tcategory\na, b.mp4\t0\nc.mp4\t1\n", "list.tsv"),
        ("a, b.mp4 0\nc.mp4 1\n", "list.txt"),
    ],
)
def test_csv_and_its_kin(read, content, name):
    found = read(content, name)
    assert (found.paths, found.labels) == (["a, b.mp4", "c.mp4"], ["0", "1"])


def test_csv_lines_are_counted_right(read):
    content = '# made by hand\npath,label\na.mp4,0\n\n"b\nc.mp4",1\n#d.mp4,1\ne.mp4,1\n'
    assert rows(read(content, "l.csv")) == [
        ("a.mp4", "0", 3),
        ("b\nc.mp4", "1", 5),
        ("e.mp4", "1", 8),
    ]


def test_text_in_a_file_called_csv_is_read_as_text(read):
    assert rows(read("a b.mp4 0\n", "list.csv")) == [("a b.mp4", "0", 1)]


@pytest.mark.parametrize(
    ("content", "name", "wanted"),
    [
        ("", "l.txt", ["l.txt: the list is empty; a line is `path label`."]),
        ("\n# a.mp4 0\n", "l.txt", ["l.txt: the list is empty; a line is `path label`."]),
        ("path,label\n\n", "l.csv", ["l.csv: the list is empty but for its header."]),
        (b"a.mp4 0\nb\0.mp4 0\n", "l.txt", ["l.txt:2: this is not text (it has a byte 0)."]),
        (b"a.mp4 0\n\xe9.mp4 0\n", "l.txt", ["l.txt:2: this is not UTF-8 text; save it as UTF-8."]),
        (
            "a.mp4 0\nb.mp4\nc.mp4 1\n4\n",
            "l.txt",
            [
                "l.txt:2: `b.mp4` has no label; a line is `path label`.",
                "l.txt:4: `4` has no label; a line is `path label`.",
            ],
        ),
        ("a.mp4,0\n", "l.csv", ["l.csv:1: a CSV list begins with a header, `path,label`."]),
        ("path\na.mp4\n", "l.csv", ["l.csv: the clips have no labels; a line is `path,label`."]),
        ("path,label\na.mp4,0\nb.mp4,\n", "l.csv", ["l.csv:3: `b.mp4` has no label."]),
        ("path,label\na.mp4,0\nb.mp4\n", "l.csv", ["l.csv:3: `b.mp4` has no label."]),
        ("path,label\na.mp4,0\n,1\n", "l.csv", ["l.csv:3: there is no path in column 1."]),
        (
            'path,label\na.mp4,0\n"b.mp4,1\n',
            "l.csv",
            ["l.csv:3: this is not valid CSV (unexpected end of data)."],
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(problems, content, name, wanted):
    assert problems(content, name) == wanted


def test_only_ten_lines_of_a_kind_are_named(problems):
    found = problems("".join(f"{i}.mp4\n" for i in range(25)))
    assert len(found) == 11
    assert found[9] == "list.txt:10: `9.mp4` has no label; a line is `path label`."
    assert found[10] == "... and 15 more like these."


def test_a_missing_list_and_a_folder_get_their_own_sentences(tmp_path):
    with pytest.raises(ListingError, match=r"no\.txt: there is no such list file"):
        read_entries(tmp_path / "no.txt", tmp_path, need_labels=True)
    with pytest.raises(ListingError, match="is a folder; give the list file itself"):
        read_entries(tmp_path, tmp_path, need_labels=True)


def test_a_list_without_labels(read, tmp_path):
    (tmp_path / "videos" / "d e").touch()
    for first in ("a.mp4\n", "a b.mp4\n", "d e\n"):
        found = read(first + "c d.MKV\nd e\nplain\n", need_labels=False)
        assert found.paths == [first.strip(), "c d.MKV", "d e", "plain"]
        assert found.labels is None
    for content in ("path\na b.mp4\n", "path,label\na b.mp4,\n"):
        found = read(content, "l.csv", need_labels=False)
        assert (found.paths, found.labels) == (["a b.mp4"], None)


def test_a_list_that_may_have_labels_has_all_or_none(read, problems):
    assert read("a b.mp4 0\n", need_labels=False).labels == ["0"]
    assert problems("a.mp4 0\nb.mp4\n", need_labels=False) == [
        "list.txt:2: `b.mp4` has no label; a line is `path label`."
    ]
    assert problems("\na.mp4\nb.mp4 0\n", need_labels=False) == [
        "list.txt:3: `b.mp4 0` has a label, but line 2 has none; give all clips labels, or none."
    ]


def test_clip_keys_show_the_same_clip(tmp_path):
    spellings = ["a/b.mp4", "./a/b.mp4", "a//b.mp4", "x/../a/b.mp4", f"{tmp_path}/a/b.mp4"]
    assert clip_keys(spellings, tmp_path) == ["a/b.mp4"] * 5
    assert clip_keys(["/b.mp4", "../b.mp4"], tmp_path) == ["/b.mp4", "../b.mp4"]


def test_clip_keys_of_a_relative_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert clip_keys([f"{tmp_path}/d/a.mp4"], "d") == ["a.mp4"]


def test_a_million_equal_labels_are_one_object(read):
    labels = read("a.mp4 running\nb.mp4 running\n").labels
    assert labels[0] is labels[1]


def test_place_and_select(read):
    entries = read("a.mp4 0\n\nb.mp4 1\nc.mp4 2\n").select([2, 1])
    assert rows(entries) == [("c.mp4", "2", 4), ("b.mp4", "1", 3)]
    assert (entries.place(0), entries.keys) == ("list.txt:4", ["c.mp4", "b.mp4"])


def test_at_most_and_counted():
    assert at_most(iter("abc"), shown=3) == ["a", "b", "c"]
    assert at_most(iter("abcd"), shown=3) == ["a", "b", "c", "... and 1 more like these."]
    assert at_most([]) == []
    assert (counted(1, "class", "classes"), counted(2, "clip")) == ("1 class", "2 clips")


@pytest.mark.parametrize(
    "clips",
    [
        ClipList(("a.mp4", "b c.mp4"), (0, 12)),
        ClipList(("a, b.mp4", '"q".mp4', "#x.mp4", " s .mp4", "new\nline.mp4", "r\r.mp4"), None),
        ClipList((os.fsdecode(b"\xe9.mp4"),), (3,)),
        ClipList((), ()),
        ClipList(("a", "b", "c"), ((0, 2), (), (11,))),
        ClipList(("a", "a", "b"), (0, 1, 0), ((0.0, 1.5), (1.5, 2.25), (0.1, math.inf))),
        ClipList(("a", "b"), ((1,), (0,)), ((0.0, math.inf), (1e-3, 2.0))),
        ClipList(("a", "s3://b/c, d.mp4"), None, ((0.0, 1.0), (1.0, 2.0))),
    ],
)
def test_what_is_written_is_read_again(tmp_path, clips):
    path = tmp_path / "new" / "list.csv"
    write_list(path, clips)
    found = read_list(path)
    assert found.paths == clips.paths
    assert found.labels == clips.labels
    assert found.segments == clips.segments
    assert found.multi_label == clips.multi_label
    assert len(found) == len(clips.paths)


def test_a_written_list_of_parts_and_several_classes_is_plain_csv(tmp_path):
    clips = ClipList(("a.mp4", "a.mp4"), ((0, 2), (1,)), ((0.5, 2.0), (2.0, math.inf)))
    write_list(tmp_path / "l.csv", clips)
    wanted = "path,labels,start,end\na.mp4,0;2,0.5,2.0\na.mp4,1,2.0,\n"
    assert (tmp_path / "l.csv").read_text() == wanted


def test_columns_of_clips():
    clips = ClipList(("a", "./a"), ((0, 2), (2,)), ((0.0, 1.0), (1.0, math.inf)))
    assert clips.classes() == {0, 2}
    assert clips.segment(1) == (1.0, math.inf)
    assert clips.identities("videos") == [("a", (0.0, 1.0)), ("a", (1.0, math.inf))]
    assert clips.select([1]) == ClipList(("./a",), ((2,),), ((1.0, math.inf),))
    plain = ClipList(("a",), (3,))
    assert (plain.classes(), plain.segment(0), plain.multi_label) == ({3}, (0.0, math.inf), False)


def test_a_written_list_is_plain_csv(tmp_path):
    write_list(tmp_path / "l.csv", ClipList(("a b.mp4", "c.mp4"), (1, 0)))
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
        write_list(tmp_path / "file" / "l.csv", ClipList((), ()))


def test_lists_are_put_together_with_their_segments():
    one = ClipList(("a", "b"), (0, 1))
    other = ClipList(("b",), (1,), ((1.0, 2.0),))
    both = one.with_those_of(other)
    assert (both.paths, both.labels) == (("a", "b", "b"), (0, 1, 1))
    assert both.segments == (WHOLE_VIDEO, WHOLE_VIDEO, (1.0, 2.0))
    assert one.with_those_of(one).segments is None
    assert ClipList(("a",), None).with_those_of(ClipList(("b",), None)).labels is None
