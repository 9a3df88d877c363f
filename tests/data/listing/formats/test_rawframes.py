"""`PATH NUM_FRAMES LABEL` told from several classes."""

import pytest

NOTE = "t.txt: lines are read as `path num_frames label`"


@pytest.fixture
def place(place):
    place.videos("a.mp4", "b 1.mp4", "c.mp4", "v.mp4")
    place.write(v_dot_txt="v.mp4 20 1\n")
    return place


@pytest.mark.parametrize(
    "text",
    [
        "a.mp4 12 0\nb 1.mp4 7 1\nc.mp4 1 2\n",
        "a.mp4\t12\t0\nb 1.mp4\t7\t1\nc.mp4\t1\t2\n",
        "a.avi 12 0\nb 1.avi 7 1\nc.avi 1 2\n",
    ],
)
def test_the_number_in_the_middle_is_no_label(place, text):
    place.write(t_dot_txt=text)
    listing = place.read("t.txt", ann_file_val="v.txt")
    assert listing.train.paths == ("a.mp4", "b 1.mp4", "c.mp4")
    assert listing.train.labels == (0, 1, 2)
    assert listing.val.labels == (1,)
    assert any(note.startswith(NOTE) for note in listing.notes)


def test_names_without_suffixes(place):
    place.write(t_dot_txt="# made by hand\na 12 0\nc 1 1\n")
    listing = place.read("t.txt", ann_file_val="v.txt")
    assert (listing.train.paths, listing.train.labels) == (("a.mp4", "c.mp4"), (0, 1))


def test_as_many_labels_as_there_are(place):
    place.write(t_dot_txt="a.mp4 0 2\nb 1.mp4 1\nc.mp4 0 1 2\n", v_dot_txt="v.mp4 1 2\n")
    listing = place.read("t.txt", ann_file_val="v.txt")
    assert listing.train.labels == ((0, 2), (1,), (0, 1, 2))
    assert listing.val.labels == ((1, 2),)  # as in the training list
    assert any("training is multi-label" in note for note in listing.notes)


def test_a_clip_of_no_frames_there_is_not(place):
    place.write(t_dot_txt="a.mp4 0 2\nb 1.mp4 1 0\nc.mp4 1 2\n", v_dot_txt="v.mp4 1\n")
    assert place.read("t.txt", ann_file_val="v.txt").train.labels == ((0, 2), (0, 1), (1, 2))


def test_the_config_decides(place):
    place.write(t_dot_txt="a.mp4 2 1\nb 1.mp4 1 0\nc.mp4 1 2\n", v_dot_txt="v.mp4 1\n")
    listing = place.read("t.txt", ann_file_val="v.txt", multi_label=True)
    assert listing.train.labels == ((1, 2), (0, 1), (1, 2))


def test_three_numbers_are_refused_once(place):
    place.write(t_dot_txt="a.mp4 0 12 0\nb 1.mp4 0 12 1\nc.mp4 3 9 2\n")
    (problem,) = place.problems("t.txt", ann_file_val="v.txt")
    assert problem.startswith("t.txt:1: each line has 3 numbers after the path")
    assert "path,label,start_frame,end_frame" in problem


def test_a_name_that_ends_in_a_number_is_a_name(place):
    place.videos("take 1.mp4", "take 2.mp4")
    place.write(t_dot_txt="take 1 0\ntake 2 1\n", v_dot_txt="v.mp4 0\n")
    listing = place.read("t.txt", ann_file_val="v.txt")
    assert (listing.train.paths, listing.train.labels) == (("take 1.mp4", "take 2.mp4"), (0, 1))
