"""Clips split by class, once."""

import os
import random
from array import array
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from autox_video.core.errors import ListingError, ResourceError
from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import ClipFacts, unreadable
from autox_video.data.listing.written_list import read_list, write_list
from autox_video.data.splitting import splits as splits_module
from autox_video.data.splitting.groups import alone, join
from autox_video.data.splitting.known_clips import KnownClips, write_known
from autox_video.data.splitting.recordings import Recordings
from autox_video.data.splitting.splits import (
    SplitRequest,
    read_stored,
    split_as_stored,
    split_clips,
    store,
)
from autox_video.data.splitting.stratify import split_counts, stratify

TWO, THREE = ("train", "val"), ("train", "val", "test")


def entries(counts):
    """Give {class: number of clips} as entries, one line each."""
    labels = [name for name, count in counts.items() for _ in range(count)]
    paths = [f"{name}/{i}.mp4" for i, name in enumerate(labels)]
    return ClipTable(paths, labels, lines=array("L", range(1, len(paths) + 1)), source="list.txt")


def numbered(given):
    """Give entries as clips, with their classes, numbered in order of their names."""
    names = sorted(set(given.labels))
    return replace(given, labels=map(names.index, given.labels)), names


def divided(given, folder, *, names=THREE, seed=0, facts=None, **others):
    """Divide entries anew; gives the lists and the notes."""
    clips, classes = numbered(given)
    clips = replace(clips, facts=facts)
    how = SplitRequest(names, seed, folder)
    return split_clips(clips, how, classes, data_root="/data", **others)


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
    found = stratify(given.paths, given.labels, names=THREE, seed=0)
    assert sorted(i for chosen in found.values() for i in chosen) == list(range(124))
    counted = {name: Counter(given.labels[i] for i in chosen) for name, chosen in found.items()}
    assert counted == {
        "train": {"a": 70, "b": 14, "c": 1, "d": 1},
        "val": {"a": 15, "b": 3, "c": 1},
        "test": {"a": 15, "b": 3, "c": 1},
    }


def test_the_seed_decides_and_neither_order_nor_other_classes_do():
    def chosen(given, seed=0):
        found = stratify(given.paths, given.labels, names=TWO, seed=seed)
        return {given.paths[i] for i in found["val"] if given.labels[i] == "a"}

    given = entries({"a": 50, "b": 50})
    order = list(range(100))
    random.Random(1).shuffle(order)
    assert chosen(given) == chosen(given.select(order)) == chosen(entries({"a": 50, "c": 7}))
    assert chosen(given) != chosen(given, seed=1)


def test_a_division_is_pinned():
    # Another result for the same seed would divide users' clips anew after an update.
    given = entries({"a": 10})
    assert stratify(given.paths, given.labels, names=TWO, seed=0)["val"] == [0, 5]


def test_splitting_writes_nothing_and_keep_does(tmp_path):
    folder = tmp_path / "split"
    lists, notes = divided(entries({"a": 5, "b": 5}), folder)
    assert not folder.exists()
    assert notes == [
        "The clips of list.txt are split: 6 for train, 2 for val, 2 for test. WORK_DIR/split keeps "
        "the split.",
    ]
    store(lists, folder)
    assert sorted(os.listdir(folder)) == ["test.csv", "train.csv", "val.csv"]
    assert {name: read_list(folder / f"{name}.csv") for name in THREE} == lists


@pytest.fixture
def kept(tmp_path):
    """Give a function that splits clips as a folder says, which keeps 5 a and 5 b by seed 0."""
    folder = tmp_path / "split"
    first, _ = divided(entries({"a": 5, "b": 5}), folder)
    store(first, folder)

    def again(given, names=THREE):
        stored = read_stored(folder, names)
        return split_as_stored(numbered(given)[0], stored, tmp_path)

    again.first, again.folder = first, folder
    return again


def test_a_stored_split_holds_for_its_clips_in_any_order(kept):
    given = entries({"a": 5, "b": 5})
    assert kept(given) == kept.first
    splits = kept(given.select(range(9, -1, -1)))
    assert {name: set(split.paths) for name, split in splits.items()} == {
        name: set(split.paths) for name, split in kept.first.items()
    }


