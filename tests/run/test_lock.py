"""One run at a time in a work dir, with real processes."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from autox_video.core.errors import ResourceError
from autox_video.run import lock
from autox_video.run.lock import LOCK, Times, own

QUICK = Times(heartbeat=0.05, silence=0.6, patience=5.0, grace=0.5, pause=0.02)
OWNER = (
    "import os, sys, time\n"
    "from autox_video.run.lock import own\n"
    "with own(sys.argv[1]):\n"
    "    worker = os.fork() if sys.argv[2] != '0' else 1\n"
    "    if worker == 0:\n"
    "        time.sleep(float(sys.argv[2]))\n"
    "        os._exit(0)\n"
    "    print('mine', flush=True)\n"
    "    sys.stdin.read()\n"
)


@contextmanager
def owner(folder, *, worker_sec=0.0):
    """Another process that owns the folder, with a forked worker that outlives it."""
    command = [sys.executable, "-c", OWNER, str(folder), f"{worker_sec:g}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "mine\n"
        try:
            yield process
        finally:
            process.kill()


def content(folder):
    return json.loads((folder / LOCK).read_text())


def write_lock(folder, *, age_sec=0.0, **changes):
    """Leave a lock file behind as a run on another machine does."""
    named = {"pid": 7, "host": "node9", "boot": "another", "started": "2026-01-02 03:04:05"}
    (folder / LOCK).write_text(json.dumps({**named, **changes}))
    then = time.time() - age_sec
    os.utime(folder / LOCK, (then, then))


def test_the_file_names_the_owner_and_goes_with_it(tmp_path):
    with own(tmp_path):
        named = content(tmp_path)
        assert named["pid"] == os.getpid()
        assert named["host"]
        assert named["started"].startswith("20")
    assert os.listdir(tmp_path) == []


def test_a_live_owner_is_refused_in_a_sentence(tmp_path):
    with owner(tmp_path) as process:
        with pytest.raises(ResourceError) as caught, own(tmp_path):
            pass
        sentence = str(caught.value)
        assert f"process {process.pid} on {content(tmp_path)['host']}, since 20" in sentence
        assert f"kill {process.pid}" in sentence
        assert content(tmp_path)["pid"] == process.pid


def test_an_owner_that_was_killed_holds_nobody_up(tmp_path):
    with owner(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert content(tmp_path)["pid"] == process.pid
    begin = time.monotonic()
    with own(tmp_path):
        assert content(tmp_path)["pid"] == os.getpid()
    assert time.monotonic() - begin < 0.5


def test_the_workers_of_a_killed_owner_are_waited_for(tmp_path):
    with owner(tmp_path, worker_sec=0.7) as process:
        process.send_signal(signal.SIGKILL)
        # Not waited for: a process that nobody has asked after yet is dead all the same.
        with own(tmp_path, times=QUICK):
            assert content(tmp_path)["pid"] == os.getpid()
    with owner(tmp_path, worker_sec=1.5) as process:
        process.send_signal(signal.SIGKILL)
        hasty = Times(patience=0.7, grace=0.5, pause=0.02)
        with pytest.raises(ResourceError, match="has ended, but"), own(tmp_path, times=hasty):
            pass


def test_workers_that_outlive_the_end_of_a_run_hold_nothing(tmp_path):
    with owner(tmp_path, worker_sec=1) as process:
        process.communicate("")
        assert process.returncode == 0
        with own(tmp_path, times=Times(patience=0)):
            pass


def test_the_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(KeyError), own(tmp_path):
        raise KeyError
    with own(tmp_path):
        pass


def test_of_many_at_once_one_wins(tmp_path):
    program = (
        "import sys\n"
        "from autox_video.run.lock import own\n"
        "from autox_video.core.errors import ResourceError\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    with own(sys.argv[1]):\n"
        "        print('mine', flush=True)\n"
        "        sys.stdin.readline()\n"
        "except ResourceError:\n"
        "    print('refused', flush=True)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.stdout.readline() for racer in racers]
    for racer in racers:
        racer.communicate("end\n")
    assert sorted(said) == ["mine\n"] + 3 * ["refused\n"]
    assert os.listdir(tmp_path) == []


def test_another_machine_that_lives_is_refused(tmp_path):
    write_lock(tmp_path)
    over = threading.Event()

    def beat():
        while not over.wait(0.1):
            os.utime(tmp_path / LOCK)

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        named = "process 7 on node9, since 2026-01-02 03:04:05"
        with pytest.raises(ResourceError, match=named), own(tmp_path, times=QUICK):
            pass
    finally:
        over.set()
        heart.join()
    assert content(tmp_path)["pid"] == 7


def test_another_machine_that_fell_silent_is_taken_over_with_a_note(tmp_path, capsys):
    write_lock(tmp_path)
    begin = time.monotonic()
    with own(tmp_path, times=QUICK):
        assert content(tmp_path)["pid"] == os.getpid()
    assert 0.4 < time.monotonic() - begin < 3
    assert "node9" in capsys.readouterr().out
    write_lock(tmp_path, age_sec=1000)
    begin = time.monotonic()
    with own(tmp_path):
        pass
    assert time.monotonic() - begin < 0.5
    assert os.listdir(tmp_path) == []


def test_the_owner_gives_signs_of_life(tmp_path):
    with own(tmp_path, times=QUICK):
        os.utime(tmp_path / LOCK, (0, 0))
        end = time.monotonic() + 5
        while (tmp_path / LOCK).stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.02)
        assert (tmp_path / LOCK).stat().st_mtime > 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"pid": -1}', "\x00\xff", '{"pid": "x", "host": 1}', "9" * 9999],
)
def test_a_damaged_lock_of_nobody_is_no_hindrance(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    with own(tmp_path):
        assert content(tmp_path)["pid"] == os.getpid()


def test_a_damaged_lock_of_somebody_is_refused(tmp_path):
    with owner(tmp_path):
        (tmp_path / LOCK).write_text("?")
        hasty = Times(patience=0.2)
        with pytest.raises(ResourceError, match="not say which"), own(tmp_path, times=hasty):
            pass


def test_a_lock_that_is_no_file_is_a_sentence(tmp_path):
    (tmp_path / LOCK).mkdir()
    with pytest.raises(ResourceError, match=r"run\.lock: .*remove it"), own(tmp_path):
        pass
    (tmp_path / LOCK).rmdir()
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(ResourceError, match="is not a file"), own(tmp_path):
        pass
    (tmp_path / LOCK).unlink()
    (tmp_path / LOCK).symlink_to("elsewhere")
    with pytest.raises(ResourceError, match=r"run\.lock"), own(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_system_without_locks_goes_by_signs_of_life(tmp_path, monkeypatch):
    def refuse(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with own(tmp_path, times=QUICK):
        assert content(tmp_path)["pid"] == os.getpid()
        with pytest.raises(ResourceError, match="is being trained in"), own(tmp_path, times=QUICK):
            pass
    assert os.listdir(tmp_path) == []
    no_such_pid = 2**22 + 1
    write_lock(tmp_path, pid=no_such_pid, boot=lock._boot(), host=os.uname().nodename)
    begin = time.monotonic()
    with own(tmp_path, times=QUICK):
        pass
    assert time.monotonic() - begin < 0.5


def test_a_lock_on_a_file_that_its_owner_has_just_removed_counts_for_nothing(tmp_path, monkeypatch):
    flock, calls = fcntl.flock, []

    def end_just_before(handle, how):
        if not calls:
            (tmp_path / LOCK).unlink()
        calls.append(how)
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", end_just_before)
    with own(tmp_path, times=QUICK):
        assert content(tmp_path)["pid"] == os.getpid()
    assert os.listdir(tmp_path) == []
