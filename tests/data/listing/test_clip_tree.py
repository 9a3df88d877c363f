"""Clips of official lists found wherever they were unpacked."""

import pytest

from autox_video.core.errors import ListingError
from autox_video.data.listing.clip_lookup import locate
from autox_video.data.listing.clip_tree import ClipTree, stem_of
from autox_video.data.listing.reading.table import Table


@pytest.fixture
def tree(tree):
    """Give a function that makes empty files and gives the tree over them."""
    return lambda *files: ClipTree(tree(*files))


def table(*clips):
    found = Table("list.csv")
    for line, (name, label) in enumerate(clips, 1):
        found.add(line, name, label)
    return found


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a/b.c.mp4", "b.c"),
        ("a/b.c", "b.c"),
        ("b.AVI", "b"),
        ("x_000001", "x_000001"),
    ],
)
def test_stems(name, stem):
    assert stem_of(name) == stem


def test_a_clip_is_found_by_its_name(tree):
    found = tree("deep/er/a.webm", "b.c.mp4", "frames/12/1.jpg", "frames/12/2.jpg")
    assert found.find("a.avi") == "deep/er/a.webm"
    assert found.find("x/b.c") == "b.c.mp4"
    assert found.find("12") == "frames/12"
    assert found.find("b") is None


def test_of_clips_of_one_name_that_in_the_right_folder_is_taken(tree):
    found = tree("ride_bike/x.mp4", "Walk/x.mp4", "run/x.mp4", "run/x.avi")
    assert found.find("x", "ride bike") == "ride_bike/x.mp4"
    assert found.find("walk/x.avi") == "Walk/x.mp4"
    assert found.find("run/x.mp4") == "run/x.mp4"
    assert found.find("run/x.avi") == "run/x.avi"
    assert found.find("x", "other") == "Walk/x.mp4"


def test_what_is_there_is_known_to_be(tree):
    found = tree("a.mp4", "b.mp4")
    entries, notes = locate(table(("a", "x"), ("b", "y"), ("c", "y")), found, "Kinetics")
    assert (entries.paths, entries.labels, list(entries.lines)) == (
        ("a.mp4", "b.mp4"),
        ("x", "y"),
        [1, 2],
    )
    assert entries.all_exist
    assert notes == [
        f"list.csv: 1 of 3 Kinetics clips skipped, not found under {found.data_root}: c."
    ]


def test_a_half_may_be_missing_and_no_more(tree):
    found = tree("a.mp4", "b.mp4")
    assert len(locate(table(("a", "x"), ("c", "y")), found, "UCF101")[0]) == 1
    with pytest.raises(ListingError, match=r"list\.csv:2: c was not found under data_root"):
        locate(table(("a", "x"), ("c", "y"), ("d", "y")), found, "UCF101")


def test_where_other_clips_are_one_is_named(tree):
    with pytest.raises(ListingError, match=r"the clips there have other names, such as deep/x.mp4"):
        locate(table(("c", "y"), ("d", "y")), tree("deep/x.mp4"), "Kinetics")


def test_where_no_clip_is_data_root_is_suspected(tree):
    with pytest.raises(ListingError, match="or the clips have not been extracted"):
        locate(table(("c", "y"), ("d", "y")), tree("deep/x.txt"), "Kinetics")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("A\\B.avi", ["a/b.mp4"]),
        ("x/a/b.mp4", ["a/b.mp4"]),
        ("b", ["a/b.mp4", "c/b.mp4"]),
        ("d/b.mp4", []),
        ("../b.mp4", []),
        ("", []),
    ],
)
def test_what_a_path_may_mean(tree, path, wanted):
    found = tree("a/b.mp4", "c/b.mp4")
    assert found.candidates(path) == wanted
    assert found.resolve(path) == (wanted[0] if len(wanted) == 1 else None)


def test_a_name_that_is_like_another(tree):
    found = tree("a/jumping_10.mp4", "a/jumping_11.mp4")
    assert found.nearest("a/jmping_11.mp4") == "a/jumping_11.mp4"
    assert found.nearest("a/jumping_12.mp4") is None
    assert found.nearest("walking_11.mp4") is None
