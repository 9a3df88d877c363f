"""Facts of clips, true ones; a cache that spares work and never costs a run."""

import ctypes
import faulthandler
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
from autox_video.data.inspection import inspect as inspection
from autox_video.data.inspection.clip_facts import examine_clip
from autox_video.data.inspection.facts_cache import default_cache_path
from autox_video.data.inspection.inspect import inspect_clips
from autox_video.data.loading import reader_pool
from tests.videos import (
    decode_all,
    numbered_frames,
    real_clips,
    write_text_video,
    write_video,
)

FRAMES = numbered_frames(12)


def facts_of(*args, **options):
    facts, _ = inspect_clips(*args, **options)
    return facts


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
def examine(monkeypatch):
    """Give a function that puts another in place of `examine_clip`, which that may call."""
    return lambda function: monkeypatch.setattr(inspection, "examine_clip", function)


@pytest.fixture
def opened(examine, tmp_path):
    """The clips that were really opened, by whatever process."""
    log = tmp_path / "opened.txt"

    def counted(path):
        with open(log, "ab") as file:
            file.write(os.fsencode(path) + b"\n")
        return examine_clip(path)

    class Opened:
        def __len__(self):
            return len(self.paths())

        def paths(self):
            return [Path(os.fsdecode(line)) for line in log.read_bytes().splitlines()]

        def clear(self):
            log.write_bytes(b"")

    opened = Opened()
    opened.clear()
    examine(counted)
    return opened


# ---- many clips ----


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_facts_come_in_the_order_of_the_paths(clips, workers):
    clips.insert(7, clips[0].with_name("none.mp4"))
    facts = facts_of(clips, None, workers=workers)
    expected = [1 + i % 12 for i in range(20)]
    expected.insert(7, 0)
    assert [clip.frames for clip in facts] == expected
    assert facts[7].error == "there is no such file."


def test_clip_that_comes_twice_is_opened_once(clips, opened):
    facts = facts_of([*clips[:3], clips[1], clips[0]], None, workers=2)
    assert [clip.frames for clip in facts] == [1, 2, 3, 2, 1]
    assert len(opened) == 3


def test_no_clips_have_no_facts(cache):
    assert facts_of([], cache, workers=2) == []


def test_progress_reaches_the_number_of_paths(clips):
    told = []
    facts_of([*clips, *clips], None, workers=2, on_done=told.append)
    assert told == sorted(told)
    assert told[-1] == 40 and len(told) >= 2


def test_a_defect_comes_with_its_traceback(clips, examine):
    def broken(path):
        raise KeyError("a defect")

    examine(broken)
    with pytest.raises(RuntimeError, match="KeyError: 'a defect'"):
        facts_of(clips, None, workers=2)


def test_contents_come_in_the_order_of_the_paths(clips, cache):
    paths = [clips[4], clips[2], clips[4], clips[0].with_name("none.mp4"), clips[7]]
    for _ in range(2):
        facts, contents = inspect_clips(paths, cache, workers=2)
        for path, fact, *rows in zip(
            paths, facts, contents.digests, contents.fingerprints, contents.scenes, strict=True
        ):
            assert (fact, *(row.tobytes() for row in rows)) == examine_clip(path)
    assert not contents.fingerprints[3].any() and contents.fingerprints[4].any()


def crash(path):
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGSEGV)


def compute(path):
    while True:
        pass


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (crash, "the decoder crashed on it twice (SIGSEGV)."),
        (lambda path: os._exit(3), "the decoder crashed on it twice (exit code 3)."),
        (compute, "the decoder hangs on it (CPU time limit exceeded)."),
        # Inside of C, where Python gets no turn.
        (
            lambda path: ctypes.PyDLL(None).sleep(60),
            "reading it made no progress for 0.3 s, twice:",
        ),
    ],
)
def test_what_takes_the_process_along_is_named_and_costs_no_other(
    clips, cache, examine, monkeypatch, harm, reason
):
    monkeypatch.setattr(inspection, "HANG_SEC", 0.5)
    monkeypatch.setattr(inspection, "TIME_LIMIT_SEC", 0.3)
    monkeypatch.setattr(reader_pool, "_LOOK_EVERY_SEC", 0.05)
    examine(lambda path: harm(path) if path.endswith("/7.mp4") else examine_clip(path))
    facts = facts_of(clips[:10], cache, workers=2)
    assert facts[7].error.startswith(reason)
    assert [fact.frames for fact in facts] == [i + 1 if i != 7 else 0 for i in range(10)]


def test_large_clip_may_be_computed_on_for_longer(clips, monkeypatch):
    alarms = []

    def set_timer(which, seconds):
        assert which == signal.ITIMER_PROF  # which counts computing, not the time of day
        alarms.append(seconds)

    monkeypatch.setattr(inspection.signal, "setitimer", set_timer)
    monkeypatch.setattr(inspection, "READ_BYTES_PER_SEC", 10.0)
    inspection._Clips([str(clips[0])], "auto").read(0, None)
    assert alarms == [inspection.HANG_SEC + clips[0].stat().st_size / 10]


# ---- cache ----


def test_unchanged_clips_are_not_opened_again(clips, cache, opened):
    first = facts_of(clips, cache, workers=2)
    assert len(opened) == 20
    second = facts_of(clips, cache, workers=2)
    assert len(opened) == 20
    assert second == first