@pytest.mark.parametrize(
    "given",
    [
        entries({"a": 5, "b": 6}),
        entries({"a": 5, "b": 4}),
        entries({"x": 5, "y": 5}),
        replace(entries({"a": 5, "b": 5}), labels=tuple("aaaaabbbba")),
        entries({"a": 5, "aa": 1, "b": 5}),
    ],
)
def test_a_stored_split_does_not_hold_for_other_clips_or_labels(kept, given):
    assert kept(given) is None


def test_a_stored_split_in_two_stays_one(tmp_path):
    folder = tmp_path / "split"
    given = entries({"a": 5, "b": 5})
    lists, _ = divided(given, folder, names=TWO)
    store(lists, folder)
    again = split_as_stored(numbered(given)[0], read_stored(folder, THREE), tmp_path)
    assert again == lists


def test_a_split_in_two_leaves_no_test_list_of_before(kept):
    store({name: kept.first[name] for name in TWO}, kept.folder)
    assert sorted(os.listdir(kept.folder)) == ["train.csv", "val.csv"]


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_division_whose_writing_was_cut_off_is_made_again(tmp_path, monkeypatch, written):
    given = entries({"a": 5, "b": 5})
    write = write_list

    def stop(path, clips):
        if len(list(tmp_path.rglob("*.csv"))) == written:
            raise ResourceError("disk full")
        write(path, clips)

    folder = tmp_path / "split"
    lists, _ = divided(given, folder)
    monkeypatch.setattr(splits_module, "write_list", stop)
    with pytest.raises(ResourceError):
        store(lists, folder)
    assert read_stored(folder, THREE) is None


def test_classes_of_one_clip(tmp_path):
    _, notes = divided(entries({"a": 5, "b": 1}), tmp_path, names=TWO)
    assert notes[1] == "1 class without a validation clip, as there is a single clip: b."
    with pytest.raises(ListingError, match="no clip is left for validation"):
        divided(entries({"a": 1, "b": 1}), tmp_path, names=TWO)


def test_a_clip_of_several_classes_counts_for_the_rarest(tmp_path):
    labels = tuple((0, 1) if i < 5 else (0,) for i in range(50))
    clips = ClipTable(tuple(f"{i:02}.mp4" for i in range(50)), labels)
    how = SplitRequest(TWO, 0, tmp_path)
    lists, _ = split_clips(clips, how, ("common", "rare"), data_root="/data")
    assert Counter(lists["val"].labels) == {(0, 1): 1, (0,): 9}


# ---- clips that stay together ----


def grouped(count, *groups):
    """Label `count` clips of which those in a range belong together."""
    labels = alone(count)
    for group in groups:
        labels = join(labels, np.array([(group[0], i) for i in group]))
    return labels


def counts_by_split(found, given):
    return {name: Counter(given.labels[i] for i in chosen) for name, chosen in found.items()}


def test_groups_stay_together_in_the_proportions_of_the_class():
    given = entries({"a": 100, "b": 100})
    groups = grouped(200, *(range(i, i + 10) for i in range(0, 100, 10)), range(90, 110))
    found = stratify(given.paths, given.labels, names=TWO, seed=0, groups=groups)
    home = {i: name for name, chosen in found.items() for i in chosen}
    assert len(home) == 200
    for label in set(groups.tolist()):
        assert len({home[i] for i in np.flatnonzero(groups == label).tolist()}) == 1
    assert counts_by_split(found, given) == {
        "train": {"a": 80, "b": 80},
        "val": {"a": 20, "b": 20},
    }


