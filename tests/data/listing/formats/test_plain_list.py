"""One list in text, whatever it is written like, as columns."""

import os

import pytest

from autox_video.core.errors import ListingError
from autox_video.data.listing.formats.detect import read_listed
from autox_video.data.listing.formats.list_format import Reading
from autox_video.data.listing.reading.list_text import read_text


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Give a function that reads a list with this content; data_root is `videos`, left empty."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("videos")

    def read(content, name="list.txt", *, need_labels=True):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        split = "train" if need_labels else "test"
        listed = read_listed(name, Reading("videos", "list", split))
        return next(iter(listed.splits.values()))

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
    assert (found.paths, found.labels) == (("a, b.mp4", "c.mp4"), ("0", "1"))


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
        ("", "l.txt", ["l.txt: the list is empty; write one `path label` per line."]),
        ("\n# by hand\n", "l.txt", ["l.txt: the list is empty; write one `path label` per line."]),
        ("\n# a.mp4 0\n", "l.txt", ["l.txt: the list has only comments, no clips."]),
        ("path,label\n\n", "l.csv", ["l.csv: the list has no clips, only a header."]),
        (
            b"a.mp4 0\nb\0.mp4 0\n",
            "l.txt",
            ["l.txt:2: this is not text (it contains a null byte)."],
        ),
        (b"a.mp4 0\n\xe9.mp4 0\n", "l.txt", ["l.txt:2: this is not UTF-8 text; save it as UTF-8."]),
        (
            "a.mp4 0\nb.mp4\nc.mp4 1\n4\n",
            "l.txt",
            [
                "l.txt:2: `b.mp4` has no label; write `path label`.",
                "l.txt:4: `4` has no label; write `path label`.",
            ],
        ),
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
    assert found[9] == "list.txt:10: `9.mp4` has no label; write `path label`."
    assert found[10] == "... and 15 more like these."


def test_a_missing_list_and_a_folder_get_their_own_sentences(tmp_path):
    with pytest.raises(ListingError, match=r"no\.txt: there is no such list file"):
        read_text(tmp_path / "no.txt")
    with pytest.raises(ListingError, match="is a folder, not a list file"):
        read_text(tmp_path)


def test_a_list_without_labels(read, tmp_path):
    (tmp_path / "videos" / "d e").touch()
    for first in ("a.mp4\n", "a b.mp4\n", "d e\n"):
        found = read(first + "c d.MKV\nd e\nplain\n", need_labels=False)
        assert list(found.paths) == [first.strip(), "c d.MKV", "d e", "plain"]
        assert found.labels is None
    for content in ("path\na b.mp4\n", "path,label\na b.mp4,\n"):
        found = read(content, "l.csv", need_labels=False)
        assert (found.paths, found.labels) == (("a b.mp4",), None)


def test_a_list_that_may_have_labels_has_all_or_none(read, problems):
    assert read("a b.mp4 0\n", need_labels=False).labels == ("0",)
    assert problems("a.mp4 0\nb.mp4\n", need_labels=False) == [
        "list.txt:2: `b.mp4` has no label; write `path label`."
    ]
    assert problems("\na.mp4\nb.mp4 0\n", need_labels=False) == [
        "list.txt:3: `b.mp4 0` has a label, but line 2 has none; label all clips or none of them."
    ]


def test_a_million_equal_labels_are_one_object(read):
    labels = read("a.mp4 running\nb.mp4 running\n").labels
    assert labels[0] is labels[1]


def test_place_and_select(read):
    entries = read("a.mp4 0\n\nb.mp4 1\nc.mp4 2\n").select([2, 1])
    assert rows(entries) == [("c.mp4", "2", 4), ("b.mp4", "1", 3)]
    assert (entries.location(0), entries.paths) == ("list.txt:4", ("c.mp4", "b.mp4"))


