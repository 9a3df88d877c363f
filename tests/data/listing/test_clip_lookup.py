"""Files found though a list spells them otherwise, and lines that begin with #."""

import os
import unicodedata
from pathlib import Path

import pytest

from tests.places import Place


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("videos")
    return Place()


def two_clips(place, listed, *files, val="v.mp4"):
    """Read a training list of one odd path and one that is plain; gives the path, and the notes."""
    place.videos(*files, "other.mp4", val)
    place.write(
        t_dot_csv=f'path,label\n"{listed}",0\nother.mp4,1\n', v_dot_csv=f"path,label\n{val},0\n"
    )
    listing = place.read("t.csv", ann_file_val="v.csv")
    return listing.train.paths[0], listing.notes


@pytest.mark.parametrize(
    ("listed", "file"),
    [
        ("red\\1.mp4", "red/1.mp4"),
        (".\\red\\1.mp4", "red/1.mp4"),
        ("C:\\Users\\me\\videos\\red\\1.mp4", "red/1.mp4"),
        ("\\\\server\\share\\1.mp4", "1.mp4"),
        ("/home/me/videos/red/1.mp4", "red/1.mp4"),
        ("file:///home/me/red/1.mp4", "red/1.mp4"),
        ("/1.mp4", "1.mp4"),
        ("videos/red/1.mp4", "red/1.mp4"),
        ("1.mp4", "deep/er/1.mp4"),
        ("clip_1", "clip_1.mp4"),
        ("clip_1.avi", "clip_1.mp4"),
        ("clip_1.MP4", "clip_1.mp4"),
        ("clip_1.mp4", "clip_1.mp4.mp4"),
        ("clip_1.mp4.mp4", "clip_1.mp4"),
        ("Red/Clip.mp4", "red/clip.mp4"),
        ("my%20clip.mp4", "my clip.mp4"),
        ("T\u00fcr.mp4", unicodedata.normalize("NFD", "T\u00fcr.mp4")),
        (unicodedata.normalize("NFD", "T\u00fcr.mp4"), "T\u00fcr.mp4"),
        ("clip\u200b.mp4", "clip.mp4"),
        ("/data/upload/1/0a1b2c3d-clip.mp4", "clip.mp4"),
    ],
)
def test_the_one_file_that_fits_is_found_and_said(place, listed, file):
    path, notes = two_clips(place, listed, file)
    assert path == file
    (note,) = notes
    assert note.startswith("t.csv: 1 clip found under a different spelling, for example `")
    assert f"`{file}`" in note


def test_a_file_of_exactly_that_name_comes_first(place):
    assert two_clips(place, "a\\b.mp4", "a\\b.mp4", "a/b.mp4") == ("a\\b.mp4", ())
    assert two_clips(place, "clip.MP4", "clip.mp4", "clip.avi", "clip.mkv")[0] == "clip.mp4"


def test_of_two_that_fit_none_is_taken(place):
    place.videos("x/1.mp4", "y/1.mp4", "a.avi", "a.mkv", "other.mp4")
    place.write(t_dot_csv="path,label\n1.mp4,0\na.mp4,1\nother.mp4,0\n")
    one, other = place.problems("t.csv")
    assert one.endswith("/1.mp4 does not exist; it matches 2 clips: x/1.mp4, y/1.mp4.")
    assert other.endswith("/a.mp4 does not exist; it matches 2 clips: a.avi, a.mkv.")


def test_two_clips_are_never_one_file(place):
    place.videos("1.mp4", "other.mp4")
    place.write(t_dot_csv="path,label\nrun/1.mp4,0\nwalk/1.mp4,1\nother.mp4,0\n")
    assert len(place.problems("t.csv")) == 2


