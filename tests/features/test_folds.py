"""Divisions for cross-validation, and intervals."""

import numpy as np
import pytest

from autox_video.features.folds import divide, repeats_for, score_interval, wilson


def one_hot(labels):
    return np.eye(max(labels) + 1)[list(labels)]


@pytest.mark.parametrize(("classes", "clips"), [(2, 50), (25, 150), (3, 7)])
def test_each_part_has_its_share_of_each_class(classes, clips):
    targets = one_hot([n % classes for n in range(clips)])
    parts = divide(targets, range(clips), folds=5)
    counts = np.stack([targets[parts == part].sum(0) for part in range(5)])
    assert (counts.max(0) - counts.min(0)).max() <= 1
    sizes = counts.sum(1)
    assert sizes.max() - sizes.min() <= 1 + classes // 5


def test_groups_stay_together():
    rng = np.random.default_rng(0)
    groups = rng.integers(40, size=200)
    targets = one_hot((groups % 4).tolist())
    parts = divide(targets, groups, seed=3)
    assert all(len(set(parts[groups == group])) == 1 for group in set(groups))
    counts = np.stack([targets[parts == part].sum(0) for part in range(5)])
    assert (counts > 0).all()


def test_seeds_divide_otherwise_and_again_alike():
    targets = one_hot([n % 3 for n in range(30)])
    one, other, again = (divide(targets, range(30), seed=seed) for seed in (0, 1, 0))
    assert (one == again).all() and (one != other).any()


def test_clips_of_several_classes_are_shared_out_too():
    targets = (np.random.default_rng(0).random((100, 4)) < 0.3).astype(float)
    parts = divide(targets, range(100))
    counts = np.stack([targets[parts == part].sum(0) for part in range(5)])
    assert (counts.max(0) - counts.min(0)).max() <= 3


def test_one_group_is_one_part():
    assert len(set(divide(one_hot([0, 1, 0, 1]), [7, 7, 7, 7]))) == 1


def test_few_clips_are_divided_more_than_once():
    assert repeats_for(150) > 1 == repeats_for(10_000)


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    # By the formula's own closed form, as in Brown, Cai & DasGupta (2001), and its ends.
    [(0.5, 10, 0.2366, 0.7634), (0.0, 20, 0.0, 0.1611), (1.0, 20, 0.8389, 1.0), (0.2, 0, 0, 1)],
)
def test_wilson(share, count, low, high):
    assert wilson(share, count) == pytest.approx((low, high), abs=1e-4)


def test_only_shares_have_that_interval():
    assert score_interval({"top1": 0.5, "clips": 10}) == wilson(0.5, 10)
    assert score_interval({"mAP": 0.5, "clips": 10}) == (None, None)
