"""Batches in order, read ahead by worker processes."""

import faulthandler
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from autox_video.core.errors import VideoError
from autox_video.data.loading.loader import CHANCE, ClipLoader, Tolerance


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
        if harm in ("once", "hang once"):
            first = {"once": "die", "hang once": "hang"}[harm]
            harm = None if (mark := Path(self.folder, str(index))).exists() else first
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
        if harm in ("slow", "very slow"):
            time.sleep(0.05 if harm == "slow" else 0.8)
        while harm == "compute":
            pass
        out[...] = index
        return -index


def cut(places, size):
    return [places[start : start + size] for start in range(0, len(places), size)]


def read(dataset, order=None, *, batch_size=4, workers=2, limit=60.0, skip=0, **options):
    loader = ClipLoader(dataset, batch_size=batch_size, workers=workers, time_limit_sec=limit)
    try:
        batches = []
        order = list(range(len(dataset))) if order is None else order
        for loaded in loader.read(order, cut(range(skip, len(order)), batch_size), **options):
            assert loaded.items.shape == (len(loaded.indices), 2, 3)
            assert (loaded.items == np.array(loaded.indices)[:, None, None] % 256).all()
            assert loaded.values == [-index for index in loaded.indices]
            batches.append((loaded.indices, [u.position for u in loaded.unreadable]))
        return batches, dict(loader.broken)
    finally:
        loader.close()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_order(workers):
    batches, broken = read(Numbers(10, {2: "slow", 5: "slow"}), workers=workers)
    assert batches == [([0, 1, 2, 3], []), ([4, 5, 6, 7], []), ([8, 9], [])]
    assert broken == {}


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_is_missing_and_reported_where_it_stood(workers):
    batches, broken = read(Numbers(6, {1: "bad", 5: "bad"}), workers=workers, batch_size=2)
    assert batches == [([0], [1]), ([2, 3], []), ([4], [5])]
    assert broken == {1: "clip 1 is torn.", 5: "clip 5 is torn."}


@pytest.mark.parametrize("workers", [0, 2])
def test_another_clip_stands_in_and_no_other_place_moves(workers):
    order = [3, 1, 0, 4, 2, 5]
    bad = {1: "bad", 2: "bad"}
    batches, _ = read(Numbers(6, bad), order, workers=workers, batch_size=2, fill=True)
    # For place 1 that of place 4 is tried, and bad too; then that of place 5.
    assert [indices for indices, _ in batches] == [[3, 5], [0, 4], [0, 5]]
    assert [unreadable for _, unreadable in batches] == [[1, 2], [], []]


@pytest.mark.parametrize("bad", [8, 4, 7])
@pytest.mark.parametrize("workers", [0, 2])
def test_going_on_from_where_a_pass_was_left_gives_the_rest(bad, workers):
    dataset = Numbers(9, {bad: "bad"})
    order = [8, 4, 6, 2, 0, 1, 3, 5, 7]
    options = {"batch_size": 2, "fill": True, "workers": workers}
    whole, _ = read(dataset, order, **options)
    assert [len(indices) for indices, _ in whole] == [2, 2, 2, 2, 1]
    for done in range(1, 5):
        rest, _ = read(dataset, order, skip=2 * done, **options)
        assert [b[0] for b in rest] == [b[0] for b in whole[done:]]


def test_nothing_readable_ends():
    for fill in (False, True):
        batches, broken = read(Numbers(3, dict.fromkeys(range(3), "bad")), fill=fill)
        assert [indices for indices, _ in batches] == [[]]
        assert len(broken) == 3


@pytest.mark.parametrize(
    ("share", "clips", "broken"),
    [(0, 100, 0), (0.05, 9, 1), (0.05, 100, 5), (0.05, 119, 5), (1, 9, 8), (0.5, 1, 0)],
)
def test_how_many_are_tolerated(share, clips, broken):
    tolerance = Tolerance.of_share(share, clips)
    assert tolerance.broken == broken
    assert share ** (tolerance.in_a_row - 1) >= CHANCE or share in (0, 1)
    assert tolerance.in_a_row == {0.05: 7, 0.5: 30}.get(share, math.inf)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("tolerance", "tried"), [(Tolerance(3), 4), (Tolerance(40, 5), 6), (Tolerance(0), 1)]
)
def test_where_too_much_cannot_be_read_the_rest_is_not_tried(workers, tolerance, tried, tmp_path):
    """With the disk gone, each clip may take as long as the time limit."""
    dataset = Numbers(40, dict.fromkeys(range(1, 40), "bad"))
    loader = ClipLoader(dataset, batch_size=2, workers=workers)
    loader.tolerance = tolerance
    batches = list(loader.read(range(40), cut(range(40), 2), fill=True))
    loader.close()
    assert len(loader.broken) == tried and loader.gives_up
    assert [loaded.indices for loaded in batches] == [[0]]
    assert len(batches[0].unreadable) == tried


def test_a_clip_between_them_that_can_be_read_ends_a_row():
    loader = ClipLoader(
        Numbers(12, {n: "bad" for n in range(12) if n % 3}), batch_size=3, workers=0
    )
    loader.tolerance = Tolerance(in_a_row=2)
    assert len(list(loader.read(range(12), cut(range(12), 3)))) == 4
    assert len(loader.broken) == 8 and not loader.gives_up


def test_a_known_bad_clip_is_not_read_or_reported_again():
    loader = ClipLoader(Numbers(4, {1: "bad"}), batch_size=2, workers=1)
    first, second = (
        [
            (loaded.indices, len(loaded.unreadable))
            for loaded in loader.read(range(4 * e, 4 * e + 4), [[0, 1], [2, 3]])
        ]
        for e in (0, 1)
    )
    loader.close()
    assert first == [([0], 1), ([2, 3], 0)]
    assert second == [([4], 0), ([6, 7], 0)]


def test_an_abandoned_pass_does_not_disturb_the_next():
    loader = ClipLoader(Numbers(40, dict.fromkeys(range(40), "slow")), batch_size=2, workers=2)
    next(iter(loader.read(range(40), cut(range(40), 2))))
    again = [loaded.items[:, 0, 0].tolist() for loaded in loader.read(range(4), [[0, 1], [2, 3]])]
    loader.close()
    assert again == [[0, 1], [2, 3]]
