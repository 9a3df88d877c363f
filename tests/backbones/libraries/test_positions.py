import pytest
import torch

from autox_video.backbones.libraries.positions import resized_grid


def test_positions_of_the_same_size_are_the_same():
    positions = torch.randn(1, 17, 3)
    assert resized_grid(positions, torch.empty(1, 17, 3), prefix=1) is positions


@pytest.mark.parametrize("prefix", [0, 1])
def test_rows_and_columns_keep_their_order_and_the_prefix_stays(prefix):
    ramp = torch.arange(8.0)
    grid = torch.cat([torch.full((prefix, 1), 99.0), (ramp[:, None] + 10 * ramp).view(64, 1)])
    larger = resized_grid(grid, torch.empty(256 + prefix, 1), prefix=prefix)
    assert larger[:prefix].tolist() == [[99.0]] * prefix
    larger, expected = larger[prefix:].view(16, 16), torch.arange(16) / 2 - 0.25
    torch.testing.assert_close(larger, expected[:, None] + 10 * expected, rtol=0, atol=3.0)
    assert (larger.diff(dim=0) >= 0).all() and (larger.diff(dim=1) > 0).all()


def test_times_are_interpolated():
    times = torch.arange(8.0).view(1, 8, 1)
    found = resized_grid(times, torch.empty(1, 4, 1), dims=1)
    assert found.flatten().tolist() == [0.5, 2.5, 4.5, 6.5]
