"""The clips of a run, and what is listed otherwise later."""

from dataclasses import replace
from pathlib import Path

import pytest

from autox_video.automl.run_data import (
    begin_run,
    compare_clips,
    list_file,
    listing_fingerprint,
    lists_of_run,
    notes_on_reading,
)
from autox_video.core.errors import CheckpointError
from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.data.listing.listing import Listing
from autox_video.planning.record import RunRecord
from tests.planning.test_plan import plan_for

CLASSES = ("red", "green", "blue")
TRAIN = ClipTable(("a.mp4", "b.mp4", "bad.mp4", "c.mp4"), (0, 1, 1, 2))
VAL = ClipTable(("v.mp4", "w.mp4"), (0, 1))


def inspected(train=TRAIN, val=VAL, classes=CLASSES, bad=("bad.mp4",)):
    tables = []
    for clips in (train, val):
        errors = ["torn" if path in bad else None for path in clips.paths]
        facts = [ClipFacts(1, 1.0, 1.0, 1, 1, "x", error) for error in errors]
        tables.append(replace(clips, facts=facts))
    return Listing("/data", classes, True, *tables, None)


def begin(work_dir, listing):
    splits = {name: clips.readable() for name, clips in listing.splits.items()}
    readable = replace(listing, **splits)
    task = "multi_label" if listing.multi_label else "single_label"
    data, lists = begin_run(work_dir, listing, readable, task, "auto")
    return RunRecord(plan_for(), data, lists=lists)


@pytest.fixture
def run(tmp_path):
    return tmp_path, begin(tmp_path, inspected())


def now(run, found):
    work_dir, record = run
    return compare_clips(found, record, lists_of_run(work_dir, record.lists, found))


def test_the_record_says_how_many_clips_and_which_are_left_out(run):
    _, record = run
    train, val = record.lists["train"], record.lists["val"]
    assert (record.data.classes, record.data.num_train) == (CLASSES, 3)
    assert record.data.class_clips == (1, 1, 1)
    assert (train["clips"], val["clips"]) == (3, 2)
    assert (train["left_out"], val["left_out"]) == ([["bad.mp4"]], [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"train": TRAIN.select([3, 1, 0, 2])}, []),
        ({"train": TRAIN.select([0, 1, 3])}, []),
        ({"train": replace(TRAIN, paths=("./a.mp4", "/data/b.mp4", "bad.mp4", "c.mp4"))}, []),
        ({"train": TRAIN.select([0, 2, 3])}, ["training clips: 1 gone (b.mp4)"]),
        (
            {"train": ClipTable(("a.mp4", "b.mp4", "new.mp4"), (0, 2, 1))},
            [
                "training clips: 1 new (new.mp4), 1 gone (c.mp4), "
                "1 of another class (b.mp4: green -> blue)"
            ],
        ),
        (
            {
                "train": ClipTable((*TRAIN.paths, "w.mp4"), (*TRAIN.labels, 1)),
                "val": VAL.select([0]),
            },
            ["training clips: 1 new (w.mp4)", "validation clips: 1 gone (w.mp4)"],
        ),
        (
            {"val": ClipTable((*VAL.paths, *"1234"), (0, 1, 1, 1, 1, 1))},
            ["validation clips: 4 new (1, 2, 3, ...)"],
        ),
        ({"classes": (*CLASSES, "grey")}, ["classes: 1 new (grey)"]),
        (
            {"classes": ("red", "green", "grey")},
            [
                "classes: 1 new (grey), 1 gone (blue)",
                "training clips: 1 of another class (c.mp4: blue -> grey)",
            ],
        ),
    ],
)
def test_what_is_listed_otherwise_is_spelled_out(run, change, said):
    assert now(run, inspected(**change)) == said


def test_classes_in_another_order_are_named_and_hide_no_labels(run):
    swapped = ("green", "red", "blue")
    same = {0: 1, 1: 0, 2: 2}
    train = replace(TRAIN, labels=tuple(same[label] for label in TRAIN.labels))
    val = replace(VAL, labels=tuple(same[label] for label in VAL.labels))
    assert now(run, inspected(train, val, swapped)) == [
        "classes: in another order (number 0 was red, is green)"
    ]


def test_parts_of_videos_and_several_classes_a_clip(tmp_path):
    inf = float("inf")
    parts = ClipTable(("a.mp4", "a.mp4", "bad.mp4"), ((0, 1), (2,), ()), ((0, 1), (1, 2), (3, inf)))
    val = ClipTable(("v.mp4",), ((0,),), ((0.0, 1.0),))
    found = inspected(parts, val)
    run = tmp_path, begin(tmp_path, found)
    assert run[1].lists["train"]["left_out"] == [["bad.mp4", 3, None]]
    assert now(run, found) == []
    other = replace(parts, labels=((1, 0), (1,), ()), segments=((0, 1), (1, 2), (3, 4)))
    assert now(run, inspected(other, val)) == [
        "training clips: 1 new (bad.mp4 from 3 to 4 s), 1 of another class "
        "(a.mp4 from 1 to 2 s: blue -> green)"
    ]


@pytest.mark.parametrize("content", [None, b"", b"path,label\na.mp4,0\n", b"\x00" * 40, b"?,"])
def test_a_damaged_list_is_made_again_where_the_lists_are_the_same(run, capsys, content):
    work_dir, record = run
    path = list_file(work_dir, "train")
    before = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    lists = lists_of_run(work_dir, record.lists, inspected(bad=("a.mp4",)))
    assert path.read_bytes() == before
    assert lists["train"].paths == ("a.mp4", "b.mp4", "c.mp4")
    assert "train.csv: was missing or damaged, and was made again" in capsys.readouterr().out


def test_a_damaged_list_that_cannot_be_made_again_is_a_sentence(run):
    work_dir, record = run
    path = list_file(work_dir, "val")
    path.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"val\.csv: missing or damaged.*--fresh"):
        lists_of_run(work_dir, record.lists, inspected(val=VAL.select([1, 0])))
    assert path.read_bytes() == b"damaged"


def test_what_can_be_read_now_and_what_no_longer_is_noted(run):
    work_dir, record = run
    assert notes_on_reading(inspected(), record.lists, _lists(work_dir, record)) == []
    spoilt, mended = inspected(bad=("bad.mp4", "v.mp4")), inspected(bad=())
    (note,) = notes_on_reading(mended, record.lists, _lists(work_dir, record))
    assert note.startswith("1 training clips that could not be read when the run began can be")
    assert "(bad.mp4)" in note
    (note,) = notes_on_reading(spoilt, record.lists, _lists(work_dir, record))
    assert note.startswith("1 validation clips of the run cannot be read any more (v.mp4)")


def test_the_fingerprint_is_of_segments_and_all_classes():
    listing = inspected()
    parts = replace(TRAIN, segments=((0.0, 1.0),) * len(TRAIN))
    several = replace(TRAIN, labels=tuple((label,) for label in TRAIN.labels))
    digests = {listing_fingerprint(replace(listing, train=c)) for c in (TRAIN, parts, several)}
    assert len(digests) == 3


def _lists(work_dir: Path, record):
    return lists_of_run(work_dir, record.lists, inspected())
