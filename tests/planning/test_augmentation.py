"""The strength of augmentation."""

import pytest

from autox_video.planning.augmentation import AUGMENTATIONS, scaled


@pytest.mark.parametrize("strengths", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_strengths_are_scaled_and_a_factor_of_one_changes_nothing(strengths):
    assert scaled(strengths, 1.0) == strengths
    assert not any(scaled(strengths, 0.0).values())
    half = {name: 4 if name == "rand_augment" else v / 2 for name, v in strengths.items()}
    assert scaled(strengths, 0.5) == half
    assert all(type(scaled(strengths, 2.0)[name]) is type(v) for name, v in strengths.items())
