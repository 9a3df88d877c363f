"""The clips of a run, and what is listed otherwise later."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autox_video.automl.run_data import (
    begin_run,
    list_file,
    listing_fingerprint,
    lists_of_run,
    notes_on_reading,
    split_as_begun,
)
from autox_video.core.errors import CheckpointError
from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import ClipFacts
from autox_video.data.listing.listing import Listing
from autox_video.data.splitting.splits import SplitRequest, read_stored, store
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
        digests = np.array([content_of(path) for path in clips.paths], dtype=np.uint8)
        tables.append(replace(clips, facts=facts, digests=digests))
    return Listing("/data", classes, True, *tables, None)


def content_of(path):
    """Give 16 bytes by the letter in a file name."""
    return [ord(Path(path).stem[-1])] * 16


def begin(work_dir, listing):
    splits = {name: clips.readable() for name, clips in listing.splits.items()}
    readable = replace(listing, **splits)
    task = "multi_label" if listing.multi_label else "single_label"
    data, lists = begin_run(work_dir, listing, readable, task, "auto")
    return RunRecord(plan_for(), data, lists=lists)


@pytest.fixture
def run(tmp_path):
    return tmp_path, begin(tmp_path, inspected())


def said(run, found):
    """Give what has changed; nothing where the run is resumed."""
    work_dir, record = run
    try:
        assert split_as_begun(work_dir, record, found) is found
        return ""
    except CheckpointError as error:
        (problem,) = error.problems
        assert "--fresh" in problem and str(work_dir / "earlier") in problem
        return problem.split(" holds a run on other clips: ")[1].split(". To train")[0]


@pytest.fixture(params=["", "without clips.json"])
def any_run(run, request):
    """A run, and one of a version that wrote no clips.json."""
    if request.param:
        (run[0] / "clips.json").unlink()
    return run


def test_the_record_says_how_many_clips_and_which_are_left_out(run):
    _, record = run
    train, val = record.lists["train"], record.lists["val"]
    assert (record.data.classes, record.data.num_train) == (CLASSES, 3)
    assert record.data.class_clips == (1, 1, 1)
    assert (train["clips"], val["clips"]) == (3, 2)
    assert (train["left_out"], val["left_out"]) == ([["bad.mp4"]], [])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, ""),
        ({"train": TRAIN.select([3, 1, 0, 2])}, ""),
        ({"train": TRAIN.select([0, 1, 3])}, ""),
        ({"bad": ("a.mp4",)}, ""),
        ({"train": replace(TRAIN, paths=("./a.mp4", "/data/b.mp4", "bad.mp4", "c.mp4"))}, ""),
        ({"train": TRAIN.select([0, 2, 3])}, "1 clip is gone (b.mp4)"),
        (
            {"train": ClipTable(("a.mp4", "b.mp4", "new.mp4"), (0, 2, 1))},
            "1 clip is new (new.mp4), 1 is gone (c.mp4), 1 has another class "
            "(b.mp4: green -> blue)",
        ),
        (
            {
                "train": ClipTable((*TRAIN.paths, "w.mp4"), (*TRAIN.labels, 1)),
                "val": VAL.select([0]),
            },
            "1 clip is in another split (w.mp4: val -> train)",
        ),
        (
            {"val": ClipTable((*VAL.paths, *"1234"), (0, 1, 1, 1, 1, 1))},
            "4 clips are new (4 in `green`)",
        ),
        ({"classes": (*CLASSES, "grey")}, "class `grey` is new"),
        ({"classes": ("red", "green", "grey")}, "class `blue` was renamed to `grey`"),
    ],
)
def test_what_is_listed_otherwise_is_one_sentence(any_run, change, sentence):
    assert said(any_run, inspected(**change)) == sentence


def test_a_moved_clip_is_recognised_by_its_content(run):
    moved = inspected(replace(TRAIN, paths=("x/a.mp4", *TRAIN.paths[1:])))
    assert said(run, moved) == "1 clip was moved or renamed (x/a.mp4)"
    (run[0] / "clips.json").write_text("damaged")
    assert said(run, moved) == "1 clip is new (x/a.mp4), 1 is gone (a.mp4)"


def test_classes_in_another_order_are_named_and_hide_no_labels(run):
    swapped = ("green", "red", "blue")
    same = {0: 1, 1: 0, 2: 2}
    train = replace(TRAIN, labels=tuple(same[label] for label in TRAIN.labels))
    val = replace(VAL, labels=tuple(same[label] for label in VAL.labels))
    assert said(run, inspected(train, val, swapped)) == (
        "the classes are in another order (number 0: `red` before, `green` now)"
    )


def test_parts_of_videos_and_several_classes_a_clip(tmp_path):
    inf = float("inf")
    parts = ClipTable(("a.mp4", "a.mp4", "bad.mp4"), ((0, 1), (2,), ()), ((0, 1), (1, 2), (3, inf)))
    val = ClipTable(("v.mp4",), ((0,),), ((0.0, 1.0),))
    found = inspected(parts, val)
    run = tmp_path, begin(tmp_path, found)
    assert run[1].lists["train"]["left_out"] == [["bad.mp4", 3, None]]
    assert said(run, found) == ""
    other = replace(parts, labels=((1, 0), (1,), ()), segments=((0, 1), (1, 2), (3, 4)))
    assert said(run, inspected(other, val, bad=())) == (
        "1 clip is new (bad.mp4 from 3 to 4 s), 1 has another class "
        "(a.mp4 from 1 to 2 s: blue -> green)"
    )


# ---- where the work dir stores the split ----


@pytest.fixture
def split_run(tmp_path):
    """A run on clips that it split itself: a, c and bad to train, b to validate, t to test."""
    folder = tmp_path / "split"
    store({n: ClipTable(p, labels) for n, (p, labels) in SPLIT_RUN.items()}, folder)
    tables = {n: inspected(ClipTable(p, labels)).train for n, (p, labels) in SPLIT_RUN.items()}
    listing = replace(inspected(), classes=("green", "red"), **tables)
    return tmp_path, begin(tmp_path, listing)


SPLIT_RUN = {
    "train": (("a.mp4", "c.mp4", "bad.mp4"), (0, 1, 1)),
    "val": (("b.mp4",), (0,)),
    "test": (("t.mp4",), (1,)),
}
ALL = ClipTable(("a.mp4", "c.mp4", "bad.mp4", "b.mp4", "t.mp4"), (0, 1, 1, 0, 1))


def listed(work_dir, clips, classes=("green", "red")):
    names = ("train", "val", "test")
    stored = read_stored(work_dir / "split", names)
    how = SplitRequest(names, 0, work_dir / "split", stored)
    return Listing("/data", classes, True, inspected(clips).train, None, None, split_request=how)


def paths_of(listing):
    return {name: clips.paths for name, clips in listing.splits.items()}


@pytest.mark.parametrize("gone", ["", "split", "clips.json"])
def test_the_split_of_the_run_is_used_again(split_run, gone):
    work_dir, record = split_run
    if gone == "split":
        shutil.rmtree(work_dir / gone)
    elif gone:
        (work_dir / gone).unlink()
    found = split_as_begun(work_dir, record, listed(work_dir, ALL))
    assert paths_of(found) == {name: paths for name, (paths, _) in SPLIT_RUN.items()}
    assert found.split_request is None
    assert read_stored(work_dir / "split", ("train", "val", "test")).keys() == SPLIT_RUN.keys()


def test_an_unfinished_run_is_resumed_without_new_clips_and_says_so(split_run, capsys):
    work_dir, record = split_run
    more = ClipTable((*ALL.paths, "n.mp4", "m.mp4"), (1, 2, 2, 1, 2, 1, 0))
    without_test = more.select([0, 1, 3, 5, 6])
    for clips in (more, without_test):
        now = listed(work_dir, clips, ("blue", "green", "red"))
        found = split_as_begun(work_dir, record, now)
        assert found.train.paths == tuple(p for p in SPLIT_RUN["train"][0] if p in clips.paths)
        assert found.val == ClipTable(("b.mp4",), (0,))
        assert found.classes == ("green", "red")
        said = capsys.readouterr().out
        assert "2 clips are new (n.mp4, m.mp4)" in said and "class `blue` is new" in said
        assert "--fresh" in said
    finished = replace(record, finished=True)
    with pytest.raises(CheckpointError, match="2 clips are new") as caught:
        split_as_begun(work_dir, finished, now)
    assert "known clips keep their side" in str(caught.value)
    assert "undo the change" not in str(caught.value)


def test_clips_that_are_gone_or_renamed_stop_a_run(split_run):
    work_dir, record = split_run
    with pytest.raises(CheckpointError, match=r"1 clip is gone \(b\.mp4\).*undo the change"):
        split_as_begun(work_dir, record, listed(work_dir, ALL.select([0, 1, 2, 4])))
    with pytest.raises(CheckpointError, match="class `red` was renamed to `rouge`"):
        split_as_begun(work_dir, record, listed(work_dir, ALL, ("green", "rouge")))


@pytest.mark.parametrize("content", [None, b"", b"path,label\na.mp4,0\n", b"\x00" * 40, b"?,"])
def test_a_damaged_list_is_made_again_where_the_lists_are_the_same(run, capsys, content):
    work_dir, record = run
    path = list_file(work_dir, "train")
    before = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    lists = lists_of_run(work_dir, record.lists, inspected(bad=("a.mp4",)))
    assert path.read_bytes() == before
    assert lists["train"].paths == ("a.mp4", "b.mp4", "c.mp4")
    assert "train.csv: was missing or damaged, and was restored" in capsys.readouterr().err


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
    assert note.startswith("1 training clips that were unreadable when the run began can be read")
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