def test_single_clips_make_up_for_a_large_group():
    given = entries({"a": 100})
    found = stratify(given.paths, given.labels, names=THREE, seed=0, groups=grouped(100, range(60)))
    assert set(range(60)) <= set(found["train"])
    assert {name: len(chosen) for name, chosen in found.items()} == {
        "train": 70, "val": 15, "test": 15,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "sizes", "filled"),
    [
        (TWO, (50, 50), 2),
        (TWO, (99, 1), 2),
        (TWO, (40, 30, 30), 2),
        (THREE, (98, 1, 1), 3),
        (THREE, (50, 50), 2),
        (THREE, (34, 33, 33), 3),
        (TWO, (100,), 1),
    ],
)
def test_as_many_splits_get_clips_as_there_are_groups(names, sizes, filled):
    given = entries({"a": sum(sizes), "b": 10})
    edges = np.cumsum((0, *sizes)).tolist()
    ranges = [range(*edge) for edge in pairwise(edges)]
    groups = grouped(len(given), *ranges)
    for seed in range(5):
        found = stratify(given.paths, given.labels, names=names, seed=seed, groups=groups)
        assert [bool(counts_by_split(found, given)[name]["a"]) for name in names] == [
            i < filled for i in range(len(names))
        ]


def test_neither_the_order_of_clips_nor_of_groups_decides():
    given = entries({"a": 60, "b": 60, "c": 5})
    groups = grouped(125, *(range(i, i + 1 + i % 7) for i in range(0, 110, 10)), range(55, 70))

    def chosen(order, seed=0):
        found = stratify(
            [given.paths[i] for i in order],
            [given.labels[i] for i in order],
            names=THREE,
            seed=seed,
            groups=np.array([groups[i] for i in order]),
        )
        return {name: {given.paths[order[i]] for i in part} for name, part in found.items()}

    straight = list(range(125))
    mixed = straight.copy()
    random.Random(3).shuffle(mixed)
    assert chosen(straight) == chosen(mixed) == chosen(straight[::-1])
    assert chosen(straight) != chosen(straight, seed=1)


def test_a_class_whose_clips_all_belong_together_is_said(tmp_path):
    given = entries({"a": 5, "b": 5})
    lists, notes = divided(given, tmp_path, names=TWO, groups=grouped(10, range(5)))
    assert Counter(lists["train"].labels) == {0: 5, 1: 4}
    assert notes[1] == (
        "1 class without a validation clip, as all clips belong together (one source, or near-"
        "duplicates): a."
    )


def test_if_no_class_can_be_validated_the_groups_are_divided_and_that_is_said(tmp_path):
    given = entries({"a": 5, "b": 5})
    groups = grouped(10, range(5), range(5, 10))
    lists, notes = divided(given, tmp_path, names=TWO, groups=groups)
    assert Counter(lists["val"].labels) == {0: 1, 1: 1}
    assert "They were split all the same" in notes[1]


def test_unreadable_clips_are_left_to_training_and_count_for_nothing(tmp_path):
    given = entries({"a": 15, "b": 10})
    facts = [unreadable("torn").facts] * 5 + [ClipFacts(9, 9.0, 1.0, 8, 8, "x", None)] * 20
    lists, _ = divided(given, tmp_path, names=TWO, facts=facts)
    assert lists["train"].paths[:5] == tuple(given.paths[:5])
    assert Counter(lists["val"].labels) == {0: 2, 1: 2}
    assert len(lists["train"]) == 21


def run_in(folder, contents=None, label="run", **splits):
    """Write down the clips of a run, given as their paths by split."""
    paths = [path for clips in splits.values() for path in clips]
    contents = contents or {}
    known = KnownClips(
        (label,),
        tuple(paths),
        tuple(name for name, clips in splits.items() for _ in clips),
        ((label,),) * len(paths),
        tuple(contents.get(path, b"") for path in paths),
    )
    write_known(folder, known)
    return known


def divided_again(given, tmp_path, earlier, *, weights=None, contents=None, **others):
    clips, classes = numbered(given)
    clips = replace(clips, recordings=others.pop("recordings", None))
    if contents is not None:
        rows = [np.frombuffer(contents[path], dtype=np.uint8) for path in clips.paths]
        clips = replace(clips, digests=np.stack(rows))
    how = SplitRequest(TWO, 1, tmp_path / "split", earlier=earlier, weights=weights)
    splits, notes = split_clips(clips, how, classes, data_root="/data", **others)
    return {path: name for name, split in splits.items() for path in split.paths}, notes


