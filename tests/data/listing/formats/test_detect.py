"""Formats told apart; folders of frames; segments and several labels in plain lists."""

import math
import os
from pathlib import Path

import pytest

from autox_video.data.listing.formats.detect import recognise
from autox_video.data.listing.formats.list_format import Reading
from autox_video.data.listing.listing import read_listing
from autox_video.data.listing.reading.segments import EXAMPLE
from tests.videos import numbered_frames, write_video

# ---- mmaction2 ----


def test_mmaction2_lists_of_frame_folders(place):
    place.frames("some/directory-1", "some/directory-2", "c", "d")
    place.write(train_dot_txt="some/directory-1 163 1\nsome/directory-2 122 0\n")
    place.write(val_dot_txt="c 12 1\nd 7 0\n")
    listing = place.read("train.txt", ann_file_val="val.txt")
    assert listing.train.paths == ("some/directory-1", "some/directory-2")
    assert listing.train.labels == (1, 0)
    assert not listing.multi_label


def test_mmaction2_lists_of_several_classes(place):
    place.frames("a", "b", "c")
    place.videos("v 1.mp4", "w.mp4", "x.mp4")
    place.write(train_dot_txt="a 10 0 2\nb 10 1\n", val_dot_txt="c 9 2\n")
    listing = place.read("train.txt", ann_file_val="val.txt")
    assert listing.multi_label
    assert (listing.train.labels, listing.val.labels) == (((0, 2), (1,)), ((2,),))
    place.write(train_dot_txt="v 1.mp4 0 2\nw.mp4 1\n", val_dot_txt="x.mp4 2\n")
    listing = place.read("train.txt", ann_file_val="val.txt")
    assert listing.train.paths == ("v 1.mp4", "w.mp4")
    assert listing.train.labels == ((0, 2), (1,))


def test_frame_folders_in_plain_lists_and_class_folders(place):
    place.frames("walk/1", "walk/2", "jump/1", "jump/2", "jump/3")
    place.write(train_dot_txt="walk/1 0\njump/1 1\n", val_dot_txt="walk/2 0\njump/2 1\n")
    assert place.read("train.txt", ann_file_val="val.txt").train.paths == ("walk/1", "jump/1")
    folders = place.read(work_dir="other")
    assert len(folders.train) + len(folders.val) + len(folders.test) == 5
    assert folders.classes == ("jump", "walk")
    os.mkdir("videos/empty")
    place.write(train_dot_txt="walk/1 0\nempty 1\n")
    (problem,) = place.problems("train.txt", ann_file_val="val.txt")
    assert problem == f"train.txt:2: {Path('videos/empty').absolute()} is a folder, not a clip."


# ---- segments and several labels in our own CSV ----


def test_segments_in_csv(place):
    place.videos("a.mp4", "b.mp4")
    train = "path,label,start,end\na.mp4,x,0,2\na.mp4,y,2,4.5\na.mp4,x,,2\nb.mp4,y,,\n"
    place.write(train_dot_csv=train, val_dot_csv="path,label,start,end\na.mp4,x,10,inf\n")
    listing = place.read("train.csv", ann_file_val="val.csv")
    assert listing.train.paths == ("a.mp4", "a.mp4", "b.mp4")
    assert listing.train.segments == ((0, 2), (2, 4.5), (0, math.inf))
    assert listing.train.labels == (0, 1, 1)
    assert listing.notes == (
        "train.csv: 1 duplicate line ignored, for example train.csv:4, which repeats train.csv:2.",
        "1 video with segments in both the train and the val list: the val metrics will be too "
        "optimistic for new videos.",
    )


def test_the_same_segment_for_training_and_validation_is_a_mistake(place):
    place.videos("a.mp4", "b.mp4")
    place.write(train_dot_csv="path,label,start,end\na.mp4,x,0,2\na.mp4,y,2,4\n")
    place.write(val_dot_csv="path,label,start,end\na.mp4,x,0.0,2.0\n")
    (problem,) = place.problems("train.csv", ann_file_val="val.csv")
    assert problem.startswith("val.csv:2: clip `a.mp4` is also a training clip (train.csv:2)")
    place.write(val_dot_csv="path,label\na.mp4,x\n")
    (problem,) = place.problems("train.csv", ann_file_val="val.csv")
    assert problem.startswith("val.csv:2: clip `a.mp4` is also a training clip")


