"""Worker processes that crash, hang, or outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autox_video.data.loading import reader_pool
from tests.data.loading.test_loader import Numbers, read


@pytest.mark.parametrize("harm", ["die", "exit"])
def test_a_crash_costs_the_clip_and_nothing_else(harm):
    batches, broken = read(Numbers(12, {5: harm}), batch_size=4)
    assert [i for indices, _ in batches for i in indices] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    how = "SIGSEGV" if harm == "die" else "exit code 3"
    assert broken == {5: f"clip 5: the decoder crashed on it twice ({how})."}


def test_a_worker_killed_from_outside_costs_nothing(tmp_path):
    batches, broken = read(Numbers(8, {3: "once", 4: "once"}, tmp_path))
    assert [i for indices, _ in batches for i in indices] == list(range(8))
    assert broken == {}


@pytest.fixture
def quick_looks(monkeypatch):
    monkeypatch.setattr(reader_pool, "_LOOK_EVERY_SEC", 0.05)


def test_a_hang_costs_the_clip_and_its_time_limit_twice(quick_looks):
    batches, broken = read(Numbers(6, {2: "hang"}), limit=0.4)
    assert [i for indices, _ in batches for i in indices] == [0, 1, 3, 4, 5]
    assert broken[2].startswith("clip 2: reading it made no progress for 0.4 s, twice")


def test_endless_computing_is_a_hang(quick_looks):
    batches, broken = read(Numbers(6, {2: "compute"}), limit=0.4)
    assert [i for indices, _ in batches for i in indices] == [0, 1, 3, 4, 5]
    assert broken == {2: "clip 2: the decoder hangs on it (CPU time limit exceeded)."}


def test_a_hang_that_passes_costs_nothing(tmp_path, quick_looks):
    batches, broken = read(Numbers(8, {3: "hang once"}, tmp_path), limit=0.4)
    assert [i for indices, _ in batches for i in indices] == list(range(8))
    assert broken == {}


def test_a_slow_disk_is_waited_for_while_it_gives_anything(quick_looks, monkeypatch):
    looks = iter(range(10**6))
    monkeypatch.setattr(reader_pool, "_progress", lambda pid: next(looks))
    batches, broken = read(Numbers(2, {0: "very slow"}), limit=0.2)
    assert [i for indices, _ in batches for i in indices] == [0, 1]
    assert broken == {}


def test_progress_is_told_by_what_a_process_does():
    before = reader_pool._progress(os.getpid())
    sum(range(3_000_000))
    Path(__file__).read_bytes()
    assert reader_pool._progress(os.getpid()) != before
    assert reader_pool._progress(2**30) is None


def test_a_pause_of_the_machine_costs_no_clip(monkeypatch, quick_looks):
    """The clock jumps by hours while clips are read, as where a container was paused."""
    jumps = iter(range(0, 10**9, 3600))
    monkeypatch.setattr(reader_pool.time, "monotonic", lambda: float(next(jumps)))
    dataset = Numbers(6, dict.fromkeys(range(6), "slow"))
    batches, broken = read(dataset, batch_size=2, limit=60.0)
    assert [i for indices, _ in batches for i in indices] == list(range(6))
    assert broken == {}


@pytest.mark.slow
def test_a_process_that_was_stopped_costs_no_clip(tmp_path):
    """The whole group is stopped for longer than the time limit, and goes on."""
    code = (
        "import sys, time\n"
        "from tests.data.loading.test_loader import Numbers, read\n"
        "from autox_video.data.loading import reader_pool\n"
        "reader_pool._LOOK_EVERY_SEC = 0.05\n"
        "print('ready', flush=True)\n"
        "harm = dict.fromkeys(range(30), 'slow')\n"
        "batches, broken = read(Numbers(30, harm), batch_size=2, limit=0.6)\n"
        "print(sum(len(indices) for indices, _ in batches), len(broken))\n"
    )
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    time.sleep(0.3)
    everybody = [process.pid, *children(process.pid)]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1.0)
    os.kill(process.pid, signal.SIGCONT)  # its workers a moment later
    time.sleep(0.3)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    assert process.communicate(timeout=30)[0] == "30 0\n"
    assert len(everybody) == 3


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_defect_of_ours_is_raised_with_its_traceback():
    with pytest.raises(RuntimeError, match="a defect of ours"):
        read(Numbers(3, {1: "defect"}))


def test_workers_die_with_their_parent(tmp_path):
    code = (
        "import os, sys, time\n"
        "from tests.data.loading.test_loader import Numbers\n"
        "from autox_video.data.loading.loader import ClipLoader\n"
        "loader = ClipLoader(Numbers(8, {1: 'hang'}), batch_size=1, workers=2)\n"
        "next(loader.read(range(8), [[i] for i in range(8)]))\n"
        "print(*(w.process.pid for w in loader._pool.workers), flush=True)\n"
        "time.sleep(100)\n"
    )
    root = Path(__file__).parents[3]
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True
    )
    pids = list(map(int, parent.stdout.readline().split()))
    assert len(pids) == 2 and all(Path(f"/proc/{pid}").exists() for pid in pids)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in pids)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
