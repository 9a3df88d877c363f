"""Processes that open clips: what takes them along is named, what stops them stops them at once."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from autox_video.data.inspection import opening_process
from autox_video.data.inspection.clip_facts import examine_clip
from autox_video.data.inspection.opening_process import OpeningProcess
from tests.videos import numbered_frames, write_text_video, write_video

# What a clip does is in its name; a process hangs after half a second here.
ACTING = """
import ctypes, os, signal, sys, time
from autox_video.data.inspection import opening_process
from autox_video.data.inspection.clip_facts import examine_clip

opening_process.HANG_SEC = 0.5

def examine(path):
    name = os.path.basename(path)
    if name.startswith("crash"):
        ctypes.string_at(0)
    if name.startswith("hang"):
        # Inside of C, where Python gets no turn.
        ctypes.PyDLL(None).sleep(60)
    if name.startswith("compute"):
        while True:
            pass
    if name.startswith("once"):  # it goes wrong the first time
        if not os.path.exists(path + ".tried"):
            open(path + ".tried", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("stop"):  # as by a pause of the machine
        os.kill(os.getpid(), signal.SIGSTOP)
    if name.startswith("exit"):
        os._exit(3)
    if name.startswith("print"):
        os.system("echo noise")
        print("more noise", flush=True)
    if name.startswith("defect"):
        raise KeyError("a defect")
    return examine_clip(path)

opening_process.serve(examine)
"""


@pytest.fixture
def process(monkeypatch):
    monkeypatch.setattr(opening_process, "_PROGRAM", ACTING)
    monkeypatch.setattr(opening_process, "HANG_SEC", 0.5)
    monkeypatch.setattr(opening_process, "LOOK_EVERY_SEC", 0.05)
    monkeypatch.setattr(opening_process, "IDLE_LOOKS", 8)
    process = OpeningProcess()
    yield process
    process.close()


@pytest.fixture
def clip(tmp_path):
    """Give a function that makes a clip of this many frames under a name."""

    def make(name, frames=3):
        return str(write_video(tmp_path / f"{name}.mp4", numbered_frames(frames)))

    return make


def test_clips_are_examined_in_their_order(process, clip, tmp_path):
    paths = [clip("a", 3), str(write_text_video(tmp_path / "t.mp4")), clip("b", 7)]
    assert list(process.examine(paths)) == [examine_clip(path) for path in paths]
    assert list(process.examine([])) == []


def test_names_that_are_not_text_pass(process, clip, tmp_path):
    path = str(tmp_path / os.fsdecode(b"\xff a.mp4"))
    os.rename(clip("a"), path)
    (found,) = process.examine([path])
    assert found.facts.frames == 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crash", "the decoder crashes on it (SIGSEGV)."),
        ("exit", "the decoder crashes on it (exit code 3)."),
        ("hang", opening_process._SILENCE),
        ("compute", "the decoder hangs on it (it computes for 0.5 s or more)."),
    ],
)
def test_what_takes_the_process_along_is_named_and_the_next_clip_read(process, clip, name, reason):
    paths = [clip("a"), clip(name), clip("b"), clip(f"{name} again")]
    found = list(process.examine(paths))
    assert [one.facts.error for one in found] == [None, reason, None, reason]
    assert [one.facts.frames for one in process.examine(paths[:1])] == [3]


def test_what_goes_wrong_once_is_tried_again(process, clip):
    found = list(process.examine([clip("a"), clip("once"), clip("once more"), clip("b")]))
    assert [one.facts.error for one in found] == [None] * 4


def test_a_pause_makes_no_clip_unreadable(process, clip):
    paths = [clip("a"), clip("stop"), clip("b")]
    looks, plain = [], opening_process._progress

    def look(pid):
        looks.append(plain(pid))
        if len(looks) == 30:  # many times as long as a hang may take
            os.kill(pid, signal.SIGCONT)
        return looks[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening_process, "_progress", look)
        found = list(process.examine(paths))
    assert [one.facts.error for one in found] == [None] * 3
    assert len(looks) >= 30


def test_a_pause_of_both_sides_counts_as_one_look(process, clip, monkeypatch):
    class Paused:
        """A connection whose waiting takes however long: what counts is how often."""

        waits = 0

        def poll(self, seconds):
            self.waits += 1
            return self.waits > 7

        def recv(self):
            return "answer", b""

    process._answers, process._process = Paused(), type("Process", (), {"pid": 0})()
    assert process._answer() == ("answer", b"")
    process._process = None


@pytest.mark.parametrize(("reads", "is_over"), [(True, False), (False, True)])
def test_a_slow_disk_is_waited_for_while_it_gives_anything(process, monkeypatch, reads, is_over):
    looks = iter(range(1000))
    monkeypatch.setattr(opening_process, "_progress", lambda pid: next(looks) if reads else 0)
    waits = []

    class Slow:
        def poll(self, seconds):
            waits.append(seconds)
            return len(waits) > 100

        def recv(self):
            return "answer", b""

    class Process:
        pid = 0

        def kill(self):
            waits.append("killed")

    process._answers, process._process = Slow(), Process()
    try:
        process._answer()
    except opening_process._HangsError:
        assert is_over and waits[-1] == "killed" and len(waits) == 10
    else:
        assert not is_over
    process._process = None


def test_progress_is_told_by_what_a_process_does():
    mine = opening_process._progress(os.getpid())
    sum(range(3_000_000))
    Path(__file__).read_bytes()
    assert opening_process._progress(os.getpid()) != mine
    assert opening_process._progress(2**30) is None


def test_noise_on_stdout_comes_between_no_answers(process, clip):
    found = list(process.examine([clip("print"), clip("a")]))
    assert [one.facts.frames for one in found] == [3, 3]


def test_process_that_ended_while_it_waited_blames_no_clip(process, clip):
    path = clip("a")
    list(process.examine([path]))
    process._process.kill()
    process._process.wait()
    (found,) = process.examine([path])
    assert found.facts.error is None


def test_large_clip_may_take_longer(process, clip, monkeypatch):
    alarms = []

    def set_timer(which, seconds):
        assert which == signal.ITIMER_PROF  # which counts computing, not the time of day
        alarms.append(seconds)

    monkeypatch.setattr(signal, "setitimer", set_timer)
    monkeypatch.setattr(opening_process, "READ_BYTES_PER_SEC", 10.0)
    path = clip("a")
    opening_process._examine_in_time(path, examine_clip)
    assert alarms == [0.5 + Path(path).stat().st_size / 10, 0]


def test_defect_comes_with_its_traceback(process, clip):
    with pytest.raises(RuntimeError, match="KeyError: 'a defect'"):
        list(process.examine([clip("defect")]))


def test_stopped_from_another_thread_it_ends_at_once(process, clip, monkeypatch):
    monkeypatch.setattr(opening_process, "_PROGRAM", ACTING.replace("= 0.5", "= 60"))
    begin = time.monotonic()
    threading.Timer(1.0, process.stop).start()
    assert len(list(process.examine([clip("a"), clip("hang"), clip("b")]))) == 1
    assert time.monotonic() - begin < 10
    assert list(process.examine([clip("a")])) == []


def test_process_that_does_not_start_is_a_defect(process, clip, monkeypatch):
    monkeypatch.setattr(opening_process, "_PROGRAM", "raise SystemExit(5)")
    with pytest.raises(RuntimeError, match="does not start"):
        list(process.examine([clip("a")]))


def test_process_ends_with_the_run(process, clip):
    list(process.examine([clip("a")]))
    child = process._process
    child.stdin.close()
    assert child.wait(timeout=10) == 0