def test_wrong_times_are_named(place):
    place.videos("a.mp4")
    place.write(train_dot_csv="path,label,start,end\na.mp4,x,3,3\na.mp4,x,-1,3\na.mp4,x,soon,\n")
    assert place.problems("train.csv") == [
        "train.csv:2: the segment ends at 3 s, which is not after its start at 3 s.",
        f"train.csv:3: the start `-1` is not a time of 0 or more; {EXAMPLE}.",
        f"train.csv:4: the start `soon` is not a time of 0 or more; {EXAMPLE}.",
    ]


def test_segments_of_one_class_are_divided_and_stay_so(place):
    place.videos("a.mp4", "b.mp4")
    rows = "".join(f"{'ab'[i % 2]}.mp4,{'xy'[i % 2]},{i},{i + 1}\n" for i in range(20))
    place.write(train_dot_csv="path,label,start,end\n" + rows)
    first = place.read("train.csv")
    assert (len(first.train), len(first.val)) == (16, 4)
    again = place.read("train.csv", seed=3)
    assert (again.train, again.val) == (first.train, first.val)


def test_several_labels_are_seen_and_can_be_forbidden(place):
    place.videos("a.mp4", "b.mp4", "c.mp4", "d.mp4")
    place.write(train_dot_csv="path,label\na.mp4,x;y\nb.mp4,x\nc.mp4,y;z\n")
    place.write(val_dot_txt="d.mp4 z;x\n")
    listing = place.read("train.csv", ann_file_val="val.txt")
    assert listing.multi_label
    assert listing.classes == ("x", "y", "z")
    assert listing.train.labels == ((0, 1), (0,), (1, 2))
    assert listing.val.labels == ((0, 2),)
    (problem,) = place.problems("train.csv", ann_file_val="val.txt", multi_label=False)
    assert "`z;x` (in val.txt:1)" in problem


def test_a_semicolon_in_a_name_makes_no_second_class(place):
    place.videos("a.mp4", "b.mp4", "c.mp4", "d.mp4")
    place.write(train_dot_csv="path,label\na.mp4,stop;go\nb.mp4,walk\n")
    place.write(val_dot_csv="path,label\nc.mp4,stop;go\nd.mp4,walk\n")
    listing = place.read("train.csv", ann_file_val="val.csv")
    assert (listing.multi_label, listing.classes) == (False, ("stop;go", "walk"))
    place.write(classes_dot_txt="stop\ngo\nwalk\n")
    listing = place.read("train.csv", ann_file_val="val.csv")
    assert (listing.multi_label, listing.train.labels) == (True, ((0, 1), (2,)))


def test_several_labels_that_are_unknown_or_missing(place):
    place.videos("a.mp4", "b.mp4")
    place.write(classes_dot_txt="x\ny\nz\n", train_dot_csv="path,label\na.mp4,x;why\nb.mp4,x;y\n")
    place.write(val_dot_csv="path,label\nb.mp4,y\n")
    found = place.problems("train.csv", ann_file_val="val.csv")
    assert found[0] == ("train.csv:2: label `why` is not among the 3 classes in classes.txt.")


def test_several_classes_are_divided_by_the_rarest(place):
    names = [f"{i}.mp4" for i in range(30)]
    place.videos(*names)
    labels = ["common" + (";rare" if i < 10 else ";other" if i < 20 else "") for i in range(30)]
    rows = "".join(f"{n},{label}\n" for n, label in zip(names, labels, strict=True))
    place.write(train_dot_csv="path,label\n" + rows)
    listing = place.read("train.csv")
    assert len(listing.val) == 6
    of_class = [sum(label in clip for clip in listing.val.labels) for label in range(3)]
    assert dict(zip(listing.classes, of_class, strict=True)) == {
        "common": 6,
        "rare": 2,
        "other": 2,
    }


def test_clips_that_are_each_of_other_classes_are_divided_all_the_same(place):
    pairs = [f"{one};{other}" for one in "abcdef" for other in "abcdef" if one < other]
    place.videos(*(f"{i}.mp4" for i in range(len(pairs))))
    rows = "".join(f"{i}.mp4,{pair}\n" for i, pair in enumerate(pairs))
    place.write(train_dot_csv="path,label\n" + rows)
    listing = place.read("train.csv")
    assert len(listing.val) >= 3
    assert len(listing.train) + len(listing.val) == len(pairs)


