"""Clips divided by class, once."""

import os
import random
from array import array
from collections import Counter

import pytest

from autox_video.dataset import splits as splits_module
from autox_video.dataset.list_files import ClipList, Entries, read_list, write_list
from autox_video.dataset.splits import divide, keep, split_counts, stratify
from autox_video.errors import ListingError, ResourceError

TWO, THREE = ("train", "val"), ("train", "val", "test")


def entries(counts):
    """Give {class: number of clips} as entries, one line each."""
    labels = [name for name, count in counts.items() for _ in range(count)]
    paths = [f"{name}/{i}.mp4" for i, name in enumerate(labels)]
    return Entries("list.txt", paths, list(paths), labels, array("L", range(1, len(paths) + 1)))


def numbered(division):
    """Give the lists of a division, its classes numbered in order of their names."""
    names = sorted({label for split in division.splits.values() for label in split.labels})
    return {
        name: ClipList(tuple(split.paths), tuple(map(names.index, split.labels)))
        for name, split in division.splits.items()
    }, len(names)


@pytest.mark.parametrize(
    ("clips", "two", "three"),
    [
        (1, (1, 0), (1, 0, 0)),
        (2, (1, 1), (1, 1, 0)),
        (3, (2, 1), (1, 1, 1)),
        (4, (3, 1), (2, 1, 1)),
        (10, (8, 2), (6, 2, 2)),
        (20, (16, 4), (14, 3, 3)),
        (100, (80, 20), (70, 15, 15)),
        (1000, (800, 200), (700, 150, 150)),
    ],
)
def test_split_counts(clips, two, three):
    assert split_counts(clips, TWO) == two
    assert split_counts(clips, THREE) == three


def test_every_class_is_divided_in_proportion_and_no_clip_is_lost():
    given = entries({"a": 100, "b": 20, "c": 3, "d": 1})
    found = stratify(given.keys, given.labels, names=THREE, seed=0)
    assert sorted(i for chosen in found.values() for i in chosen) == list(range(124))
    counted = {name: Counter(given.labels[i] for i in chosen) for name, chosen in found.items()}
    assert counted == {
        "train": {"a": 70, "b": 14, "c": 1, "d": 1},
        "val": {"a": 15, "b": 3, "c": 1},
        "test": {"a": 15, "b": 3, "c": 1},
    }


def test_the_seed_decides_and_neither_order_nor_other_classes_do():
    def chosen(given, seed=0):
        found = stratify(given.keys, given.labels, names=TWO, seed=seed)
        return {given.keys[i] for i in found["val"] if given.labels[i] == "a"}

    given = entries({"a": 50, "b": 50})
    order = list(range(100))
    random.Random(1).shuffle(order)
    assert chosen(given) == chosen(given.select(order)) == chosen(entries({"a": 50, "c": 7}))
    assert chosen(given) != chosen(given, seed=1)


def test_a_division_is_pinned():
    # Another result for the same seed would divide users' clips anew after an update.
    given = entries({"a": 10})
    assert stratify(given.keys, given.labels, names=TWO, seed=0)["val"] == [0, 5]


def test_divide_writes_nothing_and_keep_does(tmp_path):
    folder = tmp_path / "split"
    division = divide(entries({"a": 5, "b": 5}), tmp_path, folder, names=THREE, seed=0)
    assert not folder.exists()
    assert division.notes == (
        f"The clips of list.txt were divided: 6 for train, 2 for val, 2 for test; {folder} keeps "
        "the lists.",
    )
    lists, classes = numbered(division)
    keep(division, lists, classes)
    assert sorted(os.listdir(folder)) == ["test.csv", "train.csv", "val.csv"]
    assert {name: read_list(folder / f"{name}.csv") for name in THREE} == lists


@pytest.fixture
def kept(tmp_path):
    """Give a function that divides into a folder that keeps a division of 5 a and 5 b by seed 0."""
    folder = tmp_path / "split"
    division = divide(entries({"a": 5, "b": 5}), tmp_path, folder, names=THREE, seed=0)
    keep(division, *numbered(division))

    def again(given, names=THREE):
        return divide(given, tmp_path, folder, names=names, seed=99)

    again.first = division
    again.folder = folder
    return again


def test_a_kept_division_counts_whatever_the_seed(kept):
    again = kept(entries({"a": 5, "b": 5}))
    assert again.splits == kept.first.splits
    assert again.notes == ()
    keep(again, *numbered(again))


def test_new_and_gone_clips_are_left_out_and_said(kept):
    given = entries({"a": 5, "b": 5, "new": 2})
    gone = kept.first.splits["train"].keys[0]
    again = kept(given.select([i for i, key in enumerate(given.keys) if key != gone]))
    assert again.splits["train"].keys == kept.first.splits["train"].keys[1:]
    assert again.splits["val"] == kept.first.splits["val"]
    (note,) = again.notes
    assert "since then: 2 new clips, not used, 1 clip gone." in note
    before = {path.name: path.read_bytes() for path in kept.folder.iterdir()}
    keep(again, *numbered(again))
    assert {path.name: path.read_bytes() for path in kept.folder.iterdir()} == before


def test_a_kept_division_of_two_stays_one(tmp_path):
    folder = tmp_path / "split"
    given = entries({"a": 5, "b": 5})
    division = divide(given, tmp_path, folder, names=TWO, seed=0)
    keep(division, *numbered(division))
    assert divide(given, tmp_path, folder, names=THREE, seed=0).splits == division.splits


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_division_whose_writing_was_cut_off_is_made_again(tmp_path, monkeypatch, written):
    given = entries({"a": 5, "b": 5})
    write = write_list

    def stop(path, clips):
        if len(list(tmp_path.rglob("*.csv"))) == written:
            raise ResourceError("disk full")
        write(path, clips)

    division = divide(given, tmp_path, tmp_path / "split", names=THREE, seed=0)
    monkeypatch.setattr(splits_module, "write_list", stop)
    with pytest.raises(ResourceError):
        keep(division, *numbered(division))
    assert divide(given, tmp_path, tmp_path / "split", names=THREE, seed=0).kept is None


def test_other_clips_are_refused(kept):
    with pytest.raises(ListingError, match="keeps a division of other clips"):
        kept(entries({"x": 5, "y": 5}))


def test_a_clip_of_another_class_now_is_refused(kept):
    again = kept(entries({"a": 5, "b": 5}))
    lists, classes = numbered(again)
    lists["test"] = ClipList(lists["test"].paths, lists["test"].labels[::-1])
    with pytest.raises(ListingError, match="other classes or labels"):
        keep(again, lists, classes)


def test_a_class_that_is_gone_is_refused(kept):
    again = kept(entries({"a": 5}))
    with pytest.raises(ListingError, match="other classes or labels"):
        keep(again, *numbered(again))


def test_classes_of_one_clip(tmp_path):
    division = divide(entries({"a": 5, "b": 1}), tmp_path, tmp_path / "s", names=TWO, seed=0)
    assert division.notes[1] == "1 class of a single clip, so not validated: b."
    with pytest.raises(ListingError, match="none is left for validation"):
        divide(entries({"a": 1, "b": 1}), tmp_path, tmp_path / "s", names=TWO, seed=0)
