"""Reading by worker processes: order, and what breaks."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from autox_video.dataset.loader import ClipLoader
from autox_video.errors import VideoError


class Numbers:
    """Items that hold their own index; some misbehave, on the first tries or always."""

    item_shape = (2, 3)

    def __init__(self, size, harm=None, folder=None):
        self.size = size
        self.harm = harm or {}
        self.folder = folder

    def __len__(self):
        return self.size

    def name(self, index):
        return f"clip {index % self.size}"

    def read(self, index, out):
        harm = self.harm.get(index % self.size)
        if harm == "once":
            harm = None if (mark := Path(self.folder, str(index))).exists() else "die"
            mark.touch()
        if harm == "bad":
            raise VideoError(f"clip {index % self.size} is torn.")
        if harm == "die":
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV)
        if harm == "exit":
            os._exit(3)
        if harm == "hang":
            time.sleep(1000)
        if harm == "defect":
            raise ValueError("a defect of ours")
        if harm == "slow":
            time.sleep(0.05)
        out[...] = index


def read(dataset, order=None, *, batch_size=4, workers=2, limit=60.0, **options):
    loader = ClipLoader(dataset, batch_size=batch_size, workers=workers, time_limit_sec=limit)
    try:
        batches = []
        order = list(range(len(dataset))) if order is None else order
        for loaded in loader.read(order, **options):
            assert loaded.items.shape == (len(loaded.indices), 2, 3)
            assert (loaded.items == np.array(loaded.indices)[:, None, None] % 256).all()
            batches.append((loaded.indices, [u.position for u in loaded.unreadable], loaded.taken))
        return batches, dict(loader.broken)
    finally:
        loader.close()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_order(workers):
    batches, broken = read(Numbers(10, {2: "slow", 5: "slow"}), workers=workers)
    assert batches == [([0, 1, 2, 3], [], 4), ([4, 5, 6, 7], [], 8), ([8, 9], [], 10)]
    assert broken == {}


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_is_reported_where_it_stood(workers):
    batches, broken = read(Numbers(6, {1: "bad", 5: "bad"}), workers=workers, batch_size=2)
    assert batches == [([0, 2], [1], 3), ([3, 4], [], 5), ([], [5], 6)]
    assert broken == {1: "clip 1 is torn.", 5: "clip 5 is torn."}


@pytest.mark.parametrize("workers", [0, 2])
def test_filling_takes_the_next_of_the_order_and_goes_round(workers):
    order = [3, 1, 0, 4, 2]
    batches, _ = read(
        Numbers(5, {1: "bad", 2: "bad"}), order, workers=workers, batch_size=2, fill=True
    )
    assert [indices for indices, _, _ in batches] == [[3, 0], [4, 3], [0]]
    assert [unreadable for _, unreadable, _ in batches] == [[1], [2], []]


def test_going_on_from_where_a_pass_was_left_gives_the_rest():
    dataset = Numbers(9, {4: "bad"})
    order = [8, 4, 6, 2, 0, 1, 3, 5, 7]
    whole, _ = read(dataset, order, batch_size=3, fill=True)
    taken = whole[0][2]
    rest, _ = read(dataset, order, batch_size=3, fill=True, skip=taken)
    assert whole[1][0] == rest[0][0]


def test_nothing_readable_ends():
    for fill in (False, True):
        batches, broken = read(Numbers(3, dict.fromkeys(range(3), "bad")), fill=fill)
        assert [indices for indices, _, _ in batches] == [[]]
        assert len(broken) == 3


def test_a_known_bad_clip_is_not_read_or_reported_again():
    loader = ClipLoader(Numbers(4, {1: "bad"}), batch_size=2, workers=1)
    first, second = (
        [
            (loaded.indices, len(loaded.unreadable))
            for loaded in loader.read(range(4 * e, 4 * e + 4))
        ]
        for e in (0, 1)
    )
    loader.close()
    assert first == [([0, 2], 1), ([3], 0)]
    assert second == [([4, 6], 0), ([7], 0)]


@pytest.mark.parametrize("harm", ["die", "exit"])
def test_a_crash_costs_the_clip_and_nothing_else(harm):
    batches, broken = read(Numbers(12, {5: harm}), batch_size=4)
    assert [i for indices, _, _ in batches for i in indices] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    how = "signal 11" if harm == "die" else "exit code 3"
    assert broken == {5: f"clip 5: the process that read it died ({how}), twice."}


def test_a_worker_killed_from_outside_costs_nothing(tmp_path):
    batches, broken = read(Numbers(8, {3: "once", 4: "once"}, tmp_path))
    assert [i for indices, _, _ in batches for i in indices] == list(range(8))
    assert broken == {}


def test_a_hang_costs_the_clip_and_its_time_limit():
    started = time.monotonic()
    batches, broken = read(Numbers(6, {2: "hang"}), limit=0.5)
    assert time.monotonic() - started < 10
    assert [i for indices, _, _ in batches for i in indices] == [0, 1, 3, 4, 5]
    assert broken[2] == "clip 2: reading it took more than 0.5 s and was given up."


def test_a_defect_of_ours_is_raised_with_its_traceback():
    with pytest.raises(RuntimeError, match="a defect of ours"):
        read(Numbers(3, {1: "defect"}))


def test_an_abandoned_pass_does_not_disturb_the_next():
    loader = ClipLoader(Numbers(40, dict.fromkeys(range(40), "slow")), batch_size=2, workers=2)
    next(iter(loader.read(range(40))))
    again = [loaded.items[:, 0, 0].tolist() for loaded in loader.read(range(4))]
    loader.close()
    assert again == [[0, 1], [2, 3]]


def test_workers_die_with_their_parent(tmp_path):
    code = (
        "import os, sys, time\n"
        "from tests.dataset.test_loader import Numbers\n"
        "from autox_video.dataset.loader import ClipLoader\n"
        "loader = ClipLoader(Numbers(8, {1: 'hang'}), batch_size=1, workers=2)\n"
        "next(loader.read(range(8)))\n"
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