def content_of(path):
    """Give 16 bytes for a path."""
    return path.encode().ljust(16, b".")[:16]


def test_clips_keep_the_side_that_they_had_where_clips_are_added(tmp_path):
    before, _ = divided_again(entries({"run": 30, "sit": 30}), tmp_path, ())
    by_side = {name: [path for path in before if before[path] == name] for name in TWO}
    store({n: ClipTable(p, (0,) * len(p)) for n, p in by_side.items()}, tmp_path / "old" / "split")
    now, notes = divided_again(entries({"run": 40, "sit": 30}), tmp_path, (tmp_path / "old",))
    assert {path: now.get(path) for path in before if path in now} == {
        path: side for path, side in before.items() if path in now
    }
    assert Counter(now.values()) == {"train": 56, "val": 14}
    assert notes[-1].startswith(
        f"50 clips keep their split from the run in {tmp_path / 'old'}; since that run, "
        "20 clips are new (10 in `run`, 10 in `sit`), 10 are gone"
    )


def test_a_clip_for_training_takes_its_recording_along(tmp_path):
    given = entries({"run": 20})
    run_in(tmp_path / "old", train=["run/0.mp4"], val=["run/1.mp4", "run/5.mp4"])
    pairs = np.array([[0, 1], [2, 0], [5, 6]])
    now, notes = divided_again(given, tmp_path, (tmp_path / "old",), groups=join(alone(20), pairs))
    assert {now[f"run/{i}.mp4"] for i in (0, 1, 2)} == {"train"}
    assert {now[f"run/{i}.mp4"] for i in (5, 6)} == {"val"}
    assert Counter(now.values())["val"] == 4
    assert any("1 known clip moved to another side" in note for note in notes)


def test_numbered_clips_keep_their_sides_though_their_blocks_change(tmp_path):
    """Blocks of neighbours are a guess: with more clips, each has others in it."""
    given = entries({"run": 12})
    run_in(tmp_path / "old", train=["run/0.mp4", "run/1.mp4"], val=["run/2.mp4", "run/6.mp4"])
    blocks = np.arange(12) // 3 * 3
    nowhere = np.zeros(12, dtype=bool)
    recordings = Recordings(alone(12), nowhere, alone(12), alone(12), nowhere)
    now, _ = divided_again(
        given, tmp_path, (tmp_path / "old",), groups=blocks, recordings=recordings
    )
    assert [now[f"run/{i}.mp4"] for i in range(3)] == ["train", "train", "val"]
    assert [now[f"run/{i}.mp4"] for i in (6, 7, 8)] == ["val"] * 3


def test_the_first_earlier_run_that_knows_the_clips_counts(tmp_path):
    run_in(tmp_path / "other", train=["a.mp4"], val=["b.mp4"])
    run_in(tmp_path / "old", train=[f"run/{i}.mp4" for i in range(9)], val=["run/9.mp4"])
    now, _ = divided_again(
        entries({"run": 10}), tmp_path, (tmp_path / "gone", tmp_path / "other", tmp_path / "old")
    )
    assert [path for path in now if now[path] == "val"] == ["run/9.mp4"]


def test_sides_that_leave_nothing_for_validation_count_for_nothing(tmp_path):
    run_in(tmp_path / "old", train=[f"run/{i}.mp4" for i in range(10)], val=["gone.mp4"])
    now, notes = divided_again(entries({"run": 10}), tmp_path, (tmp_path / "old",))
    assert Counter(now.values()) == {"train": 8, "val": 2}
    assert not any(" split from the run in" in note for note in notes)


