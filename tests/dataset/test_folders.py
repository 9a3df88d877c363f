"""Videos found in folders, and folders read as classes."""

import os
from pathlib import Path

import pytest

from autox_video.dataset.folders import find_videos, read_class_folders
from autox_video.dataset.video_file import is_frame_folder
from autox_video.errors import ListingError


@pytest.fixture
def tree(tmp_path):
    """Give a function that makes empty files and gives their folder."""

    def tree(*files):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        return tmp_path

    return tree


def labels(splits):
    """Give {split: {path: label}}."""
    return {
        name: dict(zip(e.paths, e.labels or [None] * len(e), strict=True))
        for name, e in splits.items()
    }


def test_find_videos_by_suffix_sorted_without_hidden_ones(tree):
    root = tree(
        "b/x.MP4", "a/z.avi", "a/y.webm", "top.mkv", "a/notes.txt", ".git/x.mp4", "a/._x.mp4"
    )
    os.mkdir(root / "folder.mp4")
    assert find_videos(root) == ("a/y.webm", "a/z.avi", "b/x.MP4", "top.mkv")
    assert find_videos(root / "folder.mp4") == ()


def test_find_videos_follows_links_but_not_in_circles(tree, tmp_path):
    root = tree("d/a/x.mp4", "elsewhere/y.mp4") / "d"
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "up").symlink_to(root)
    (root / "broken.mp4").symlink_to("nowhere.mp4")
    (root / "z.mp4").symlink_to(root / "a" / "x.mp4")
    assert find_videos(root) == ("a/x.mp4", "b/y.mp4", "z.mp4")


def test_find_videos_in_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(ListingError, match="no: cannot be read"):
        find_videos(tmp_path / "no")


def test_a_folder_is_a_class(tree):
    root = tree("run/1.mp4", "run/deep/2.mp4", "jump up/1.mp4")
    splits, notes = read_class_folders(root)
    assert labels(splits) == {
        "train": {"jump up/1.mp4": "jump up", "run/1.mp4": "run", "run/deep/2.mp4": "run"}
    }
    assert notes == []
    assert splits["train"].place(0) == f"{root}/jump up/1.mp4"


def test_what_is_left_out_is_said(tree):
    root = tree("a/1.mp4", "b/1.mp4", "stray.mp4", "empty/readme.txt", ".hidden/1.mp4")
    _, notes = read_class_folders(root)
    assert notes == [
        f"1 video of {root} not in a class folder, so not used: stray.mp4",
        f"Folders of {root} without a video are not classes: empty.",
    ]


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "valid", "testing")])
def test_split_folders_are_splits(tree, names):
    train, val, test = names
    files = (f"{train}/a/1.mp4", f"{train}/b/1.mp4", f"{val}/a/2.mp4", f"{test}/b/3.mp4")
    splits, _ = read_class_folders(tree(*files))
    assert labels(splits) == {
        "train": {files[0]: "a", files[1]: "b"},
        "val": {files[2]: "a"},
        "test": {files[3]: "b"},
    }


def test_a_flat_test_folder_has_no_labels(tree):
    splits, _ = read_class_folders(tree("train/a/1.mp4", "train/b/1.mp4", "test/1.mp4"))
    assert splits["test"].labels is None
    assert labels(splits)["test"] == {"test/1.mp4": None}


@pytest.mark.parametrize(
    "files",
    [
        ("train/1.mp4", "test/1.mp4"),  # the vehicle, and the exam
        ("train/a/1.mp4", "train/2.mp4", "val/1.mp4"),
        ("train/a/1.mp4", "bus/a/1.mp4"),
        ("val/a/1.mp4", "test/b/1.mp4"),
    ],
)
def test_classes_called_like_splits_stay_classes(tree, files):
    splits, _ = read_class_folders(tree(*files))
    assert labels(splits) == {"train": {file: file.split("/")[0] for file in sorted(files)}}


def test_no_video_and_no_class_folder_get_their_own_sentences(tree):
    with pytest.raises(ListingError, match="data_root: there is no video in "):
        read_class_folders(tree("a/notes.txt"))
    with pytest.raises(ListingError, match="are not in class folders"):
        read_class_folders(tree("1.mp4"))


def test_the_current_folder_will_do(tree, monkeypatch):
    monkeypatch.chdir(tree("a/1.mp4", "b/1.mp4"))
    splits, _ = read_class_folders(Path())
    assert splits["train"].paths == ["a/1.mp4", "b/1.mp4"]


def test_folders_of_frames_are_clips(tree):
    root = tree(
        "a/1/img_00001.jpg",
        "a/1/img_00002.jpg",
        "a/2/0001.PNG",
        "a/2/0002.PNG",
        "b/x.mp4",
        "b/still1.jpg",
        "b/still2.jpg",
        "c/cover.jpg",
        "c/back.jpg",
        "d/one1.jpg",
    )
    assert find_videos(root) == ("a/1", "a/2", "b/x.mp4")
    assert all(is_frame_folder(root / name) for name in ("a/1", "a/2", "b", "d"))
    assert not any(is_frame_folder(root / name) for name in ("a", "c", "nowhere", "b/x.mp4"))
    splits, _ = read_class_folders(root)
    assert labels(splits) == {"train": {"a/1": "a", "a/2": "a", "b/x.mp4": "b"}}
