"""One run at a time in a work dir, with real processes."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from filelock import SoftFileLease

from autox_video.core.errors import ResourceError
from autox_video.run.lock import locked
from autox_video.run.work_dir import LOCK

QUICK = {"heartbeat_sec": 0.05, "silence_sec": 0.6, "grace_sec": 0.5}
OWNER = (
    "import os, sys, time\n"
    "from autox_video.run.lock import locked\n"
    "with locked(sys.argv[1]):\n"
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


def holder(folder):
    return SoftFileLease(folder / LOCK).owner


def write_lock(folder, *, pid=7, host="node9"):
    """Leave a lock file behind as a run on another machine does."""
    lines = ["filelock/2", f"pid={pid}", f"host={host}", "mode=lease", "token=ab"]
    lines.append(f"duration={QUICK['silence_sec']!r}")
    (folder / LOCK).write_text("\n".join([*lines, ""]))
    assert holder(folder).pid == pid


def test_the_file_names_the_owner_and_goes_with_it(tmp_path):
    with locked(tmp_path):
        assert holder(tmp_path).pid == os.getpid()
    assert os.listdir(tmp_path) == []


def test_a_live_owner_is_refused_in_a_sentence(tmp_path):
    with owner(tmp_path) as process:
        with pytest.raises(ResourceError) as caught, locked(tmp_path):
            pass
        sentence = str(caught.value)
        assert f"process {process.pid} on {socket.gethostname()} is training there" in sentence
        assert f"kill {process.pid}" in sentence
        assert holder(tmp_path).pid == process.pid


@pytest.mark.parametrize("worker_sec", [0.0, 1.0])
def test_an_owner_that_was_killed_holds_nobody_up(tmp_path, worker_sec):
    with owner(tmp_path, worker_sec=worker_sec) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert holder(tmp_path).pid == process.pid
    with locked(tmp_path, grace_sec=0.5):
        assert holder(tmp_path).pid == os.getpid()


def test_a_killed_owner_that_nobody_has_asked_after_is_dead_all_the_same(tmp_path):
    with locked(tmp_path):
        host = holder(tmp_path).hostname
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    write_lock(tmp_path, pid=process.pid, host=host)
    with locked(tmp_path, **QUICK):
        assert holder(tmp_path).pid == os.getpid()
    process.wait()


def test_workers_that_outlive_the_end_of_a_run_hold_nothing(tmp_path):
    with owner(tmp_path, worker_sec=1) as process:
        process.communicate("")
        assert process.returncode == 0
        with locked(tmp_path, grace_sec=0):
            pass


def test_the_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path):
        pass


@pytest.mark.slow
def test_of_many_at_once_one_wins(tmp_path):
    program = (
        "import sys\n"
        "from autox_video.run.lock import locked\n"
        "from autox_video.core.errors import ResourceError\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    with locked(sys.argv[1]):\n"
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
        with (
            pytest.raises(ResourceError, match="process 7 on node9"),
            locked(tmp_path, **QUICK),
        ):
            pass
    finally:
        over.set()
        heart.join()
    assert holder(tmp_path).pid == 7


def test_another_machine_that_fell_silent_is_taken_over_with_a_note(tmp_path, capsys):
    write_lock(tmp_path)
    with locked(tmp_path, **QUICK):
        assert holder(tmp_path).pid == os.getpid()
    said = capsys.readouterr().out.splitlines()
    assert "Waiting up to" in said[0] and "node9 no longer responds" in said[1]
    assert os.listdir(tmp_path) == []


def test_the_owner_gives_signs_of_life(tmp_path):
    with locked(tmp_path, **QUICK):
        os.utime(tmp_path / LOCK, (0, 0))
        end = time.monotonic() + 5
        while (tmp_path / LOCK).stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.02)
        assert (tmp_path / LOCK).stat().st_mtime > 1


def test_an_owner_whose_lock_was_taken_is_told(tmp_path, capsys):
    with locked(tmp_path, **QUICK):
        (tmp_path / LOCK).unlink()
        write_lock(tmp_path)
        end, said = time.monotonic() + 5, ""
        while "has lost its lock" not in said and time.monotonic() < end:
            time.sleep(0.02)
            said += capsys.readouterr().err
    assert "has lost its lock" in said
    assert holder(tmp_path).pid == 7


@pytest.mark.parametrize("text", ["", "{", '{"pid": 1, "host": "x"}', "\x00\xff", "9" * 9999])
@pytest.mark.slow
def test_a_damaged_lock_of_nobody_is_no_hindrance(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    with locked(tmp_path, **QUICK):
        assert holder(tmp_path).pid == os.getpid()


@pytest.mark.parametrize("make", ["mkdir", "mkfifo", "symlink"])
def test_a_lock_that_is_no_file_is_a_sentence(tmp_path, make):
    path = tmp_path / LOCK
    {"mkdir": os.mkdir, "mkfifo": os.mkfifo, "symlink": lambda p: os.symlink("x", p)}[make](path)
    with pytest.raises(ResourceError, match="is not a file. Remove it"), locked(tmp_path):
        pass
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    sentence = r"run\.lock: cannot create the lock file"
    with pytest.raises(ResourceError, match=sentence), locked(tmp_path / "file"):
        pass


def test_a_file_system_without_locks_goes_by_signs_of_life(tmp_path, monkeypatch):
    def refuse(handle, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path, **QUICK):
        assert holder(tmp_path).pid == os.getpid()
        with (
            pytest.raises(ResourceError, match="is in use"),
            locked(tmp_path, **QUICK),
        ):
            pass
    assert os.listdir(tmp_path) == []
