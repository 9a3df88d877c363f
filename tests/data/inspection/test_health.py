"""What is wrong or odd with clips: found, named, and nothing else called wrong."""

import numpy as np
import pytest

from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection.clip_facts import DIGEST_BYTES, ClipFacts, Contents
from autox_video.data.inspection.fingerprint import FINGERPRINT_BYTES, GREY_BYTES
from autox_video.data.inspection.health import Health, good_clips, report
from autox_video.data.inspection.inspected_listing import with_recordings
from autox_video.data.listing.listing import Listing

CLASSES = ("run", "jump")
UNREADABLE = ClipFacts(0, 0.0, 0.0, 0, 0, "", "the file is empty (0 bytes).")


def facts(seconds=2.0, fps=25.0, size=(320, 240), codec="h264"):
    return ClipFacts(round(seconds * fps), fps, seconds, *size, codec, None)


def content(seed, noise=0):
    """Give a digest and a fingerprint; the same picture for a seed, with or without noise."""
    grey = np.random.default_rng(seed).integers(20, 200, FINGERPRINT_BYTES)
    grey[:GREY_BYTES] += np.random.default_rng(noise).integers(0, 2 + bool(noise), GREY_BYTES)
    grey[GREY_BYTES:] = 128
    digest = np.random.default_rng([seed, noise]).integers(0, 256, DIGEST_BYTES)
    return digest.astype(np.uint8), grey.astype(np.uint8)


def healthy(*, segments=False, **splits):
    """Give the Health of splits of rows (path, label, seed, noise, facts or None, segment)."""
    tables, all_contents = {"val": None, "test": None}, []
    for name, rows in splits.items():
        rows = [(*row, *(None, 0, 0, None, (0.0, np.inf))[len(row) - 1 :]) for row in rows]
        parts = [row[5] for row in rows] if segments else None
        labels = None if rows[0][1] is None else [row[1] for row in rows]
        contents = Contents.of_unknown(len(rows))
        for number, row in enumerate(rows):
            if row[4] is None or row[4].error is None:
                unique = row[2] or 1000 + hash((name, number)) % 10**6
                contents.digests[number], contents.fingerprints[number] = content(unique, row[3])
        tables[name] = ClipTable(
            [row[0] for row in rows],
            labels,
            parts,
            facts=[row[4] or facts() for row in rows],
        )
        all_contents.append(contents)
    listing = Listing("/data", CLASSES, True, **tables, notes=("a note",))
    in_order = [all_contents[[*splits].index(name)] for name in listing.splits]
    columns = map(np.concatenate, zip(*in_order, strict=True))
    return Health(with_recordings(listing, Contents(*columns)))


TRAIN = [("a.mp4", 0), ("b.mp4", 1), ("c.mp4", 0)]
VAL = [("d.mp4", 0), ("e.mp4", 1)]


def test_nothing_is_wrong_with_good_clips():
    health = healthy(train=TRAIN, val=VAL, test=[("f.mp4",)])
    found = report(health)
    assert found["splits"]["train"]["clips"] == found["splits"]["train"]["readable"] == 3
    assert found["splits"]["train"]["per_class"] == {"run": 2, "jump": 1}
    assert found["splits"]["test"]["per_class"] is None
    for key in ("unreadable", "odd", "exact_duplicates", "near_duplicates", "sources_over_splits"):
        assert found[key] == []
    assert found["imbalance"] == {
        "rarest": "jump",
        "commonest": "run",
        "ratio": 2.0,
        "imbalanced": False,
        "classes_without_clips": {"train": [], "val": []},
    }
    assert found["notes"] == ["a note"]
    assert good_clips(health) == {"train": [0, 1, 2], "val": [0, 1], "test": [0]}


def test_figures_are_of_readable_clips():
    rows = [
        ("a.mp4", 0, 0, 0, facts(1.0, 10, (64, 48))),
        ("b.mp4", 1, 0, 0, facts(2.0, 20, (64, 48), "vp9")),
        ("c.mp4", 0, 0, 0, facts(3.0, 30, (128, 96))),
        ("d.mp4", 0, 0, 0, UNREADABLE),
    ]
    found = report(healthy(train=rows))
    figures = found["splits"]["train"]
    assert (figures["clips"], figures["readable"]) == (4, 3)
    assert figures["seconds"] == {"min": 1.0, "median": 2.0, "max": 3.0}
    assert figures["fps"] == {"min": 10, "median": 20, "max": 30}
    assert figures["frames"] == {"min": 10, "median": 40, "max": 90}
    assert figures["sizes"] == {"64x48": 2, "128x96": 1}
    assert figures["codecs"] == {"h264": 2, "vp9": 1}
    assert found["unreadable"] == [
        {"split": "train", "video": "d.mp4", "label": "run", "reason": UNREADABLE.error}
    ]


def test_a_split_of_which_nothing_can_be_read():
    found = report(healthy(train=[("a.mp4", 0, 0, 0, UNREADABLE)], val=VAL))
    assert found["splits"]["train"]["seconds"] is None
    assert found["imbalance"]["ratio"] is None and found["imbalance"]["imbalanced"]
    assert found["imbalance"]["classes_without_clips"]["train"] == ["run", "jump"]


