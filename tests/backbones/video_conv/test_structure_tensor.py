"""The structure tensor of clips whose motion is known."""

import pytest
import torch
import torch.nn.functional as F

from autox_video.backbones.video_conv.structure_tensor import FLOOR, halved, structure_tensor


def texture(columns, rows):
    """Smooth in both directions, of three colours; places (...) in px → (3, ...)."""
    waves = [
        torch.sin(0.31 * columns + phase) + torch.cos(0.27 * rows - 2 * phase)
        for phase in (0.0, 1.0, 2.0)
    ]
    return torch.stack(waves)


def moving(speed, *, frames=6, side=40):
    """A texture that moves at (columns, rows) px a frame: (1, 3, T, H, W)."""
    times, rows, columns = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) for n in (frames, side, side)), indexing="ij"
    )
    return texture(columns - speed[0] * times, rows - speed[1] * times)[None]


def inner(x):
    return x[..., 2:-2, 3:-3, 3:-3]


@pytest.mark.parametrize("speed", [(0.5, 0.0), (0.0, -0.5), (-0.4, 0.3), (0.0, 0.0)])
def test_speeds_can_be_read_from_it(speed):
    xx, yy, _, xy, xt, yt = inner(structure_tensor(moving(speed))).unbind(1)
    assert torch.allclose(xt, -speed[0] * xx - speed[1] * xy, atol=0.02)
    assert torch.allclose(yt, -speed[0] * xy - speed[1] * yy, atol=0.02)
    assert xx.mean() > 0.2 and yy.mean() > 0.2


def test_colours_and_contrast_change_nothing_but_noise_is_no_motion():
    clip = moving((0.5, 0.2))
    entries = structure_tensor(clip)
    other = structure_tensor(7 - 100 * clip[:, [2, 0, 1]])
    trace = entries[:, :3].sum(1, keepdim=True)
    assert torch.allclose(inner(other), inner(entries / trace), atol=1e-3)
    assert (inner(trace) <= 1).all() and (inner(trace) > 0.5).all()
    faint = 0.02 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))
    assert structure_tensor(faint)[:, :3].sum(1).max() < 0.3


def test_entries_are_means_of_products_of_differences():
    clip = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64)
    edges = F.pad(clip, (1,) * 6, mode="replicate")
    middle = slice(1, -1)
    along = (edges[:, :, middle, middle, 2:] - edges[:, :, middle, middle, :-2]) / 2
    down = (edges[:, :, middle, 2:, middle] - edges[:, :, middle, :-2, middle]) / 2
    over = (edges[:, :, 2:, middle, middle] - edges[:, :, :-2, middle, middle]) / 2

    def mean(first, second):
        return (first * second)[1, :, 1:4, 1:4, 2:5].sum(0).mean()

    trace = mean(along, along) + mean(down, down) + mean(over, over)
    got = structure_tensor(clip)[1, :, 2, 2, 3]
    assert got[2].item() == pytest.approx((mean(over, over) / (trace + FLOOR)).item())
    assert got[3].item() == pytest.approx((mean(along, down) / (trace + FLOOR)).item())
    assert got[5].item() == pytest.approx((mean(down, over) / (trace + FLOOR)).item())


@pytest.mark.parametrize("shape", [(1, 3, 1, 8, 8), (1, 3, 4, 1, 8), (1, 3, 4, 8, 1)])
def test_a_side_of_one_has_no_derivative(shape):
    entries = structure_tensor(torch.randn(shape))
    assert entries.shape == (1, 6, *shape[2:]) and entries.isfinite().all()
    gone = {2: [2, 4, 5], 3: [1, 3, 5], 4: [0, 3, 4]}[shape.index(1, 1)]
    assert (entries[:, gone] == 0).all() and entries.abs().sum() > 0


def test_halving_takes_means_of_what_there_is():
    clip = torch.arange(15.0).view(1, 1, 1, 3, 5)
    expected = [[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]  # rows 0 1 2 3 4, 5 ... 9, 10 ... 14
    assert halved(clip).squeeze().tolist() == expected
