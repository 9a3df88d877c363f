"""Folders read as classes and splits, and what is said of the rest."""

from pathlib import Path

import pytest

from autox_video.core.errors import ListingError
from autox_video.data.listing.folders.class_folders import read_class_folders


def labels(splits):
    """Give {split: {path: label}}."""
    return {
        name: dict(zip(e.paths, e.labels or [None] * len(e), strict=True))
        for name, e in splits.items()
    }


def test_a_folder_is_a_class(tree):
    root = tree("run/1.mp4", "run/deep/2.mp4", "jump up/1.mp4")
    splits, notes = read_class_folders(root)
    assert labels(splits) == {
        "train": {"jump up/1.mp4": "jump up", "run/1.mp4": "run", "run/deep/2.mp4": "run"}
    }
    assert notes == []
    assert splits["train"].location(0) == f"{root}/jump up/1.mp4"


def test_what_is_left_out_is_said(tree):
    root = tree("a/1.mp4", "b/1.mp4", "stray.mp4", "empty/readme.txt", ".hidden/1.mp4")
    _, notes = read_class_folders(root)
    assert notes == [
        f"1 video in {root} skipped, not in a class folder: stray.mp4.",
        f"Folders in {root} without videos do not count as classes: empty.",
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


def test_no_video_and_no_class_folder_get_their_own_sentences(tree):
    with pytest.raises(ListingError, match="data_root: there is no video in "):
        read_class_folders(tree("a/notes.txt"))
    with pytest.raises(ListingError, match="are not in class folders"):
        read_class_folders(tree("1.mp4"))


def test_the_current_folder_will_do(tree, monkeypatch):
    monkeypatch.chdir(tree("a/1.mp4", "b/1.mp4"))
    splits, _ = read_class_folders(Path())
    assert list(splits["train"].paths) == ["a/1.mp4", "b/1.mp4"]


def test_a_split_folder_without_a_video_and_classes_without_a_clip_are_named(tree):
    root = tree("train/a/1.mp4", "train/b/1.mp4", "train/c/x.txt", "val/a/x.txt", "test/a/1.mp4")
    splits, notes = read_class_folders(root)
    assert list(splits) == ["train", "test"]
    assert notes == [
        f"There is no video in the folder val in {root}.",
        f"Folders in {root} without videos do not count as classes: train/c, val/a.",
        f"1 class in {root} without test clips: b.",
    ]


def test_what_lies_beside_the_splits_is_counted(tree):
    root = tree("train/a/1.mp4", "train/b/1.mp4", "test/a/2.mp4", "old/a/1.mp4", "intro.mp4")
    splits, notes = read_class_folders(root)
    assert labels(splits)["train"] == {"train/a/1.mp4": "a", "train/b/1.mp4": "b"}
    assert notes[0] == (
        f"2 videos in {root} skipped, not in a class folder of a split: intro.mp4, old/a/1.mp4."
    )


def test_what_is_no_clip_is_counted_by_suffix(tree):
    root = tree("a/1.mp4", "b/1.mp4", "a/1.jpg", "a/notes.txt", "a/2.zip", "a/3.zip", "b/sound.wav")
    assert read_class_folders(root)[1] == [
        f"Files in {root} that are not videos: .zip (2), .wav (1)."
    ]
    with pytest.raises(ListingError, match=r"there is no video .*\.zip \(2\)"):
        (root / "a" / "1.mp4").unlink()
        (root / "b" / "1.mp4").unlink()
        read_class_folders(root)


def test_folders_of_pictures_are_not_taken_for_classes(tree):
    root = tree(*(f"{name}/{number}.jpg" for name in "ab" for number in range(3)))
    with pytest.raises(ListingError, match=r"is one clip \(a, b\)"):
        read_class_folders(root)


def test_clips_of_frames_have_the_class_of_the_folder_above(tree):
    root = tree("a/1/1.jpg", "a/1/2.jpg", "b/x.mp4")
    assert labels(read_class_folders(root)[0]) == {"train": {"a/1": "a", "b/x.mp4": "b"}}


def test_lists_beside_the_classes_that_nobody_names_are_said(tree):
    root = tree("a/1.mp4", "b/1.mp4", "trainlist01.txt", "test.csv", "notes.txt", "a/train.txt")
    assert read_class_folders(root)[1] == [
        f"Lists in {root} not used (set ann_file_train, ann_file_val or ann_file_test to use "
        "them): test.csv, trainlist01.txt."
    ]
    assert "test.csv" not in read_class_folders(root, named=["x/test.csv"])[1][0]
