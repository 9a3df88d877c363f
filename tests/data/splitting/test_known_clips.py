"""The clips of a run, written and read."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import DIGEST_BYTES, unreadable
from autox_video.data.listing.written_list import write_list
from autox_video.data.splitting.known_clips import (
    UNKNOWN,
    UNREADABLE,
    KnownClips,
    known_clips,
    read_known,
    write_known,
)
from autox_video.run.work_dir import CLIPS

ODD = KnownClips(
    ("one class", "tw;o", "3"),
    ("a\r,b.mp4", "\udcff.mp4", ("c.mp4", (0.1, 2.5)), ("c.mp4", (2.5, math.inf))),
    ("train", "val", "test", "train"),
    (("one class",), ("3", "tw;o"), None, ()),
    (bytes(range(16)), UNREADABLE, UNKNOWN, b"\xff" * 16),
)


def test_what_is_written_is_read(tmp_path):
    write_known(tmp_path, ODD)
    assert read_known(tmp_path, "/data") == ODD


def test_tables_give_names_and_digests():
    digests = np.zeros((2, DIGEST_BYTES), dtype=np.uint8)
    digests[0] = 7
    good, bad = replace(unreadable("").facts, error=None), unreadable("torn").facts
    train = ClipTable(("/data/x/a.mp4", "b.mp4"), ((1, 0), ()), facts=(good, bad), digests=digests)
    known = known_clips({"train": train, "test": ClipTable(("t.mp4",))}, ("q", "p"), "/data")
    assert known.classes == ("q", "p")
    assert known.keys == ("x/a.mp4", "b.mp4", "t.mp4")
    assert known.splits == ("train", "train", "test")
    assert known.labels == (("p", "q"), (), None)
    assert known.digests == (bytes([7] * DIGEST_BYTES), UNREADABLE, UNKNOWN)
    assert known.in_splits(("test",)) == KnownClips(
        ("q", "p"), ("t.mp4",), ("test",), (None,), (UNKNOWN,)
    )
    assert known.with_split("test", "train").splits == ("train",) * 3


@pytest.mark.parametrize("harm", ["gone", "torn", "a letter", "no object"])
def test_a_damaged_file_counts_for_nothing(tmp_path, harm):
    write_known(tmp_path, ODD)
    path = tmp_path / CLIPS
    content = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        other = {"torn": content[:-9], "a letter": content.replace(b"one", b"onE")}
        path.write_bytes(other.get(harm, b"[]"))
    assert read_known(tmp_path, "/data") is None


def test_without_it_the_lists_of_a_run_tell_its_clips(tmp_path):
    write_list(tmp_path / "train.csv", ClipTable(("a.mp4",), (0,)))
    write_list(tmp_path / "val.csv", ClipTable(("b.mp4",), (0,)))
    write_list(tmp_path / "split" / "train.csv", ClipTable(("/data/a.mp4", "bad.mp4"), (0, 0)))
    (tmp_path / "split" / "val.csv").write_text("damaged")
    known = read_known(tmp_path, "/data")
    assert (known.classes, known.keys) == ((), ("a.mp4", "bad.mp4"))
    assert set(known.labels) == {None} and set(known.digests) == {UNKNOWN}


def test_it_is_json(tmp_path):
    write_known(tmp_path, ODD)
    content = json.loads((tmp_path / CLIPS).read_text())
    assert content["labels"] == ["0", "2 1", None, ""]
    assert content["digests"][0] == np.arange(16, dtype=np.uint8).tobytes().hex()
