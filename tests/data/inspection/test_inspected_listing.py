"""A listing with what opening its clips told, and its division by recordings."""

from dataclasses import replace

import numpy as np
import pytest

from autox_video.data.clip_table import ClipTable
from autox_video.data.inspection import inspected_listing
from autox_video.data.inspection.clip_facts import ClipFacts, Contents
from autox_video.data.inspection.inspected_listing import inspect_listing, shared_recordings
from autox_video.data.listing.listing import Listing, split_listing
from autox_video.data.splitting.splits import SplitRequest

VIDEO = ClipFacts(100, 10.0, 10.0, 64, 48, "x", None)


@pytest.fixture
def inspect(monkeypatch):
    """Give a function that inspects a listing whose clips differ, but for equal digests."""

    def inspect(listing, digests):
        rng = np.random.default_rng(0)
        contents = Contents.of_unknown(len(digests))
        for column in (contents.fingerprints, contents.scenes):
            column[:] = rng.integers(0, 256, column.shape)
        contents.digests[:, 0] = digests

        def opened(paths, *_, **__):
            assert len(paths) == len(digests)
            return [VIDEO] * len(paths), contents

        monkeypatch.setattr(inspected_listing, "inspect_clips", opened)
        return inspect_listing(listing, None, workers=1)

    return inspect


def listing(train, **others):
    return Listing("/data", ("a", "b"), True, train, **{"val": None, "test": None, **others})


def test_facts_are_of_the_parts_of_videos(inspect):
    segments = [(0.0, np.inf), (2.0, 5.0), (20.0, 30.0)]
    found = inspect(listing(ClipTable(["x.mp4"] * 3, [0, 1, 0], segments)), [1, 1, 1])
    assert [fact.seconds for fact in found.train.facts] == [10.0, 3.0, 0.0]
    assert found.train.unreadable() == [2]
    assert found.train.recordings.labels.tolist() == [0, 0, 0]


def test_times_that_may_be_frames_are_said(inspect):
    clips = ClipTable(["x.mp4", "y.mp4"], [0, 1], [(0.0, 250.0), (0.0, 5.0)])
    (note,) = inspect(listing(clips), [1, 2]).notes
    assert note.startswith("1 of 2 segments in the train list end after their videos")


def test_recordings_stay_together_and_keep_their_clips_beside_a_test_list(inspect, tmp_path):
    names = [f"{chr(97 + i)}{chr(97 + j)}.mp4" for i in range(5) for j in range(4)]
    train = ClipTable(names, [0, 1] * 10, source="l.txt")
    how = SplitRequest(("train", "val"), 0, tmp_path)
    given = listing(train, test=ClipTable(["t.mp4", "u.mp4"], [0, 1]), split_request=how)
    digests = [1 + i // 4 for i in range(20)]
    divided = split_listing(inspect(given, [*digests, digests[0], 99]))
    assert len(divided.train) == 16
    assert len({path[0] for path in divided.val.paths}) == 1
    assert "cut from 5 recordings" in divided.notes[-1]
    side = "training" if "aa.mp4" in divided.train.paths else "validation"
    notes = shared_recordings(divided)
    assert [note.split()[3:5] for note in notes] == ([["test", "clips"]] * (side == "training"))
    swapped = replace(divided, train=divided.val, val=divided.train)
    assert len(shared_recordings(swapped)) == 1 - len(notes)
