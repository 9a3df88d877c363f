"""Rows of CSV lists: what columns and cells mean, and what is named that is not read."""

import os

import pytest

from autox_video.data.listing.formats.list_format import Reading
from autox_video.data.listing.formats.plain_list import read_table
from autox_video.data.listing.listing import read_listing
from tests.places import Place

CLIPS = ("a_0.mp4", "b_0.mp4", "a_1.mp4", "b_1.mp4")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("videos")
    place = Place()
    place.videos(*CLIPS)
    return place


def read(place):
    """Read t.csv; its training clips are not divided yet."""
    return read_listing(place.settings(ann_file_train="t.csv"))


def write(place, column, values):
    """Write t.csv of classes a and b with a column more."""
    rows = (f"{clip},{clip[0]},{value}" for clip, value in zip(CLIPS, values, strict=True))
    place.write(t_dot_csv="\n".join([f"path,label,{column}", *rows]) + "\n")


@pytest.mark.parametrize(
    ("values", "train", "other"),
    [
        (("train_set", "train_set", "test_set", "test_set"), CLIPS[:2], "test"),
        (("Training", "Training", "hold-out", "hold-out"), CLIPS[:2], "test"),
        (("01_train", "", "eval", "eval"), CLIPS[:2], "val"),
    ],
)
def test_splits_are_known_in_lists_by_all_the_words_that_folders_have(place, values, train, other):
    write(place, "split", values)
    listing = read(place)
    assert listing.train.paths == train
    assert getattr(listing, other).paths == CLIPS[2:]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("phase", ("train", "train", "test", "test")),
        ("dataset", ("Training", "Training", "Training", "Validation")),
        ("is_train", "1100"),
        ("is_valid", ("False", "False", "True", "True")),
        ("fold", "0123"),
        ("holdout", ("no", "no", "yes", "yes")),
        ("used_for_test", ("", "", "x", "")),
        ("phase", ("train", "", "test", "test")),
        ("phase", ("train", "train", "test", "unused")),
    ],
)
def test_columns_that_seem_to_be_of_splits_are_named_where_they_are_not_read(place, column, values):
    write(place, column, values)
    listing = read(place)
    assert len(listing.train.paths) == 4
    assert any(f"not used: `{column}`" in note and "split" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("subset", ("train",) * 4),
        ("kind", ("train",) * 4),
        ("kind", ("train", "train", "bus", "bus")),
        ("camera", "1212"),
        ("is_valid", "1111"),
        ("test", ("jump", "run", "jump", "run")),
    ],
)
def test_other_columns_are_no_matter(place, column, values):
    write(place, column, values)
    assert read(place).notes == ()


@pytest.mark.parametrize("label", ["N/A", "#REF!", "#VALUE!", "NaN"])
def test_what_stands_for_nothing_is_no_label(place, label):
    place.write(t_dot_csv=f"path,label\na_0.mp4,a\nb_0.mp4,b\na_1.mp4,{label}\n")
    assert place.problems("t.csv") == ["t.csv:4: `a_1.mp4` has no label."]


@pytest.mark.parametrize("form", ['"[1, 0]"|"[0, 1]"', "1;0|0;1", '"[1, 0, 0]"|"[0, 1, 0]"'])
def test_one_hot_labels_are_refused(place, form):
    one, other = form.split("|")
    place.write(t_dot_csv=f"path,label\na_0.mp4,{one}\nb_0.mp4,{other}\n")
    (problem,) = place.problems("t.csv")
    assert "one-hot" in problem


def test_several_classes_are_not_one_hot(place):
    place.write(t_dot_csv="path,label\na_0.mp4,1;0\nb_0.mp4,1\na_1.mp4,0\n")
    assert read(place).train.labels == ((0, 1), (1,), (0,))


@pytest.mark.parametrize("header", ["path,label,label2", "path,label,label"])
def test_a_second_column_of_labels_is_named(place, header):
    place.write(t_dot_csv=f"{header}\na_0.mp4,a,x\nb_0.mp4,b,x\n")
    (note,) = read(place).notes
    assert "not used: `label" in note and "label column is `label`" in note


