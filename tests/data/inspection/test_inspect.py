"""Facts of clips, true ones; a cache that spares work and never costs a run."""

import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autox_video.data.inspection import facts_cache
from autox_video.data.inspection.clip_facts import examine_clip
from autox_video.data.inspection.inspect import (
    ClipFacts,
    default_cache_path,
    probe_clips,
    probe_contents,
    summarize,
)
from autox_video.data.inspection.opening_process import ProbeProcess
from tests.videos import (
    decode_all,
    numbered_frames,
    real_clips,
    write_text_video,
    write_video,
)

FRAMES = numbered_frames(12)


@pytest.fixture
def clips(tmp_path):
    """Twenty clips: clip i has 1 + i % 12 frames."""
    folder = tmp_path / "clips"
    folder.mkdir()
    return [write_video(folder / f"{i}.mp4", FRAMES[: 1 + i % 12]) for i in range(20)]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "deep" / "probe.sqlite"


@pytest.fixture
def opened(monkeypatch):
    """The clips that were really opened."""
    paths = []
    examine = ProbeProcess.examine

    def counted(self, places):
        paths.extend(map(Path, places))
        return examine(self, places)

    monkeypatch.setattr(ProbeProcess, "examine", counted)
    return paths


# ---- many clips ----


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_facts_come_in_the_order_of_the_paths(clips, workers):
    clips.insert(7, clips[0].with_name("none.mp4"))
    facts = probe_clips(clips, None, workers=workers)
    expected = [1 + i % 12 for i in range(20)]
    expected.insert(7, 0)
    assert [clip.frames for clip in facts] == expected
    assert facts[7].error == "there is no such file."


def test_clip_that_comes_twice_is_opened_once(clips, opened):
    facts = probe_clips([*clips[:3], clips[1], clips[0]], None, workers=2)
    assert [clip.frames for clip in facts] == [1, 2, 3, 2, 1]
    assert len(opened) == 3


def test_no_clips_have_no_facts(cache):
    assert probe_clips([], cache, workers=2) == []


def test_progress_reaches_the_number_of_paths(clips):
    told = []
    probe_clips([*clips, *clips], None, workers=2, on_done=told.append)
    assert told == sorted(told)
    assert told[-1] == 40 and len(told) >= 2