def test_cache_knows_relative_paths_too(clips, cache, opened, monkeypatch):
    facts_of(clips, cache, workers=2)
    monkeypatch.chdir(clips[0].parent)
    facts_of([Path(clip.name) for clip in clips], cache, workers=2)
    assert len(opened) == 20


def test_names_that_are_not_text_are_remembered(tmp_path, cache, opened):
    clip = tmp_path / os.fsdecode(b"\xff\xe9 a.mp4")
    write_video(tmp_path / "a.mp4", FRAMES).rename(clip)
    assert facts_of([clip], cache, workers=1) == facts_of([clip], cache, workers=1)
    assert opened.paths() == [clip]


def test_changed_clip_is_opened_again(clips, cache, opened):
    facts_of(clips, cache, workers=2)
    write_video(clips[3], FRAMES[:9])
    status = clips[5].stat()
    os.utime(clips[5], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    opened.clear()
    facts = facts_of(clips, cache, workers=2)
    assert sorted(opened.paths()) == sorted([clips[3], clips[5]])
    assert facts[3].frames == 9


def test_unreadable_clip_is_tried_again(tmp_path, cache, opened, monkeypatch):
    clip = write_text_video(tmp_path / "a.mp4")
    for _ in range(2):
        (facts,) = facts_of([clip], cache, workers=1)
        assert facts.error is not None
    assert len(opened) == 2


def test_without_a_cache_nothing_is_written(clips, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    facts_of(clips, None, workers=2)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("damage", ["text", "torn", "other_table"])
def test_damaged_cache_costs_nothing_but_a_note(clips, cache, damage):
    expected = facts_of(clips, cache, workers=2)
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
    assert facts_of(clips, cache, workers=2, on_note=notes.append) == expected
    (note,) = notes
    assert str(cache) in note and note.endswith(".")
    if damage != "other_table":
        notes.clear()
        assert facts_of(clips, cache, workers=2, on_note=notes.append) == expected
        assert notes == []


def test_changed_rows_of_the_cache_are_not_believed(clips, cache, opened):
    expected = facts_of(clips, cache, workers=2)
    with sqlite3.connect(cache) as database:
        for value, frames in (("'[]'", 2), ("NULL", 3), ("replace(facts, '25.0', '26.0')", 4)):
            database.execute(
                f"UPDATE {facts_cache.TABLE} SET facts = {value} WHERE facts LIKE '[{frames},%'"
            )
        for column, frames in (("digest", 5), ("fingerprint", 6), ("scene", 7), ("checksum", 8)):
            database.execute(
                f"UPDATE {facts_cache.TABLE} SET {column} = x'00' WHERE facts LIKE '[{frames},%'"
            )
    database.close()
    opened.clear()
    assert facts_of(clips, cache, workers=2) == expected
    assert len(opened) == 14


def test_cache_in_a_folder_that_cannot_be_made_costs_nothing_but_a_note(clips, tmp_path):
    (tmp_path / "file").write_text("in the way")
    notes = []
    facts = facts_of(clips, tmp_path / "file" / "c.sqlite", workers=2, on_note=notes.append)
    assert all(clip.error is None for clip in facts)
    (note,) = notes
    assert "all clips are inspected again" in note


def test_locked_cache_costs_nothing_but_a_note(clips, cache, monkeypatch):
    facts_of(clips[:1], cache, workers=1)
    monkeypatch.setattr(facts_cache, "LOCK_WAIT_SEC", 0.05)
    other = sqlite3.connect(cache)
    other.execute("BEGIN EXCLUSIVE")
    notes = []
    facts = facts_of(clips, cache, workers=2, on_note=notes.append)
    other.close()
    assert all(clip.error is None for clip in facts)
    assert len(notes) == 1 and "locked" in notes[0]


def test_several_runs_share_a_cache(clips, cache, monkeypatch):
    monkeypatch.setattr(facts_cache, "SAVE_EVERY_CLIPS", 1)
    notes = []
    expected = facts_of(clips, None, workers=1)
    with ThreadPoolExecutor(4) as pool:
        runs = [
            pool.submit(facts_of, clips, cache, workers=2, on_note=notes.append) for _ in range(4)
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
from autox_video.data.inspection import facts_cache, inspect

plain = inspect.examine_clip
def slow(path):
    time.sleep(0.25)
    return plain(path)
inspect.examine_clip = slow
facts_cache.SAVE_EVERY_SEC = 0.1
cache, *clips = map(Path, sys.argv[1:])
try:
    inspect.inspect_clips(clips, cache, workers=2, on_done=lambda n: print(n, flush=True))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize("stopper", [signal.SIGINT, signal.SIGKILL])
def test_stopped_inspection_ends_at_once_and_keeps_what_it_found(tmp_path, cache, opened, stopper):
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
        assert time.monotonic() - sent < 1.5
    assert run.returncode == (130 if stopper == signal.SIGINT else -signal.SIGKILL)
    facts_of(clips, cache, workers=2)
    assert len(opened) <= 400 - 8


# ---- real clips ----


def test_all_real_clips_are_readable():
    paths = sorted((real_clips() / "videos").iterdir())
    found = facts_of(paths, None, workers=2)
    assert len(found) >= 200
    assert [clip.error for clip in found] == [None] * len(found)
    for clip in found:
        assert math.isclose(clip.seconds * clip.fps, clip.frames)
        assert 1.9 < clip.seconds < 2.1 and 12 <= clip.fps <= 60
    for path, clip in list(zip(paths, found, strict=True))[::40]:
        whole = decode_all(path)
        assert whole.shape == (clip.frames, clip.height, clip.width, 3)
