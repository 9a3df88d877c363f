"""Folds: every clip once, classes even, groups whole, the same for the same seed."""

import numpy as np
import pytest

from autox_video.data.splitting.folds import repeated_folds

LABELS = [0] * 12 + [1] * 7 + [2] * 5


def counts(fold, labels, folds):
    """Clips of each class in each fold: (folds, classes)."""
    found = np.zeros((folds, max(labels) + 1), dtype=int)
    np.add.at(found, (fold, labels), 1)
    return found


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_classes_are_even_in_every_fold(folds):
    for fold in repeated_folds(LABELS, folds=folds, repeats=4, seed=3):
        assert np.ptp(counts(fold, LABELS, folds), axis=0).max() <= 1
        assert np.ptp(np.bincount(fold)) <= 2


def test_groups_stay_whole_and_classes_nearly_even():
    labels = [number % 3 for number in range(60) for _ in range(2)]
    groups = np.repeat(np.arange(60) * 2, 2)
    for fold in repeated_folds(labels, folds=4, repeats=3, groups=groups):
        assert all(len(set(fold[groups == group])) == 1 for group in groups)
        assert np.ptp(counts(fold, labels, 4), axis=0).max() <= 2


def test_a_group_of_several_classes_counts_for_each():
    labels, groups = [0, 1, 0, 1, 0, 1, 0, 1], np.array([0, 0, 2, 2, 4, 4, 6, 6])
    fold = repeated_folds(labels, folds=4, groups=groups)[0]
    assert counts(fold, labels, 4).tolist() == [[1, 1]] * 4


def test_the_seed_decides():
    one, again = (repeated_folds(LABELS, folds=3, repeats=2, seed=1) for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one, repeated_folds(LABELS, folds=3, repeats=2, seed=2))


def test_labels_may_be_any_numbers():
    assert np.array_equal(
        repeated_folds([5, 5, 9, 9], folds=2), repeated_folds([0, 0, 1, 1], folds=2)
    )


@pytest.mark.parametrize(("folds", "groups"), [(1, None), (4, None), (2, np.zeros(3, int))])
def test_too_few_groups(folds, groups):
    with pytest.raises(ValueError, match="cannot be split"):
        repeated_folds([0, 1, 1], folds=folds, groups=groups)