def test_defect_in_the_probe_is_not_hidden(clips, monkeypatch):
    def broken(self, places):
        raise RuntimeError("a defect")

    monkeypatch.setattr(ProbeProcess, "examine", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        probe_clips(clips, None, workers=2)


def test_contents_come_in_the_order_of_the_paths(clips, cache):
    paths = [clips[4], clips[2], clips[4], clips[0].with_name("none.mp4"), clips[7]]
    for _ in range(2):
        facts, contents = probe_contents(paths, cache, workers=2)
        for path, fact, *rows in zip(
            paths, facts, contents.digests, contents.fingerprints, contents.scenes, strict=True
        ):
            found = examine_clip(path)
            assert (fact, *(row.tobytes() for row in rows)) == found
    assert not contents.fingerprints[3].any() and contents.fingerprints[4].any()


def test_a_clip_that_crashes_its_process_is_a_row_and_costs_no_other(clips, cache, tmp_path):
    # What ends the process here is the system, as it does for a decoder that takes all memory.
    killer = tmp_path / "killer.py"
    killer.write_text(
        "import os, signal\n"
        "from autox_video.data.inspection import opening_process\n"
        "from autox_video.data.inspection.clip_facts import examine_clip\n"
        "def examine(path):\n"
        "    if path.endswith('/7.mp4'):\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    return examine_clip(path)\n"
        "probe_process.serve(examine)\n"
    )
    program = f"exec(open({str(killer)!r}).read())"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autox_video.data.inspection.opening_process._PROGRAM", program)
        facts = probe_clips(clips, cache, workers=2)
    assert facts[7].error == "the decoder crashes on it (SIGSEGV)."
    assert [fact.frames for i, fact in enumerate(facts) if i != 7] == [
        1 + i % 12 for i in range(20) if i != 7
    ]


# ---- cache ----


def test_unchanged_clips_are_not_opened_again(clips, cache, opened):
    first = probe_clips(clips, cache, workers=2)
    assert len(opened) == 20
    second = probe_clips(clips, cache, workers=2)
    assert len(opened) == 20
    assert second == first


def test_cache_knows_relative_paths_too(clips, cache, opened, monkeypatch):
    probe_clips(clips, cache, workers=2)
    monkeypatch.chdir(clips[0].parent)
    probe_clips([Path(clip.name) for clip in clips], cache, workers=2)
    assert len(opened) == 20


def test_names_that_are_not_text_are_remembered(tmp_path, cache, opened):
    clip = tmp_path / os.fsdecode(b"\xff\xe9 a.mp4")
    write_video(tmp_path / "a.mp4", FRAMES).rename(clip)
    assert probe_clips([clip], cache, workers=1) == probe_clips([clip], cache, workers=1)
    assert opened == [clip]


def test_changed_clip_is_opened_again(clips, cache, opened):
    probe_clips(clips, cache, workers=2)
    write_video(clips[3], FRAMES[:9])
    status = clips[5].stat()
    os.utime(clips[5], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    opened.clear()
    facts = probe_clips(clips, cache, workers=2)
    assert sorted(opened) == sorted([clips[3], clips[5]])
    assert facts[3].frames == 9


def test_unreadable_clip_is_tried_again(tmp_path, cache, opened, monkeypatch):
    clip = write_text_video(tmp_path / "a.mp4")
    for _ in range(2):
        (facts,) = probe_clips([clip], cache, workers=1)
        assert facts.error is not None
    assert len(opened) == 2


def test_without_a_cache_nothing_is_written(clips, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    probe_clips(clips, None, workers=2)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("damage", ["text", "torn", "other_table"])
def test_damaged_cache_costs_nothing_but_a_note(clips, cache, damage):
    expected = probe_clips(clips, cache, workers=2)
    if damage == "text":
        cache.write_text("not a database\n" * 1000)
    elif damage == "torn":
        with open(cache, "r+b") as file:
            file.seek(1000)
            file.write(b"\xff" * 5000)
    else:
        with sqlite3.connect(cache) as database:
            database.execute(f"DROP TABLE {facts_cache.TABLE}")
            database.execute(f"CREATE TABLE {facts_cache.TABLE} (path TEXT)")
        database.close()
    notes = []
    assert probe_clips(clips, cache, workers=2, on_note=notes.append) == expected
    (note,) = notes
    assert str(cache) in note and note.endswith(".")
    if damage != "other_table":
        notes.clear()
        assert probe_clips(clips, cache, workers=2, on_note=notes.append) == expected
        assert notes == []


def test_absurd_numbers_in_the_cache_are_not_believed(clips, cache, opened):
    expected = probe_clips(clips, cache, workers=2)
    with sqlite3.connect(cache) as database:
        database.execute(f"UPDATE {facts_cache.TABLE} SET seconds = 0 WHERE frames = 2")
        database.execute(f"UPDATE {facts_cache.TABLE} SET fps = NULL WHERE frames = 3")
        database.execute(f"UPDATE {facts_cache.TABLE} SET width = 'wide' WHERE frames = 4")
        database.execute(f"UPDATE {facts_cache.TABLE} SET seconds = 9e999 WHERE frames = 5")
        database.execute(f"UPDATE {facts_cache.TABLE} SET digest = x'00' WHERE frames = 6")
        database.execute(f"UPDATE {facts_cache.TABLE} SET fingerprint = NULL WHERE frames = 7")
        database.execute(f"UPDATE {facts_cache.TABLE} SET codec = NULL WHERE frames = 8")
    database.close()
    opened.clear()
    assert probe_clips(clips, cache, workers=2) == expected
    assert len(opened) == 14


def test_cache_in_a_folder_that_cannot_be_made_costs_nothing_but_a_note(clips, tmp_path):
    (tmp_path / "file").write_text("in the way")
    notes = []
    facts = probe_clips(clips, tmp_path / "file" / "c.sqlite", workers=2, on_note=notes.append)
    assert all(clip.error is None for clip in facts)
    (note,) = notes
    assert "every clip is opened anew" in note


def test_locked_cache_costs_nothing_but_a_note(clips, cache, monkeypatch):
    probe_clips(clips[:1], cache, workers=1)
    monkeypatch.setattr(facts_cache, "LOCK_WAIT_SEC", 0.05)
    other = sqlite3.connect(cache)
    other.execute("BEGIN EXCLUSIVE")
    notes = []
    facts = probe_clips(clips, cache, workers=2, on_note=notes.append)
    other.close()
    assert all(clip.error is None for clip in facts)
    assert len(notes) == 1 and "locked" in notes[0]


def test_several_runs_share_a_cache(clips, cache, monkeypatch):
    monkeypatch.setattr(facts_cache, "SAVE_EVERY_CLIPS", 1)
    notes = []
    expected = probe_clips(clips, None, workers=1)
    with ThreadPoolExecutor(4) as pool:
        runs = [
            pool.submit(probe_clips, clips, cache, workers=2, on_note=notes.append)
            for _ in range(4)
        ]
        assert all(run.result() == expected for run in runs)
    assert notes == []


def test_cache_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_path() == tmp_path / "autox_video" / "probe.sqlite"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache_path() == tmp_path / "home" / ".cache" / "autox_video" / "probe.sqlite"


# ---- stopped half-way ----

SLOW_RUN = """
import sys, time
from pathlib import Path
from autox_video.dataset import probe, probe_cache
from autox_video.data.inspection.opening_process import ProbeProcess

plain = ProbeProcess.examine
def slow(self, places):
    for place in places:
        if not self._stopped:
            time.sleep(0.25)
            yield from plain(self, [place])
ProbeProcess.examine = slow
probe_cache.SAVE_EVERY_SEC = 0.1
cache, *clips = map(Path, sys.argv[1:])
try:
    probe.probe_clips(clips, cache, workers=2, on_done=lambda n: print(n, flush=True))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("stopper", [signal.SIGINT, signal.SIGKILL])
def test_stopped_probe_ends_at_once_and_keeps_what_it_found(tmp_path, cache, opened, stopper):
    clip = write_video(tmp_path / "a.mp4", FRAMES)
    clips = [tmp_path / f"{i}.mp4" for i in range(400)]  # 50 s of work
    for link in clips:
        os.link(clip, link)
    arguments = [sys.executable, "-c", SLOW_RUN, cache, *clips]
    root = Path(__file__).parents[3]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=root, text=True) as run:
        done = 0
        while done < 16:
            done = int(run.stdout.readline())
        run.send_signal(stopper)
        sent = time.monotonic()
        run.wait(timeout=20)
        assert time.monotonic() - sent < 1.5  # two threads with eight clips each at hand take 2
    assert run.returncode == (130 if stopper == signal.SIGINT else -signal.SIGKILL)
    probe_clips(clips, cache, workers=2)
    assert len(opened) <= 400 - 8


# ---- statistics ----


def facts(seconds=2.0, fps=25.0, width=320, height=240):
    return ClipFacts(round(seconds * fps), fps, seconds, width, height, "h264", None)


UNREADABLE = ClipFacts(0, 0.0, 0.0, 0, 0, "", "the file is empty (0 bytes).")


def test_statistics_are_of_readable_clips():
    stats = summarize(
        ["run", "jump", "swim"],
        named=True,
        train_labels=[0, 0, 0, 1, 2, 2],
        train=[facts(1.0), facts(2.0), UNREADABLE, facts(3.0, fps=30.0), facts(4.0), UNREADABLE],
        val=[facts(5.0, width=240, height=426), UNREADABLE],
        test=[facts(100.0), UNREADABLE, facts(100.0)],
    )
    assert (stats.num_train, stats.num_val, stats.num_test, stats.unreadable) == (4, 1, 2, 4)
    assert (stats.num_classes, stats.class_names) == (3, ("run", "jump", "swim"))
    assert stats.named
    assert (stats.clips_per_class_min, stats.clips_per_class_max) == (1, 2)
    assert stats.seconds_median == 3.0
    assert (stats.seconds_p10, stats.seconds_p90) == pytest.approx((1.4, 4.6))
    assert (stats.fps_min, stats.fps_median, stats.fps_max) == (25.0, 25.0, 30.0)
    assert (stats.width_median, stats.height_median, stats.short_side_median) == (320, 240, 240)


def test_class_without_a_readable_clip_counts():
    stats = summarize(
        ["a", "b"], named=False, train_labels=[0, 1], train=[facts(), UNREADABLE], val=[]
    )
    assert (stats.clips_per_class_min, stats.clips_per_class_max) == (0, 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("train", [[], [UNREADABLE, UNREADABLE]])
def test_statistics_of_nothing_are_zeros(train):
    stats = summarize(
        ["a", "b"], named=False, train_labels=[0, 1][: len(train)], train=train, val=[]
    )
    assert stats.num_train == stats.clips_per_class_max == 0
    assert stats.seconds_median == stats.fps_max == stats.short_side_median == 0
    assert stats.unreadable == len(train)


def test_labels_must_belong_to_the_clips():
    with pytest.raises(ValueError, match="zip"):
        summarize(["a"], named=False, train_labels=[0], train=[facts(), facts()], val=[])


# ---- real clips ----


def test_all_real_clips_are_readable():
    paths = sorted((real_clips() / "videos").iterdir())
    found = probe_clips(paths, None, workers=2)
    assert len(found) >= 200
    assert [clip.error for clip in found] == [None] * len(found)
    for clip in found:
        assert math.isclose(clip.seconds * clip.fps, clip.frames)
        assert 1.9 < clip.seconds < 2.1 and 12 <= clip.fps <= 60
    for path, clip in list(zip(paths, found, strict=True))[::40]:
        whole = decode_all(path)
        assert whole.shape == (clip.frames, clip.height, clip.width, 3)
