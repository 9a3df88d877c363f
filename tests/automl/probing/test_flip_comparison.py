"""Flips that help, and flips that change the class."""

import pytest
import torch

from autox_video.automl.probing.crossval import make_folds
from autox_video.automl.probing.flip_comparison import compare
from autox_video.automl.probing.samples import Samples, TooSlowError
from autox_video.tasks.task import TASKS

CLIPS = 120


def samples_of(flipped, spread=0.7):
    """Four classes by the signs of two channels; `flipped` makes the mean of a flipped clip."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(CLIPS) % 4
    plain = torch.stack([labels % 2 * 2.0 - 1, labels // 2 * 2.0 - 1], 1)
    views = torch.stack([plain, flipped(plain)], 1)
    noise = spread * torch.randn(CLIPS, 2, 2, generator=draw)
    return Samples((views + noise)[:, :, None].half(), torch.eye(4)[labels], TASKS["single_label"])


def compared(flipped, **options):
    samples = samples_of(flipped, **options)
    return compare(samples, make_folds(samples, range(CLIPS)))


def test_images_of_another_class_are_harmful():
    found = compared(lambda plain: plain * torch.tensor([-1.0, 1.0]))
    assert found.harms
    assert found.without.score > 0.75 and found.with_flips.score < found.without.score - 0.1
    lost = (found.without.right - found.with_flips.right).mean()
    assert lost == pytest.approx(found.without.score - found.with_flips.score, abs=1e-6)


def test_images_of_the_same_class_are_not():
    found = compared(lambda plain: plain)
    assert not found.harms and found.with_flips.score > 0.75


def test_where_nothing_can_be_told_nothing_is_said():
    assert not compared(lambda plain: -plain, spread=30.0).harms


def test_it_may_take_too_long():
    samples = samples_of(lambda plain: plain)
    with pytest.raises(TooSlowError):
        compare(samples, make_folds(samples, range(CLIPS)), seconds=0.0)