def test_a_column_of_splits_is_read_or_named(place):
    place.videos("a.mp4", "b.mp4", "c.mp4")
    rows = "path,label,subset\na.mp4,x,{}\nb.mp4,y,{}\nc.mp4,x,{}\n"
    place.write(t_dot_csv=rows.format("Training", "training", "VAL"))
    assert place.read("t.csv").val.paths == ("c.mp4",)
    place.write(t_dot_csv=rows.format("train", "train", "tset"))
    assert place.problems("t.csv") == ["t.csv:4: the split `tset` is not train, val or test."]
    place.write(t_dot_csv=rows.format("A", "B", "A"), v_dot_csv="path,label\nc.mp4,x\n")
    place.write(t_dot_csv="path,label,subset\na.mp4,x,A\nb.mp4,y,B\n")
    (note,) = place.read("t.csv", ann_file_val="v.csv").notes
    assert note == ("t.csv: the split column is ignored: `A` (line 2) is not train, val or test.")


def test_a_format_without_its_list_is_a_mistake(place):
    assert place.problems(data_format="kinetics") == [
        "data_format: kinetics needs a training list; set ann_file_train."
    ]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("a.mp4 0\nb.mp4 1\n", "list"),
        ("path,label\na.mp4,0\n", "list"),
        ("video;class\n1;0\n", "list"),
        ("a/v_b_g01_c01.avi 1\n", "list"),
        ("", "list"),
        ("12;Waving\n13;No gesture\n", "jester"),
        ("gs://b/a.mp4,x,0,inf\n", "vertex_csv"),
        ("a.mp4,x,0,inf\n", "vertex_csv"),
        ("test,a.mp4,x\n", "vertex_csv"),
        ("a.mp4,x,3,1\n", "list"),
        ("a, b.mp4 0\n", "list"),
        ('{"videoGcsUri": "gs://x"}\n', "vertex_jsonl"),
        ('{"file_name": "x.mp4", "label": 1}\n', "metadata"),
        ("file_name,label\nx.mp4,1\n", "metadata"),
        ('[{"id": "3", "template": "x"}]', "ssv2"),
        ("folder 10 3\n", "list"),
    ],
)
def test_formats_are_told_by_content(place, content, wanted):
    place.write(x_dot_csv=content)
    assert recognise("x.csv", Reading("videos")) == wanted


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("{Archery} 1\n{Biking} 1\n{Knitting} 0\n", "list"),  # regrouped by who wrote it
        ("{Archery} 1\n{Biking} 2\n", "ucf101"),
        ("{Archery}\n{Biking}\n", "ucf101"),
        ("0;1.mp4\n1;2.mp4\n", "list"),
        ("34;Swipe\n35;No\n", "jester"),
    ],
)
def test_names_of_a_data_set_do_not_outdo_what_the_list_says(tmp_path, lines, wanted):
    for name in ("Archery", "Biking", "Knitting"):
        lines = lines.replace(f"{{{name}}}", f"{name}/v_{name}_g01_c01.avi")
    (tmp_path / "t.txt").write_text(lines)
    assert recognise(str(tmp_path / "t.txt"), Reading(str(tmp_path))) == wanted


def test_metadata_over_folders_of_splits(place):
    names = ("train/0.mp4", "train/1.mp4", "Validation/2.mp4", "test/3.mp4")
    for name in names:
        os.makedirs(f"videos/{os.path.dirname(name)}", exist_ok=True)
        write_video(f"videos/{name}", numbered_frames(4))
    rows = "\n".join(f"{name},{'ab'[n % 2]}" for n, name in enumerate(names))
    with open("videos/metadata.csv", "w") as file:
        file.write(f"file_name,label\n{rows}\n")
    listing = read_listing(place.settings())
    assert listing.train.paths == names[:2]
    assert (listing.val.paths, listing.test.paths) == (names[2:3], names[3:])
    assert any("split by their folders" in note for note in listing.notes)


def test_a_list_beside_folders_of_no_classes_is_named(place):
    for name in ("day0/0.mp4", "day1/1.mp4"):
        os.makedirs(f"videos/{os.path.dirname(name)}", exist_ok=True)
        write_video(f"videos/{name}", numbered_frames(4))
    with open("videos/labels.csv", "w") as file:
        file.write("path,label\nday0/0.mp4,a\nday1/1.mp4,b\n")
    notes = read_listing(place.settings(demo=False)).notes
    assert any("not used" in note and "labels.csv" in note for note in notes)
