"""Class names given apart from the lists: read, or refused in one sentence."""

import os

import pytest

from autox_video.core.errors import ListingError
from autox_video.data.listing.classes.class_names import read_class_names
from autox_video.data.listing.listing import read_listing
from tests.places import Place


@pytest.fixture
def names(tmp_path, monkeypatch):
    """Give a function that writes a file of class names and reads it by these settings."""
    monkeypatch.chdir(tmp_path)
    for folder in ("videos", "lists"):
        (tmp_path / folder).mkdir()

    def names(content=None, place="classes.txt", **given):
        if content is not None:
            (tmp_path / place).write_bytes(content)
        given = {"class_names": "auto", "data_root": "videos", "ann_file_train": "auto", **given}
        return read_class_names(*given.values())

    return names


def test_class_names_are_read_in_their_order(names):
    content = b"\xef\xbb\xbfrun fast\r\n#1\r\njump\r\n\r\n"
    assert names(content, class_names="classes.txt") == (("run fast", "#1", "jump"), "classes.txt")


def test_class_names_are_found_beside_the_training_list_then_in_data_root(names):
    assert names() is None
    assert names(b"a\nb", "videos/classes.txt") == (("a", "b"), "videos/classes.txt")
    train = {"ann_file_train": "lists/train.txt"}
    assert names(**train) == (("a", "b"), "videos/classes.txt")
    assert names(b"c\nd", "lists/classes.txt", **train) == (("c", "d"), "lists/classes.txt")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "class_names: classes.txt is empty; write one class name per line."),
        (b"a\n\nb\na\n", "classes.txt:4: class `a` is already in line 1."),
        (b"\xff\n", "class_names: classes.txt:1: this is not UTF-8 text; save it as UTF-8."),
        (None, "class_names: classes.txt: there is no such file."),
    ],
)
def test_a_file_that_holds_no_class_names(names, content, problem):
    with pytest.raises(ListingError) as caught:
        names(content, class_names="classes.txt")
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    "content",
    [
        b'["a", "b"]',
        b'[\n "a",\n "b"\n]',
        b'{"0": "a", "1": "b"}',
        b"- a\n- b\n",
        b"names:\n  0: a\n  1: b\n",
        b"item {\n  name: 'a'\n}\n",
        b"<labels>\n<label>a</label>\n</labels>\n",
        b"a,b\n",
        b"PK\x03\x04",
    ],
)
def test_other_kinds_of_files_are_no_class_names(names, content):
    with pytest.raises(ListingError) as caught:
        names(content, class_names="classes.txt")
    (problem,) = caught.value.problems
    assert problem.startswith("class_names: classes.txt")


def test_quotation_marks_are_no_part_of_a_name(names):
    assert names(b"\"run\"\n'walk fast'\n", class_names="classes.txt")[0] == ("run", "walk fast")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Clips of the classes 0 and 1."""
    monkeypatch.chdir(tmp_path)
    os.mkdir("videos")
    place = Place()
    place.videos("a.mp4", "b.mp4")
    place.write(t_dot_csv="path,label\na.mp4,0\nb.mp4,1\n")
    return place


def classes(place, content):
    place.write(names_dot_txt=content)
    listing = read_listing(place.settings(ann_file_train="t.csv", class_names="names.txt"))
    assert listing.train.labels == (0, 1)
    return listing.classes, [note for note in listing.notes if note.startswith("names.txt")]


@pytest.mark.parametrize(
    "content",
    [
        "0 run\n1 walk fast\n",
        "1 walk fast\n0 run\n",
        "1. run\n2. walk fast\n",
        "0: run\n1: walk fast\n",
        "id,name\n0,run\n1,walk fast\n",
        '0\t"run"\n1\t"walk fast"\n',
    ],
)
def test_an_index_before_each_name_is_not_a_part_of_it(place, content):
    found, notes = classes(place, content)
    assert found == ("run", "walk fast")
    assert len(notes) == 1


@pytest.mark.parametrize("content", ["1 hand\n2 hand\n", "7 up\n8 ball\n", "3d\n2d\n"])
def test_other_numbers_are_a_part_of_the_name(place, content):
    assert classes(place, content) == (tuple(content.split("\n")[:2]), [])


def test_names_that_the_lists_have_stay_as_they_are(place):
    place.write(t_dot_csv="path,label\na.mp4,1 finger\nb.mp4,2 fingers\n")
    found, notes = classes(place, "1 finger\n2 fingers\n")
    assert (found, notes) == (("1 finger", "2 fingers"), [])
