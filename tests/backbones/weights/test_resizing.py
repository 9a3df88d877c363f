import numpy as np
import pytest
import torch
from mmaction.models.backbones.swin import WindowAttention3D
from torchvision.models.swin_transformer import ShiftedWindowAttention
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

from autox_video.backbones.weights.resizing import inflated_patches, resized_table, window_of
from autox_video.core.errors import CheckpointError

USUAL = (8, 7, 7)


def num_rows(window):
    return int(np.prod([2 * n - 1 for n in window]))


def index_of(window):
    """The index as torchvision computes it."""
    attention = ShiftedWindowAttention if len(window) == 2 else ShiftedWindowAttention3d
    return attention(4, list(window), [0] * len(window), 1).relative_position_index


@pytest.mark.parametrize(
    "window",
    [(8, 7, 7), (16, 7, 7), (4, 3, 3), (7, 8, 7), (7, 7, 8), (2, 3, 4), (4, 3, 2), (1, 5, 5),
     (1, 1, 1), (7, 7), (12, 12), (3, 5), (5, 3), (24, 24)],
)  # fmt: skip
def test_the_index_of_a_file_tells_its_window(window):
    found = window_of(num_rows(window), index_of(window), USUAL, images=len(window) == 2)
    assert found == window


def test_an_index_of_several_windows_is_of_the_likely_one():
    assert window_of(15, index_of((8, 1, 1)), (4, 1, 1), images=False) == (8, 1, 1)


def test_the_index_of_mmaction2_tells_the_window_too():
    index = WindowAttention3D(4, (3, 2, 5), 1).relative_position_index
    assert window_of(num_rows((3, 2, 5)), index, USUAL, images=False) == (3, 2, 5)


@pytest.mark.parametrize(
    ("rows", "likely", "images", "expected"),
    [
        (15 * 13 * 13, (8, 7, 7), False, (8, 7, 7)),
        (31 * 13 * 13, (8, 7, 7), False, (16, 7, 7)),
        (15 * 13 * 13, (4, 3, 3), False, (8, 7, 7)),
        (15 * 23 * 23, (8, 7, 7), False, (8, 12, 12)),
        (31 * 23 * 23, (8, 7, 7), False, (16, 12, 12)),
        # 81 rows of 9 offsets over time, or of none: the model's own space decides.
        (9 * 9 * 9, (8, 5, 5), False, (5, 5, 5)),
        (9 * 9 * 9, (8, 2, 2), False, (41, 2, 2)),
        (63 * 13 * 13, (8, 7, 7), False, (32, 7, 7)),
        (13 * 13, (8, 7, 7), False, (1, 7, 7)),
        (5 * 3 * 7, (8, 2, 4), False, (3, 2, 4)),
        (13 * 13, (8, 7, 7), True, (7, 7)),
        (13 * 13, (8, 3, 3), True, (7, 7)),
        (23 * 23, (8, 7, 7), True, (12, 12)),
        (3 * 7, (8, 2, 4), True, (2, 4)),
    ],
)
def test_without_an_index_the_rows_tell_the_window(rows, likely, images, expected):
    assert window_of(rows, None, likely, images=images) == expected


@pytest.mark.parametrize(
    ("rows", "index", "images"),
    [
        (2536, None, False),
        (0, None, False),
        (11, None, False),
        (170, None, True),
        (3 * 13 * 13, None, True),
        (num_rows((8, 7, 7)), index_of((16, 7, 7)), False),
        (num_rows((8, 7, 7)), index_of((8, 7, 7)).flip(0), False),
        (num_rows((7, 7)), index_of((8, 7, 7)), True),
        (num_rows((7, 7)), torch.zeros(0), True),
    ],
)
def test_a_table_of_no_window_is_refused(rows, index, images):
    with pytest.raises(CheckpointError, match=f"no attention window has bias tables of {rows} r"):
        window_of(rows, index, USUAL, images=images)


def test_still_clips_get_the_tokens_of_their_frame():
    torch.manual_seed(0)
    weight, patch = torch.randn(6, 3, 4, 4), torch.randn(3, 4, 4)
    inflated = inflated_patches(weight, 2)
    assert inflated.shape == (6, 3, 2, 4, 4)
    of_image = torch.einsum("cihw,ihw->c", weight, patch)
    of_clip = torch.einsum("cithw,ihw->c", inflated, patch)
    assert torch.allclose(of_clip, of_image, atol=1e-5)
    assert torch.equal(inflated[:, :, 0], weight / 2)
    assert torch.equal(inflated[:, :, 1], weight / 2)


