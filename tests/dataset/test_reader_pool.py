"""Worker processes that crash, hang, or outlive their parent."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.dataset.test_loader import Numbers, read


@pytest.mark.parametrize("harm", ["die", "exit"])
def test_a_crash_costs_the_clip_and_nothing_else(harm):
    batches, broken = read(Numbers(12, {5: harm}), batch_size=4)
    assert [i for indices, _ in batches for i in indices] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    how = "signal 11" if harm == "die" else "exit code 3"
    assert broken == {5: f"clip 5: the process that read it died ({how}), twice."}


def test_a_worker_killed_from_outside_costs_nothing(tmp_path):
    batches, broken = read(Numbers(8, {3: "once", 4: "once"}, tmp_path))
    assert [i for indices, _ in batches for i in indices] == list(range(8))
    assert broken == {}


def test_a_hang_costs_the_clip_and_its_time_limit():
    started = time.monotonic()
    batches, broken = read(Numbers(6, {2: "hang"}), limit=0.5)
    assert time.monotonic() - started < 10
    assert [i for indices, _ in batches for i in indices] == [0, 1, 3, 4, 5]
    assert broken[2] == "clip 2: reading it took more than 0.5 s and was given up."


def test_a_defect_of_ours_is_raised_with_its_traceback():
    with pytest.raises(RuntimeError, match="a defect of ours"):
        read(Numbers(3, {1: "defect"}))


def test_workers_die_with_their_parent(tmp_path):
    code = (
        "import os, sys, time\n"
        "from tests.dataset.test_loader import Numbers\n"
        "from autox_video.dataset.loader import ClipLoader\n"
        "loader = ClipLoader(Numbers(8, {1: 'hang'}), batch_size=1, workers=2)\n"
        "next(loader.read(range(8), [[i] for i in range(8)]))\n"
        "print(*(w.process.pid for w in loader._pool.workers), flush=True)\n"
        "time.sleep(100)\n"
    )
    root = Path(__file__).parents[2]
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
