"""Labels of clips that belong together."""

import random

import numpy as np

from autox_video.data.splitting.groups import alone, either, join, members, same


def test_pairs_join_groups_by_their_first_clip():
    pairs = np.array([(4, 2), (5, 4), (1, 0)])
    assert join(alone(7), pairs).tolist() == [0, 0, 2, 3, 2, 2, 6]
    assert join(alone(3), np.zeros((0, 2), dtype=np.int64)).tolist() == [0, 1, 2]


def test_a_long_chain_in_any_order_is_one_group():
    pairs = [(i, i + 1) for i in range(999)]
    random.Random(0).shuffle(pairs)
    assert not join(alone(1000), np.array(pairs)).any()


def test_joining_changes_nothing_given():
    labels = alone(3)
    join(labels, np.array([(0, 2)]))
    assert labels.tolist() == [0, 1, 2]


def test_equal_keys_belong_together_and_none_to_no_other():
    assert same(["a", None, "b", "a", None]).tolist() == [0, 1, 2, 0, 4]


def test_both_is_by_the_one_or_the_other():
    one, other = same("aabbc"), same("xyyzz")
    assert either(one, other).tolist() == [0, 0, 0, 0, 0]
    assert either(one, alone(5)).tolist() == one.tolist()


def test_members_of_groups_of_two_or_more():
    found = members(same("abcab"))
    assert [group.tolist() for group in found] == [[0, 3], [1, 4]]
    assert members(alone(3)) == members(alone(0)) == []