def random_table(window, heads=3):
    torch.manual_seed(len(window))
    return torch.randn(num_rows(window), heads)


@pytest.mark.parametrize("window", [(8, 7, 7), (1, 3, 3), (2, 3, 5)])
def test_the_same_window_keeps_every_bit(window):
    table = random_table(window)
    assert torch.equal(resized_table(table, window, window), table)


@pytest.mark.parametrize("steps", [1, 8])
def test_the_table_of_an_image_is_repeated_for_every_offset_in_time(steps):
    table = random_table((7, 7))
    resized = resized_table(table, (7, 7), (steps, 7, 7))
    assert torch.equal(resized.view(2 * steps - 1, 169, 3), table.expand(2 * steps - 1, 169, 3))


def cubic_matrix(old, new):
    """Weights of each old value in each new one: Keys' cubic with a = -0.75, ends repeated."""
    matrix = np.zeros((new, old))
    for row in range(new):
        place = (row + 0.5) * old / new - 0.5
        for tap in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            x = abs(place - tap)
            near = 1.25 * x**3 - 2.25 * x**2 + 1
            far = -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
            matrix[row, min(max(tap, 0), old - 1)] += near if x <= 1 else far
    return matrix


def linear_matrix(old, new):
    """The same between the two nearest, first on first and last on last."""
    places = np.linspace(0, old - 1, new) if new > 1 else np.array([(old - 1) / 2])
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)))


@pytest.mark.parametrize(
    ("window", "target"),
    [
        ((16, 7, 7), (8, 7, 7)),
        ((8, 7, 7), (16, 7, 7)),
        ((8, 12, 12), (8, 7, 7)),
        ((4, 3, 5), (7, 6, 2)),
        ((2, 3, 3), (1, 2, 4)),
        ((1, 3, 3), (4, 3, 3)),
        ((12, 12), (8, 7, 7)),
        ((7, 7), (3, 12, 5)),
    ],
)
def test_resizing_is_bicubic_over_space_and_linear_over_time(window, target):
    table = random_table(window)
    old = [2 * n - 1 for n in ((1, *window) if len(window) == 2 else window)]
    new = [2 * n - 1 for n in target]
    time, rows, columns = (
        make(o, n)
        for make, o, n in zip((linear_matrix, cubic_matrix, cubic_matrix), old, new, strict=True)
    )
    grid = table.double().numpy().reshape(*old, 3)
    expected = np.einsum("at,br,dc,trch->abdh", time, rows, columns, grid).reshape(-1, 3)
    resized = resized_table(table, window, target)
    assert resized.dtype == torch.float32
    assert np.abs(resized.numpy() - expected).max() < 1e-5


@pytest.mark.parametrize(("old", "new"), [(16, 8), (8, 16), (8, 5), (3, 1), (1, 4)])
def test_over_time_alone_space_is_untouched(old, new):
    pattern = random_table((7, 7))
    still = pattern.repeat(2 * old - 1, 1)
    resized = resized_table(still, (old, 7, 7), (new, 7, 7))
    assert torch.equal(resized, pattern.repeat(2 * new - 1, 1))


@pytest.mark.parametrize(("old", "new"), [(16, 8), (8, 16), (5, 3), (2, 7)])
def test_over_time_a_slope_stays_a_slope(old, new):
    """From -1 at the earliest offset to 1 at the latest, 0 at the same time."""
    slope = torch.linspace(-1, 1, 2 * old - 1).repeat_interleave(25)[:, None]
    resized = resized_table(slope, (old, 3, 3), (new, 3, 3))
    expected = torch.linspace(-1, 1, 2 * new - 1).repeat_interleave(25)[:, None]
    assert torch.allclose(resized, expected, atol=1e-6)


def test_the_offset_of_no_time_stays_itself():
    table = random_table((8, 3, 3)).view(15, 25, 3)
    resized = resized_table(table.flatten(0, 1), (8, 3, 3), (5, 3, 3)).view(9, 25, 3)
    assert torch.equal(resized[4], table[7])


def test_half_precision_is_resized_in_float32():
    table = random_table((12, 12)).half()
    resized = resized_table(table, (12, 12), (2, 7, 7))
    assert torch.equal(resized, resized_table(table.float(), (12, 12), (2, 7, 7)))
