"""Which folders are splits and which are classes: by their names, and by what else is there."""

from collections import Counter

import pytest

from autox_video.core.errors import ListingError
from autox_video.data.listing.folders.split_folders import arrange
from autox_video.data.listing.folders.split_names import split_of

TRAIN = (
    *("train", "training", "Train", "TRAIN", "Training_set", "trainset", "TrainSet"),
    *("train_data", "traindata", "train_videos", "01_train", "train_split", "X_train"),
    *("trainingData", "train-clips", "train_v2", "videos_train"),
)
VAL = (
    *("val", "valid", "validation", "Validation", "dev", "eval", "evaluation", "val_set"),
    *("02-val", "devset", "validset"),
)

TEST = (
    *("test", "testing", "Test_set", "testset", "test_data", "hold-out", "holdout", "held_out"),
    *("testVideos", "test1"),
)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, "train") for name in TRAIN),
        *((name, "val") for name in VAL),
        *((name, "test") for name in TEST),
        *((name, None) for name in ("trains", "train station", "test_drive", "evil", "trainer")),
        *((name, None) for name in ("data", "videos", "1", "", "train_test", "\u8bad\u7ec3train")),
    ],
)
def test_names_of_splits(name, split):
    assert split_of(name) == split


def arranged(*videos, empty=()):
    """Give {split: {class: clips}}, and the arrangement."""
    found = arrange(sorted(videos), sorted(empty), "ROOT")
    counts = {}
    for split, paths in found.splits.items():
        counts[split] = Counter(found.labels(split) or [None] * len(paths))
    return counts, found


def clips(*folders, count=1):
    return [f"{folder}/{number}.mp4" for folder in folders for number in range(count)]


@pytest.mark.parametrize(
    ("train", "test"),
    [("Training_set", "Test_set"), ("train_data", "test_data"), ("ucf_train", "ucf_test")],
)
def test_splits_by_any_usual_name(train, test):
    counts, found = arranged(*clips(f"{train}/a", f"{train}/b", f"{test}/a"))
    assert counts == {"train": {"a": 1, "b": 1}, "test": {"a": 1}}
    assert found.notes == [
        f"Folders in ROOT are used as splits: {test} for test, {train} for train."
    ]


@pytest.mark.parametrize("stray", ["intro.mp4", "extra/1.mp4", "extra/a/1.mp4", "train/1.mp4"])
@pytest.mark.parametrize("splits", [("train",), ("train", "val"), ("train", "val", "test")])
def test_a_stray_beside_splits_makes_them_no_classes(stray, splits):
    if splits == ("train",) and stray == "extra/a/1.mp4":
        return  # as likely a class
    counts, found = arranged(*clips(*(f"{s}/{c}" for s in splits for c in "ab")), stray)
    assert counts == {split: {"a": 1, "b": 1} for split in splits}
    assert found.unused == [stray]


def test_a_train_is_a_vehicle_among_others():
    counts, found = arranged(*clips("train", "car", "bus", "test"))
    assert counts == {"train": {"bus": 1, "car": 1, "test": 1, "train": 1}}
    assert found.notes == ["In ROOT, the folders test and train count as classes, not as splits."]
    counts, _ = arranged(*clips("train/day", "train/night", "bus/day", "bus/night"))
    assert counts == {"train": {"bus": 2, "train": 2}}


def test_splits_in_the_classes_are_splits():
    folders = [f"{c}/{s}" for c in ("red", "blue", "train") for s in ("train", "Test_set")]
    counts, found = arranged(*clips(*folders), "red/stray.mp4")
    of_each = {"blue": 1, "red": 1, "train": 1}
    assert counts == {"train": of_each, "test": of_each}
    assert found.unused == ["red/stray.mp4"]
    assert "(CLASS/Test_set, CLASS/train): 3 for train, 3 for test" in found.notes[0]


def test_test_clips_below_the_clips_of_a_class_are_kept_apart():
    counts, _ = arranged(*clips("red", "blue", count=2), *clips("red/test", "blue/test"))
    assert counts == {"train": {"blue": 2, "red": 2}, "test": {"blue": 1, "red": 1}}


def test_a_class_without_a_training_folder_is_refused():
    with pytest.raises(ListingError, match="these have no training clips: blue"):
        arranged(*clips("red/train", "red/test", "green/train", "green/test", "blue"))


def test_folders_in_classes_that_are_not_followed_are_named():
    counts, found = arranged(*clips("red/test", "blue", "green"))
    assert counts == {"train": {"blue": 1, "green": 1, "red": 1}}
    assert "named like splits are ignored (1 clip): red/test/0.mp4." in found.notes[0]


def test_splits_below_splits_are_named():
    _, found = arranged(*clips("train/red", "train/blue/test"))
    assert "ignored (1 clip): train/blue/test/0.mp4." in found.notes[0]


def test_equal_folders_in_all_classes_are_said():
    counts, found = arranged(*clips("Lernen/red", "Lernen/blue", "Proben/red", "Proben/blue"))
    assert counts == {"train": {"Lernen": 2, "Proben": 2}}
    assert found.notes == [
        "The classes are the top-level folders in ROOT (Lernen, Proben); the folders inside each "
        "of them (blue, red) are ignored. If blue, red are the classes, rename the split folders "
        "to train, val and test."
    ]


def test_an_empty_split_is_said():
    counts, found = arranged(*clips("train/a", "train/b"), empty=["val"])
    assert counts == {"train": {"a": 1, "b": 1}}
    assert found.notes == ["There is no video in the folder val in ROOT."]


@pytest.mark.parametrize(
    ("videos", "sentence"),
    [
        (clips("train", "test"), "look like splits, but the training clips are not in class"),
        (clips("train", "val", "test", "extra"), "look like splits, but the training clips"),
        (clips("val/a", "test/b"), "look like splits, but none is named train;"),
        (clips("learn/a", "learn/b", "test/a", "test/b"), r"named train \(is it learn\?\)"),
        (clips("set/train/a", "set/test/a"), "did you mean data_root=ROOT/set"),
        (clips("train/videos/a", "train/videos/b", "test/videos/a"), "ROOT/train/videos; if its"),
        (clips("a_train", "a_test", "b_train", "b_test"), "splits of several classes"),
    ],
)
def test_what_cannot_be_what_it_looks_like_is_refused(videos, sentence):
    with pytest.raises(ListingError, match=sentence):
        arranged(*videos)


def test_without_training_clips_their_folder_is_missed():
    with pytest.raises(ListingError, match="there is no video for training"):
        arranged(*clips("val/a", "val/b"), empty=["train/a"])


@pytest.mark.parametrize("inside", ["videos", "UCF/UCF-101", "a/b/c"])
def test_folders_around_the_classes_are_named_however_many(inside):
    with pytest.raises(ListingError) as caught:
        arranged(*clips(f"{inside}/red", f"{inside}/blue"))
    assert f"did you mean data_root=ROOT/{inside}?" in str(caught.value)