@pytest.mark.parametrize("mark", ["sep=\t", "sep=;", '"sep=,"'])
def test_the_line_in_which_excel_names_its_delimiter(place, mark):
    between = mark.strip('"')[-1]
    rows = (between.join(row) for row in (("path", "label"), ("a_0.mp4", "a"), ("b_0.mp4", "b")))
    place.write(t_dot_csv="\n".join([mark, *rows]) + "\n")
    assert read(place).classes == ("a", "b")
    place.write(t_dot_csv=f"{mark}\npath{between}label\na_0.mp4{between}a\nb.mp4{between}b\n")
    assert place.problems("t.csv")[0].startswith("t.csv:4: clip ")


@pytest.mark.parametrize("between", ",;|")
def test_an_unknown_header_is_named_once(place, between):
    rows = (("Datei", "Klasse"), ("a_0.mp4", "a"), ("b_0.mp4", "b"))
    place.write(t_dot_csv="\n".join(map(between.join, rows)) + "\n")
    (problem,) = place.problems("t.csv")
    assert "the columns are `Datei`, `Klasse`; name the clip column path" in problem


@pytest.mark.parametrize("path", ["path", "file_name"])
def test_one_hot_columns_are_named(place, path):
    place.write(t_dot_csv=f"{path},run,walk,fps\na_0.mp4,1,0,25\nb_0.mp4,0,1,25\n")
    (problem,) = place.problems("t.csv")
    assert "the clips have no labels" in problem
    assert "`run`, `walk` look one-hot" in problem


@pytest.mark.parametrize(
    ("header", "cells", "segment"),
    [
        ("start,len", "5,2", (5.0, 7.0)),
        ("offset_sec,duration_sec", "5,2", (5.0, 7.0)),
        ("time_offset,duration", "5,2", (5.0, 7.0)),
        ("onset,offset", "5,7", (5.0, 7.0)),
        ("start_ms,end_ms", '"12,500","15,000"', (12.5, 15.0)),
        ("start_ms,end_ms", "12.500,15.000", (12.5, 15.0)),
        ("start,end", "5,-1", (5.0, float("inf"))),
    ],
)
def test_parts_of_videos_by_other_columns(header, cells, segment):
    table = read_table(f"path,label,{header}\na.mp4,x,{cells}\n", "t.csv", Reading("x"))
    assert (table.segments, table.notes) == ([segment], [])


@pytest.mark.parametrize("header", ["start,video_duration", "start_ms,duration", "begin,fin"])
def test_a_start_alone_is_said_to_run_to_the_end(header):
    table = read_table(f"path,label,{header}\na.mp4,x,5,2\n", "t.csv", Reading("x"))
    (note,) = table.notes
    assert f"`{header.partition(',')[0]}` is the only column of segment times" in note
    assert table.segments[0][1] == float("inf")


@pytest.mark.parametrize(
    ("column", "cell"),
    [("in", "5"), ("t_out", "5"), ("time_range", "5-7"), ("frames", "10-50"), ("window", "5;7")],
)
def test_parts_that_are_not_read_are_named(column, cell):
    text = f"path,label,{column}\na.mp4,x,{cell}\n"
    (note,) = read_table(text, "t.csv", Reading("x")).notes
    assert f"not used: `{column}`" in note


def test_a_comment_may_hold_commas(place):
    rows = "\n".join(f"{clip},{clip[0]}" for clip in CLIPS)
    place.write(t_dot_csv=f"path,label\n# a note, of two, or three\n{rows}\n")
    assert read(place).train.paths == CLIPS


def test_addresses_are_paths_where_nothing_else_is(place):
    rows = "\n".join(f"http://host/{clip},{clip},{clip[0]}" for clip in CLIPS)
    place.write(t_dot_csv=f"url,video_id,label\n{rows}\n")
    assert read(place).train.paths == CLIPS


def test_tags_are_labels_where_nothing_else_is():
    text = "path,tags,activity\na.mp4,day,run\n"
    table = read_table(text, "t.csv", Reading("x"))
    assert list(table.labels) == ["run"]
    assert "not used: `tags`" in table.notes[0]