def test_of_two_that_fit_that_in_the_folder_of_the_class_is_meant(place):
    place.videos("run/1.mp4", "Walk_fast/1.mp4", "v.mp4")
    place.write(
        t_dot_csv="path,label\n./1.mp4,run\n1.mp4,walk fast\n", v_dot_csv="path,label\nv.mp4,run\n"
    )
    listing = place.read("t.csv", ann_file_val="v.csv")
    assert listing.train.paths == ("run/1.mp4", "Walk_fast/1.mp4")


def test_a_clip_in_the_folder_of_another_class_is_not_meant(place):
    place.videos("walk/1.mp4", "other.mp4")
    for path in ("run/1.mp4", "1.mp4"):
        place.write(t_dot_csv=f"path,label\n{path},run\nother.mp4,walk\n")
        (problem,) = place.problems("t.csv")
        assert problem.startswith(f"t.csv:2: clip {Path('videos', path).absolute()} does not exist")


def test_nothing_outside_is_found(place):
    place.videos("../1.mp4", "a/1.mp4", "other.mp4")
    place.write(t_dot_csv="path,label\n../b/1.mp4,0\nother.mp4,1\n")
    (problem,) = place.problems("t.csv")
    assert "is outside data_root" in problem
    Path("there").mkdir()
    Path("there/1.mp4").touch()
    place.write(t_dot_csv=f"path,label\n{Path('there/1.mp4').absolute()},0\nother.mp4,1\n")
    (problem,) = place.problems("t.csv")
    assert "is outside data_root" in problem


# ---- lines that begin with # ----


@pytest.mark.parametrize("name", ["t.csv", "t.txt"])
def test_names_that_begin_with_a_hash_are_clips(place, name):
    clips = ("#1.mp4", "# 2 b.mp4", "#3.mp4", "4.mp4")
    place.videos(*clips, "v.mp4")
    between = "," if name == "t.csv" else " "
    head = ["path,label"] if name == "t.csv" else []
    # One of them has another suffix in the list.
    listed = ["#1.mp4", "# 2 b.mp4", "#3.avi", "4.mp4"]
    lines = [*head, *(f"{clip}{between}{i % 2}" for i, clip in enumerate(listed))]
    lines.insert(2, "# by hand, twice checked")
    Path(name).write_text("".join(f"{line}\n" for line in lines))
    place.write(v_dot_txt="v.mp4 0\n")
    listing = place.read(name, ann_file_val="v.txt")
    assert listing.train.paths == clips
    assert listing.train.labels == (0, 1, 0, 1)


def test_comments_that_name_a_video_are_counted(place):
    place.videos("a.mp4", "b.mp4", "v.mp4")
    place.write(
        t_dot_txt="# see below\na.mp4 0\n#gone.mp4 1\n#too.mp4 0\nb.mp4 1\n#\n",
        v_dot_txt="v.mp4 0\n",
    )
    listing = place.read("t.txt", ann_file_val="v.txt")
    assert listing.train.paths == ("a.mp4", "b.mp4")
    assert listing.notes == (
        "t.txt: 2 lines beginning with # skipped as comments, as no such video exists: line 3, "
        "`#gone.mp4`.",
    )


def test_a_header_may_begin_with_a_hash(place):
    place.videos("a.mp4", "b.mp4", "v.mp4")
    place.write(t_dot_csv="# made by me\n#path,label\na.mp4,0\nb.mp4,1\n", v_dot_txt="v.mp4 0\n")
    assert place.read("t.csv", ann_file_val="v.txt").train.paths == ("a.mp4", "b.mp4")


def test_test_lists_without_labels_may_name_such_clips(place):
    place.videos("a.mp4", "b.mp4", "#t.mp4", "v.mp4")
    place.write(
        t_dot_txt="a.mp4 0\nb.mp4 1\n", v_dot_txt="v.mp4 0\n", s_dot_txt="#t.mp4\n# nothing\n"
    )
    listing = place.read("t.txt", ann_file_val="v.txt", ann_file_test="s.txt")
    assert (listing.test.paths, listing.test.labels) == (("#t.mp4",), None)
