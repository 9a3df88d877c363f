"""Adapt image weights and bias tables to the attention windows of our models.

Shape letters: C channels, h heads, T, H and W time steps, rows and columns of an attention window,
N tokens per window. A bias table has one row for each offset between two tokens of a window. The
shape of a bias table is ((2T - 1) (2H - 1) (2W - 1), h), or ((2H - 1) (2W - 1), h) for images.
"""

import math
from collections.abc import Iterable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from autox_video.backbones.spec import Size
from autox_video.backbones.video_swin.windows import table_rows
from autox_video.core.errors import CheckpointError

Window = tuple[int, ...]
"""Time steps, rows and columns of a window; for images, only rows and columns."""


def window_of(rows: int, index: Tensor | None, likely: Size, *, images: bool) -> Window:
    """Infer the attention window size of a bias table.

    Args:
        rows: number of rows in the bias table.
        index: bias table row of each pair of tokens in a window, in any shape; None if unknown, in
            which case a window must be square or have the same H and W as `likely`.
        likely: window size of the model; if several window sizes match, one with the same H and W
            is preferred.
        images: whether the table is for images, whose windows have no time dimension.

    Raises:
        CheckpointError: no window size matches the table and the index.
    """
    lengths = [n for n in range(1, rows // 2 + 2) if rows % (2 * n - 1) == 0]
    spaces = product(lengths, repeat=2)
    candidates = (((rows // _num_rows(space) + 1) // 2, *space) for space in spaces)
    windows = sorted(window for window in candidates if _num_rows(window) == rows)
    if images:
        windows = [window for window in windows if window[0] == 1]
    if index is None:
        windows = [w for w in windows if w[1:] == likely[1:] or w[1] == w[2] > 1]
        windows.sort(key=lambda w: (w[0] == 1, -w[1]))  # prefer time and large spatial windows
    else:
        # The whole index is compared because the order of rows matters. Dimensions of 1 remain
        # ambiguous: (8, 1, 1) has the same index as (1, 1, 8).
        windows = [w for w in windows if math.prod(w) ** 2 == index.numel()]
        windows = [w for w in windows if torch.equal(_index_of(w), index.flatten().long().cpu())]
    if not windows:
        tokens = "" if index is None else f" and {math.isqrt(index.numel())} tokens"
        raise CheckpointError(
            f"no attention window has bias tables of {rows} rows{tokens}; use weights with "
            "unmodified bias tables."
        )
    window = min(windows, key=lambda w: w[1:] != likely[1:])
    return window[1:] if images else window


def _index_of(window: Size) -> Tensor:
    return table_rows(window, window).flatten()


def _num_rows(window: Iterable[int]) -> int:
    return math.prod(2 * length - 1 for length in window)


def inflated_patches(weight: Tensor, steps: int) -> Tensor:
    """Inflate an image patch embedding (C, 3, H, W) over time to (C, 3, steps, H, W) float32.

    The weights are scaled so that a clip of identical frames gets the same tokens as a single frame
    (Carreira & Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, section 2.4).
    """
    return weight.float()[:, :, None].repeat(1, 1, steps, 1, 1) / steps


def resized_table(table: Tensor, window: Window, target: Size) -> Tensor:
    """Resize a bias table to another window size, bicubically in space and linearly in time.

    An image table is repeated for every time offset, as in the official Video Swin. Unchanged
    dimensions are not interpolated, so resizing to the same window size keeps the exact values.

    Args:
        table: bias table (rows, h) for windows of size `window`.
        window: window size of the table, (T, H, W), or (H, W) for images.
        target: window size of the resized table.

    Returns:
        The resized bias table (rows, h) in float32.
    """
    rows, columns = (2 * length - 1 for length in window[-2:])
    grid = table.float().view(-1, rows, columns, table.shape[1]).permute(0, 3, 1, 2)
    if window[-2:] != target[1:]:
        size = [2 * length - 1 for length in target[1:]]
        grid = F.interpolate(grid, size, mode="bicubic", align_corners=False)
    grid = _stretched(grid, 2 * target[0] - 1)
    return grid.permute(0, 2, 3, 1).reshape(-1, table.shape[1])


def _stretched(grid: Tensor, count: int) -> Tensor:
    """Resample a grid linearly along the first axis to `count` points, with aligned corners."""
    if count == len(grid):
        return grid
    step = (len(grid) - 1) / (count - 1) if count > 1 else 0.0
    positions = torch.arange(count, dtype=torch.float64) - (count - 1) / 2
    positions = (positions * step + (len(grid) - 1) / 2).clamp(0, len(grid) - 1)
    before = positions.floor().long()
    after = (before + 1).clamp(max=len(grid) - 1)
    fraction = (positions - before).to(grid)[:, None, None, None]
    return grid[before].lerp(grid[after], fraction)
