"""Every error of the user's is one family, and prints its sentences."""

import pytest

from autox_video.core import errors

KINDS = [
    errors.InstallError,
    errors.ConfigError,
    errors.ListingError,
    errors.VideoError,
    errors.CheckpointError,
    errors.ResourceError,
]


@pytest.mark.parametrize("kind", KINDS)
def test_one_except_clause_catches_every_kind(kind):
    with pytest.raises(errors.AutoXVideoError) as caught:
        raise kind("a.txt:3: first.", "b.txt:4: second.")
    assert caught.value.problems == ("a.txt:3: first.", "b.txt:4: second.")
    assert str(caught.value) == "a.txt:3: first.\nb.txt:4: second."


def test_every_error_of_the_module_is_of_the_family():
    found = [v for v in vars(errors).values() if isinstance(v, type)]
    assert set(found) >= set(KINDS)
    assert all(issubclass(kind, errors.AutoXVideoError) for kind in found)


def test_a_defect_is_not_taken_for_a_users_mistake():
    assert not issubclass(ValueError, errors.AutoXVideoError)
    assert not issubclass(errors.AutoXVideoError, ValueError | OSError | RuntimeError)