# ---- lists of other habits ----


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("a b.mp4,run\nc.mp4,walk\n", "list.csv"),
        ("a b.mp4,run\nc.mp4,walk\n", "list.txt"),
        ("run;a b.mp4\nwalk;c.mp4\n", "list.csv"),
        ('"a b.mp4"\t"run"\n"c.mp4"\t"walk"\n', "list.tsv"),
        ('"a b.mp4" "run"\n"c.mp4" "walk"\n', "list.txt"),
        ("run a b.mp4\nwalk c.mp4\n", "list2.txt"),
        ("run\ta b.mp4\nwalk\tc.mp4\n", "list.txt"),
        ("sep=;\npath;label\na b.mp4;run\nc.mp4;walk\n", "list.csv"),
        ('"sep=,"\n"path","label"\n"a b.mp4","run"\n"c.mp4","walk"\n', "list.csv"),
        ("path|label\na b.mp4|run\nc.mp4|walk\n", "list.psv"),
        ("path label\na b.mp4 run\nc.mp4 walk\n", "list.txt"),
        ("path,label\na b.mp4,run\npath,label\nc.mp4,walk\n", "list.csv"),
        (",video_name,tag\n0,a b.mp4,run\n1,c.mp4,walk\n", "list.csv"),
        ("VideoName;Label\ra b.mp4;run\rc.mp4;walk\r", "list.csv"),
        (b"\xff\xfe" + "path,label\na b.mp4,run\nc.mp4,walk\n".encode("utf-16-le"), "list.csv"),
        ("video,choice\na b.mp4,\"'run'\"\nc.mp4,walk\n", "list.csv"),
    ],
)
def test_lists_of_other_habits_are_read(read, tmp_path, content, name):
    if name == "list2.txt":  # here a space is in the label's place
        content = content.replace("a b.mp4", "a_b.mp4")
    (tmp_path / "videos" / "a b.mp4").touch()
    found = read(content, name)
    assert [path.replace("_", " ") for path in found.paths] == ["a b.mp4", "c.mp4"]
    assert list(found.labels) == ["run", "walk"]


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        ("video,foo\na.mp4,0\n", "l.csv", ["l.csv:1: the clips have no labels", "`video`, `foo`"]),
        ("foo,label\na.mp4,0\n", "l.csv", ["`foo`, `label`", "path, video"]),
        ("foo,bar\na.mp4,0\n", "l.csv", ["must begin with a header", "`foo`, `bar`"]),
        ("path\na.mp4\n", "l.csv", ["l.csv:1: the clips have no labels", "`path`"]),
        ("a.mp4 0.5 2.5 run\nb.mp4 1 3 walk\n", "l.txt", ["the path is followed by `0.5 2.5 run`"]),
        (
            "a.mp4 0:01 0:02 1\n",
            "l.txt",
            ["the path is followed by `0:01 0:02 1`", "path,label,start"],
        ),
        ("a.mp4 0.5 2.5\nb.mp4 1.0 3.5\n", "l.txt", ["the path is followed by `0.5 2.5`"]),
        (
            "path,label\na.mp4,red, dark\nb.mp4,1\n",
            "l.csv",
            ["l.csv:2: there are 3 cells, but the header has 2", "quote cells"],
        ),
        ("a.mp4\t0\t3\n", "l.txt", ["l.txt:1: the line has 3 columns"]),
        (
            "Abuse028_x264.mp4  Abuse  165  240  -1  -1\n",
            "l.txt",
            ["as in UCF-Crime, which is not supported; write CSV with the columns path, label"],
        ),
        ("1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,12,0\n", "l.csv", ["as in AVA"]),
        ("path,label\na.mp4,0\nb.mp4,NaN\n", "l.csv", ["l.csv:3: `b.mp4` has no label."]),
        ("path,label\na.mp4,0\nb.mp4,<NA>\n", "l.csv", ["l.csv:3: `b.mp4` has no label."]),
    ],
)
def test_what_cannot_be_read_is_said_once(problems, content, name, words):
    (problem,) = problems(content, name)
    for word in words:
        assert word in problem


def test_labels_of_several_words_and_of_several_classes(read):
    found = read("a.mp4 stand up\nb c.mp4 sit down\n")
    assert rows(found) == [("a.mp4", "stand up", 1), ("b c.mp4", "sit down", 2)]
    found = read('path,labels\na.mp4,"[""x"", ""y""]"\nb.mp4,"[\'x\']"\n', "l.csv")
    assert list(found.labels) == ["x;y", "x"]
    found = read('path,choice\na.mp4,"{""choices"": [""x"", ""y""]}"\nb.mp4,x\n', "l.csv")
    assert list(found.labels) == ["x;y", "x"]


def test_a_number_before_the_class_is_that_of_frames(read):
    found = read("a.mp4 30 run\nb.mp4 31 run\nc.mp4 30 sit down\n")
    assert rows(found) == [("a.mp4", "run", 1), ("b.mp4", "run", 2), ("c.mp4", "sit down", 3)]
    # It may be a part of the class too.
    assert read("a.mp4 2 points\nb.mp4 3 points\n").labels == ("2 points", "3 points")
    assert read("a.mp4 0 run\nb.mp4 1 walk\n").labels == ("0 run", "1 walk")


def test_a_comment_may_follow_the_label(read):
    found = read("a.mp4 0  # red\nb.mp4 1 #\nc.mp4 1\n")
    assert list(found.labels) == ["0", "1", "1"]
    assert read("a.mp4 take #3\n").labels == ("take #3",)


def test_charades_names_the_parts_of_each_video(read):
    found = read(
        "id,subject,actions,length\na,X,c1 1.0 2.5;c2 3.0 4.0,30\nb,X,c2 0.0 9.1,20\n", "l.csv"
    )
    assert read("id,actions\na,c1 1.0 2.0;;c2 3.0 4.0\nb,x\n", "l.csv").labels[1] == "x"
    assert list(found.paths) == ["a", "a", "b"]
    assert list(found.labels) == ["c1", "c2", "c2"]
    assert list(found.segments) == [(1.0, 2.5), (3.0, 4.0), (0.0, 9.1)]


def test_times_behind_the_label_are_no_part_of_it(problems):
    content = "a.mp4 jump 0 10\nb.mp4 jump 10 20\nc.mp4 run 0 10\n"
    (problem,) = problems(content, "l.txt")
    assert "`jump 0 10`, only part of which can be the label" in problem
