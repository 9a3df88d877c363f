"""Which packets are decoded for which times."""

import pytest

from autox_video.video.container.packet_index import PacketIndex

# Two groups of I P B B; the last two are shown before the second I, though they follow it.
STAMPS = [0, 3, 1, 2, 6, 4, 5, 7]
KEYS = [True, False, False, False, True, False, False, False]


def index(stamps=STAMPS, keys=KEYS, shown=None):
    return PacketIndex(stamps, keys, [True] * len(stamps) if shown is None else shown)


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        ([0], [(0, 1)]),
        ([2], [(0, 3)]),
        ([4], [(4, 5)]),
        ([7], [(4, 8)]),
        ([5], [(0, 6)]),  # leans on what is before its key frame
        ([0, 4], [(0, 1), (4, 5)]),
        ([3, 4], [(0, 5)]),  # the next packet anyway
        ([4, 5], [(0, 6)]),
        ([0, 4, 6], [(0, 7)]),
        ([], []),
    ],
)
def test_runs(wanted, runs):
    assert index().runs(wanted, jumps=True) == runs


def test_without_jumps_all_is_decoded_from_the_start():
    assert index().runs([0, 4, 7], jumps=False) == [(0, 8)]


def test_frames_that_are_cut_off_are_not_shown():
    found = index([-2, -1, 0, 1], [True, False, False, False], [False, False, True, True])
    assert found.is_exact
    assert found.displayed.tolist() == [2, 3]
    assert not found.shows(1) and found.shows(2)
    assert found.runs([2], jumps=True) == [(0, 3)]


@pytest.mark.parametrize(
    ("stamps", "keys", "shown"),
    [
        ([], [], []),
        ([0, 1], [False, True], [True, True]),  # nothing to start from
        ([2, 0, 1], [True, False, False], [True, True, True]),  # frames ahead of the first key
        ([0, 1], [True, False], [False, False]),
    ],
)
def test_frames_that_may_lean_on_what_is_not_there(stamps, keys, shown):
    assert not index(stamps, keys, shown).is_exact


@pytest.mark.parametrize(
    ("stamps", "shown", "do"),
    [
        ([0, 2, 1], [True] * 3, True),
        ([0, 1, 1], [True] * 3, False),
        ([0, 1, 1], [True, True, False], True),
    ],
)
def test_stamps_that_name_frames(stamps, shown, do):
    assert index(stamps, [True, False, False], shown).names_frames == do