def test_clips_of_a_renamed_class_and_moved_clips_keep_their_side(tmp_path):
    paths = [f"run/{i}.mp4" for i in range(10)]
    contents = {path: content_of(path) for path in paths}
    run_in(tmp_path / "old", contents, train=paths[:7], val=paths[7:])
    moved = {path.replace("run/", "jog/x"): content for path, content in contents.items()}
    moved["jog/new.mp4"] = content_of("new")
    given = ClipTable(tuple(moved), ("jog",) * 11, source="list.txt")
    now, notes = divided_again(given, tmp_path, (tmp_path / "old",), contents=moved)
    sides = {path: now[path.replace("run/", "jog/x")] for path in paths}
    assert sides == {path: "train" if path in paths[:7] else "val" for path in paths}
    assert "class `run` was renamed to `jog`" in notes[-1]


def test_what_weights_were_trained_on_comes_before_an_earlier_run(tmp_path):
    run_in(tmp_path / "old", train=["run/1.mp4"], val=["run/0.mp4", "run/2.mp4"])
    weights = run_in(tmp_path / "w", train=["run/0.mp4"], val=["run/3.mp4"])
    now, _ = divided_again(entries({"run": 10}), tmp_path, (tmp_path / "old",), weights=weights)
    assert [now[f"run/{i}.mp4"] for i in range(4)] == ["train", "train", "val", "val"]


def test_weights_trained_on_every_recording_leave_nothing_to_validate(tmp_path):
    weights = run_in(tmp_path / "w", train=[f"run/{i}.mp4" for i in range(10)])
    with pytest.raises(ListingError, match="load_from: the weights were trained"):
        divided_again(entries({"run": 10}), tmp_path, (), weights=weights)
    # Those of other clips do not matter.
    run_in(tmp_path / "old", train=[f"run/{i}.mp4" for i in range(10)])
    others = run_in(tmp_path / "x", train=["sit/0.mp4"])
    now, _ = divided_again(entries({"run": 10}), tmp_path, (tmp_path / "old",), weights=others)
    assert Counter(now.values()) == {"train": 8, "val": 2}


def test_large_recordings_are_held_out_as_often_as_small_ones():
    sizes = [10, 8, 7, 5, 5, 4, 4, 3, 2, 2]  # of one class; 10 of 50 are to be held out
    groups = np.repeat(np.arange(len(sizes)), sizes)
    held_out = Counter()
    for seed in range(300):
        found = stratify(range(50), ["run"] * 50, names=TWO, seed=seed, groups=groups)
        assert 10 <= len(found["val"]) <= 12
        held_out.update(set(groups[found["val"]].tolist()))
    shares = [held_out[number] / 300 for number in range(len(sizes))]
    assert min(shares) > 0.05 and max(shares) < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_the_segments_of_a_video_stay_together_even_before_inspection(tmp_path, seed):
    videos = [f"{i}.mp4" for i in range(20) for _ in range(6)]
    labels = [f"event{n % 4}" for n in range(120)]
    segments = [(float(n), n + 2.0) for n in range(120)]
    given = ClipTable(videos, labels, segments, source="list.csv")
    found, _ = divided(given, tmp_path, seed=seed)
    sides = [set(clips.paths) for clips in found.values()]
    assert sum(map(len, sides)) == 20  # no video is on two sides
    assert sorted(map(len, sides)) == [4, 4, 12]
    spellings = replace(given, paths=[f"./{p}" if n % 2 else p for n, p in enumerate(videos)])
    found, _ = divided(spellings, tmp_path, seed=seed)
    assert sum(len({p.removeprefix("./") for p in clips.paths}) for clips in found.values()) == 20


def test_if_no_class_can_be_validated_the_segments_of_a_video_still_stay_together(tmp_path):
    videos = [f"{i}.mp4" for i in range(10) for _ in range(4)]
    segments = [(float(n), n + 1.0) for n in range(40)]
    given = ClipTable(videos, [f"event{n % 2}" for n in range(40)], segments, source="list.csv")
    found, notes = divided(given, tmp_path, names=TWO, groups=np.zeros(40, dtype=np.int64))
    assert [len(set(clips.paths)) for clips in found.values()] == [8, 2]
    assert any("They were split all the same" in note for note in notes)
    one_video = replace(given, paths=["a.mp4"] * 40)
    found, _ = divided(one_video, tmp_path, names=TWO)
    assert list(map(len, found.values())) == [32, 8]
