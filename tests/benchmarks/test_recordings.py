"""Synthetic recordings: labels match what is shown, are given by the seed, and leak nothing."""

import csv
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import av
import numpy as np
import pytest

from benchmarks.recordings import acts, footage, leaks
from benchmarks.recordings.acts import Act, perform
from benchmarks.recordings.files import Recording, make, recordings_of
from benchmarks.recordings.kinds import KINDS, SIZE, draw_script
from benchmarks.suite_sets.scene import States

TIMES_SEC = np.arange(201) / 20


@pytest.fixture
def small(monkeypatch):
    """Sets of three recordings of a few seconds, known as `events` and `reversed`."""
    for name, kind in KINDS.items():
        short = replace(kind, train=2, test=1, seconds=(14.0, 18.0), fps=(10,))
        monkeypatch.setitem(KINDS, name, short)


def rest():
    ones = np.ones(len(TIMES_SEC))
    return States(ones / 2, ones / 2, ones / 10, 0 * ones, ones, np.zeros(len(ones), dtype=int))


def done(*performed):
    states = rest()
    perform(states, performed, TIMES_SEC)
    return states


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ---- what happens, and when ----


@pytest.mark.parametrize("name", KINDS)
def test_every_set_is_as_promised(name):
    kind = KINDS[name]
    scripts = [recording.script() for recording in recordings_of(name)]
    events = [act for script in scripts for act in script.events]
    assert len(scripts) == 20
    assert all(120 <= script.seconds <= 300 for script in scripts)
    assert len({script.fps for script in scripts}) > 1
    total_sec = sum(script.seconds for script in scripts)
    assert 0.28 < sum(act.length_sec for act in events) / total_sec < 0.38
    assert 4 < len(events) / total_sec * 60 < 10
    counts = Counter(act.label for act in events)
    assert set(counts) == set(kind.classes)
    assert min(counts.values()) > 0.85 * max(counts.values())
    assert {act.label for script in scripts for act in script.others} == set(kind.others)


@pytest.mark.parametrize("name", KINDS)
def test_acts_never_overlap(name):
    kind = KINDS[name]
    for seed in range(30):
        script = draw_script(np.random.default_rng(seed), kind)
        for act in script.events:
            assert kind.event_sec[0] - 0.01 < act.length_sec < kind.event_sec[1] + 0.01
        for before, after in pairwise(script.events):
            assert after.start_sec - before.end_sec > acts.LEAST_GAP_SEC - 0.011
        every = sorted((*script.events, *script.others), key=lambda act: act.start_sec)
        assert every[0].start_sec > 0 and every[-1].end_sec < script.seconds
        for before, after in pairwise(every):
            assert after.start_sec - before.end_sec > 0.69


def test_sitting_down_and_standing_up_alternate():
    script = draw_script(np.random.default_rng(3), KINDS["reversed"])
    postures = [act.label for act in script.events if act.label in acts.POSTURES]
    assert len(postures) > 6
    assert postures == (["sit", "stand"] * len(postures))[: len(postures)]


# ---- what it looks like ----


@pytest.mark.parametrize("label", [*KINDS["events"].classes, *KINDS["reversed"].classes])
def test_an_event_is_seen_from_its_start_to_its_end(label):
    still, acting = rest(), done(Act(label, 3.0, 6.0, 3, 1))
    changes = np.zeros(len(TIMES_SEC), dtype=bool)
    for field in ("x", "y", "radius", "turn", "opacity", "shown"):
        off = np.abs(getattr(acting, field) - getattr(still, field))
        changes |= np.diff(off, prepend=off[0]) != 0
        if label == "star":
            changes |= off > 0
    seen = TIMES_SEC[changes]
    assert 3.0 < seen[0] <= 3.2 and 5.9 <= seen[-1] < 6.05


@pytest.mark.parametrize(("label", "opposite"), [("hop_swell", "swell_hop"), ("sit", "stand")])
def test_the_opposite_event_is_the_same_played_backwards(label, opposite):
    seated = Act("sit", -2.0, -1.0, 1, 1)
    before = (seated,) if opposite == "stand" else ()
    forwards = done(Act(label, 3.0, 7.0, 1, 1))
    backwards = done(*before, Act(opposite, 3.0, 7.0, 1, 1))
    for field in ("x", "y", "radius", "turn", "opacity"):
        assert np.allclose(getattr(forwards, field), getattr(backwards, field)[::-1])
    assert np.ptp(forwards.y) > 0.15 and np.ptp(forwards.radius) > 0.02


def test_cuts_divide_a_recording_and_do_not_depend_on_events():
    times = np.arange(3000) / 15
    bounds = footage.scene_bounds(np.random.default_rng(0), times)
    assert bounds[0][0] == 0 and bounds[-1][1] == len(times)
    assert all(last == first for (_, last), (first, _) in pairwise(bounds))
    lengths = np.array([last - first for first, last in bounds[:-1]]) / 15
    assert lengths.min() > 5.9 and lengths.max() < 25.1


def test_cuts_change_the_picture(small):
    script = draw_script(np.random.default_rng(0), KINDS["events"])
    script = replace(script, seconds=60.0)
    bounds = footage.scene_bounds(np.random.default_rng(1), script.times_sec)
    frames = footage.draw_frames(np.random.default_rng(1), script).astype(float)
    change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert len(bounds) > 2
    assert all(change[first - 1] > 3 * np.median(change) for first, _ in bounds[1:])


# ---- files ----


@pytest.mark.parametrize("name", KINDS)
def test_files_are_the_same_for_any_number_of_threads(small, tmp_path, name):
    contents = []
    for workers in (1, 3):
        root = tmp_path / str(workers)
        make(root, name, workers=workers)
        contents.append({p.name: p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()})
    assert contents[0] == contents[1]
    assert sorted(contents[0]) == sorted(
        ["set.json", "test.csv", "train.csv", "test000.mp4", "train000.mp4", "train001.mp4"]
    )
    make(tmp_path / "1", name, 1)
    assert (tmp_path / "1" / "test000.mp4").exists() is False
    assert (tmp_path / "1" / "videos" / "test000.mp4").read_bytes() != contents[0]["test000.mp4"]


def test_lists_and_videos_match_the_scripts(small, tmp_path):
    make(tmp_path, "events")
    rows = rows_of(tmp_path / "test.csv")
    script = Recording("events", "test", 0, 0).script()
    assert [(row["label"], float(row["start"]), float(row["end"])) for row in rows] == [
        (act.label, act.start_sec, act.end_sec) for act in script.events
    ]
    assert {row["path"] for row in rows} == {"test000.mp4"}
    with av.open(str(tmp_path / "videos" / "test000.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.width, stream.height) == SIZE
        assert stream.frames == len(script.times_sec)
        assert float(stream.average_rate) == script.fps


# ---- leaks ----


def test_the_middle_of_each_event_and_of_the_gap_before_it():
    events = [(2.0, 4.0, "hop"), (7.0, 8.0, "star")]
    assert list(leaks._middles(events)) == [
        (3.0, "hop"),
        (1.0, leaks.BACKGROUND),
        (7.5, "star"),
        (5.5, leaks.BACKGROUND),
    ]


def test_the_chance_of_a_leak_is_the_largest_class():
    leak = leaks.Leak("", accuracy=0.6, chance=0.5, windows=100)
    assert leak.deviations == pytest.approx(2.0)
