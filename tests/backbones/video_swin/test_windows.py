import itertools

import pytest
import torch

from autox_video.backbones.video_swin.windows import make_windows, table_rows

CPU, FULL = torch.device("cpu"), (4, 3, 3)
SIZES = [(4, 6, 6), (5, 7, 8), (2, 9, 3), (1, 1, 1), (9, 2, 4)]


def windows_of(size, *, shifted, full=FULL):
    return make_windows(size, full, shifted=shifted, dtype=torch.float32, device=CPU)


@pytest.mark.parametrize("window", [(4, 3, 3), (2, 3, 3), (4, 2, 3), (4, 3, 2), (1, 2, 1)])
def test_the_row_depends_only_on_the_offset_between_two_tokens(window):
    rows = table_rows(window, FULL)
    offsets = torch.arange(7 * 5 * 5).view(7, 5, 5)
    tokens = list(itertools.product(*map(range, window)))
    for (i, first), (j, second) in itertools.product(enumerate(tokens), repeat=2):
        place = tuple(a - b + full - 1 for a, b, full in zip(first, second, FULL, strict=True))
        assert rows[i, j] == offsets[place]


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_every_token_has_one_place_and_comes_back(size, shifted):
    windows = windows_of(size, shifted=shifted)
    num_tokens = size[0] * size[1] * size[2]
    x = torch.randn(2, num_tokens, 3)
    placed = windows.gather(x)
    assert placed.shape[1] % windows.num_tokens == 0
    assert torch.equal(windows.scatter(placed), x)
    real = windows.slots < num_tokens
    assert sorted(windows.slots[real].tolist()) == list(range(num_tokens))
    assert (placed[:, ~real] == 0).all()


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_gradients_take_the_way_back(size, shifted):
    windows = windows_of(size, shifted=shifted)
    num_tokens = size[0] * size[1] * size[2]
    x = torch.randn(2, num_tokens, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(windows.gather, x)
    places = torch.randn(2, len(windows.slots), 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(windows.scatter, places)


def test_tokens_of_an_unshifted_window_are_neighbours():
    windows = windows_of((4, 6, 6), shifted=False)
    first = windows.slots[: windows.num_tokens].tolist()
    expected = [t * 36 + h * 6 + w for t, h, w in itertools.product(range(4), range(3), range(3))]
    assert first == expected
    assert windows.mask is None


def test_a_shift_parts_what_was_not_together():
    """One dimension: places 1 2 | 3 0 of a map of 4, windows of 2, shifted by 1."""
    windows = windows_of((4, 1, 1), shifted=True, full=(2, 1, 1))
    assert windows.slots.tolist() == [1, 2, 3, 0]
    assert windows.mask[0, 0].tolist() == [[0, 0], [0, 0]]
    assert windows.mask[1, 0].tolist() == [[0, -100], [-100, 0]]


def test_a_dimension_of_one_window_is_not_shifted():
    assert windows_of((4, 3, 2), shifted=True).mask is None
    assert torch.equal(
        windows_of((4, 3, 2), shifted=True).slots, windows_of((4, 3, 2), shifted=False).slots
    )


def test_the_same_geometry_is_computed_once():
    assert windows_of((5, 7, 8), shifted=True) is windows_of((5, 7, 8), shifted=True)