def test_equal_clips_inside_and_across_splits():
    train = [("a.mp4", 0, 7), ("b.mp4", 0, 7), ("c.mp4", 0, 8), ("x.mp4", 1, 9), ("y.mp4", 0, 9)]
    health = healthy(train=train, val=[("d.mp4", 0, 8), ("e.mp4", 1)])
    assert report(health)["exact_duplicates"] == [
        {"leak": True, "agree": True, "clips": {"train": ["c.mp4"], "val": ["d.mp4"]}},
        {"leak": False, "agree": True, "clips": {"train": ["a.mp4", "b.mp4"]}},
        {"leak": False, "agree": False, "clips": {"train": ["x.mp4", "y.mp4"]}},
    ]
    assert report(health)["near_duplicates"] == []
    assert good_clips(health) == {"train": [0], "val": [0, 1]}


def test_near_duplicates_and_what_they_leak():
    train = [("a.mp4", 0, 7), ("b.mp4", 0, 7, 1), ("c.mp4", 0, 8), ("c2.mp4", 0, 8)]
    health = healthy(train=train, val=[("d.mp4", 0, 8, 1), ("e.mp4", 1)])
    assert report(health)["near_duplicates"] == [
        {"leak": True, "agree": True, "clips": {"train": ["c.mp4", "c2.mp4"], "val": ["d.mp4"]}},
        {"leak": False, "agree": True, "clips": {"train": ["a.mp4", "b.mp4"]}},
    ]
    # Alike for training alone may well be meant.
    assert good_clips(health) == {"train": [0, 1], "val": [0, 1]}


def test_what_is_for_validation_and_test_stays_in_both():
    health = healthy(train=TRAIN, val=[("d.mp4", 0, 5)], test=[("d.mp4", 0, 5)])
    assert report(health)["exact_duplicates"][0]["leak"]
    assert good_clips(health) == {"train": [0, 1, 2], "val": [0], "test": [0]}


def test_sources_over_splits():
    train = [("v_Run_g01_c01.avi", 0), ("v_Run_g01_c02.avi", 0), ("v_Run_g02_c01.avi", 0)]
    found = report(healthy(train=train, val=[("x/v_Run_g01_c07.avi", 0), ("e.mp4", 1)]))
    assert found["sources_over_splits"] == [
        {
            "leak": True,
            "agree": True,
            "clips": {
                "train": ["v_Run_g01_c01.avi", "v_Run_g01_c02.avi"],
                "val": ["x/v_Run_g01_c07.avi"],
            },
        }
    ]


def test_recordings_are_counted_and_those_over_splits_are_named():
    health = healthy(train=[("a.mp4", 0), ("b.mp4", 1)], val=[("c.mp4", 0), ("d.mp4", 1)])
    health.recordings = np.array([0, 1, 0, 3])
    found = report(health)
    assert [found["splits"][name]["recordings"] for name in ("train", "val")] == [2, 2]
    assert [group["clips"] for group in found["recordings_over_splits"]] == [
        {"train": ["a.mp4"], "val": ["c.mp4"]}
    ]


def test_parts_of_a_video_are_no_duplicates_but_one_source():
    part = [("a.mp4", 0, 7, 0, None, (0.0, 2.0)), ("a.mp4", 1, 7, 0, None, (2.0, 4.0))]
    val = [("a.mp4", 0, 7, 0, None, (4.0, np.inf)), ("copy.mp4", 0, 7, 0, None, (0.0, 2.0))]
    found = report(healthy(segments=True, train=part, val=val))
    assert [group["clips"] for group in found["exact_duplicates"]] == [
        {"train": ["a.mp4 [0.0, 2.0]"], "val": ["copy.mp4 [0.0, 2.0]"]}
    ]
    assert [group["clips"] for group in found["sources_over_splits"]] == [
        {"train": ["a.mp4 [0.0, 2.0]", "a.mp4 [2.0, 4.0]"], "val": ["a.mp4 [4.0, None]"]}
    ]


def test_odd_clips_say_what_is_odd():
    rows = [(f"{i}.mp4", i % 2) for i in range(200)]
    rows[3] = ("long.mp4", 1, 0, 0, facts(seconds=9.0))
    rows[5] = ("quick.mp4", 1, 0, 0, facts(fps=60.0))
    rows[7] = ("small.avi", 1, 0, 0, facts(size=(80, 60), codec="cinepak"))
    rows[9] = ("usual.mp4", 1, 0, 0, facts(seconds=7.5, fps=30.0, size=(640, 480)))
    found = {clip["video"]: clip["odd"] for clip in report(healthy(train=rows))["odd"]}
    assert found == {
        "long.mp4": ["seconds 9 (median 2)"],
        "quick.mp4": ["fps 60 (median 25)"],
        "small.avi": ["short side 60 (median 240)", "codec cinepak"],
    }


@pytest.mark.parametrize(("rare", "imbalanced"), [(1, True), (2, False)])
def test_imbalance(rare, imbalanced):
    rows = [(f"{i}.mp4", 0) for i in range(11)] + [(f"r{i}.mp4", 1) for i in range(rare)]
    found = report(healthy(train=rows, val=[("v.mp4", 0)]))["imbalance"]
    assert (found["ratio"], found["imbalanced"]) == (11 / rare, imbalanced)
    assert found["classes_without_clips"]["val"] == ["jump"]


def test_clips_of_several_classes_count_for_each():
    found = report(healthy(train=[("a.mp4", (0, 1)), ("b.mp4", (1,)), ("c.mp4", ())]))
    assert found["splits"]["train"]["per_class"] == {"run": 1, "jump": 2}
