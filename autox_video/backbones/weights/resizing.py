"""Weights of images and of other attention windows in the shapes of our models.

Shape letters: C channels, h heads, T, H, W time steps, rows and columns of an attention window,
N tokens of it. A bias table has a row per offset within a window: ((2T - 1) (2H - 1) (2W - 1), h),
that of an image ((2H - 1) (2W - 1), h).
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
"""Time steps, rows and columns; of images rows and columns."""


def window_of(rows: int, index: Tensor | None, likely: Size, *, images: bool) -> Window:
    """The attention window that a bias table is made for.

    Args:
        rows: how many the table has.
        index: the row for each two tokens of a window, N * N in any shape; None: not known. Then
            the window is square, unless it can have `likely`'s H and W.
        likely: the window of the model; where several fit, one with its H and W is taken.
        images: whether a window has no time steps.

    Raises:
        CheckpointError: no window has such a table and such an index.
    """
    lengths = [n for n in range(1, rows // 2 + 2) if rows % (2 * n - 1) == 0]
    spaces = product(lengths, repeat=2)
    candidates = (((rows // _num_rows(space) + 1) // 2, *space) for space in spaces)
    windows = sorted(window for window in candidates if _num_rows(window) == rows)
    if images:
        windows = [window for window in windows if window[0] == 1]
    if index is None:
        windows = [w for w in windows if w[1:] == likely[1:] or w[1] == w[2] > 1]
        windows.sort(key=lambda w: (w[0] == 1, -w[1]))  # with time, and large in space
    else:
        # The whole index is compared: rows in another order would be another table. A length of 1
        # leaves no trace in it: (8, 1, 1) has that of (1, 1, 8).
        windows = [w for w in windows if math.prod(w) ** 2 == index.numel()]
        windows = [w for w in windows if torch.equal(_index_of(w), index.flatten().long().cpu())]
    if not windows:
        tokens = "" if index is None else f" and {math.isqrt(index.numel())} tokens"
        raise CheckpointError(
            f"no attention window has bias tables of {rows} rows{tokens}; use weights whose bias "
            "tables are as they were published."
        )
    window = min(windows, key=lambda w: w[1:] != likely[1:])
    return window[1:] if images else window


def _index_of(window: Size) -> Tensor:
    return table_rows(window, window).flatten()


def _num_rows(window: Iterable[int]) -> int:
    return math.prod(2 * length - 1 for length in window)


def inflated_patches(weight: Tensor, steps: int) -> Tensor:
    """The patch embedding of images over time: (C, 3, H, W) → (C, 3, steps, H, W) float32.

    A clip that stands still gets the tokens of its frame (Carreira & Zisserman, "Quo Vadis, Action
    Recognition?", CVPR 2017, section 2.4).
    """
    return weight.float()[:, :, None].repeat(1, 1, steps, 1, 1) / steps


def resized_table(table: Tensor, window: Window, target: Size) -> Tensor:
    """A bias table for another window: bicubic over space, then linear over time.

    The table of an image is repeated for every offset in time, as in the official Video Swin. What
    needs no change is not touched: for the same window the values are the same bit by bit.

    Args:
        table: (rows of `window`, h).
        window: what the table is for: T, H and W, or of images H and W.
        target: what it shall be for.

    Returns:
        (rows of `target`, h) float32.
    """
    rows, columns = (2 * length - 1 for length in window[-2:])
    grid = table.float().view(-1, rows, columns, table.shape[1]).permute(0, 3, 1, 2)
    if window[-2:] != target[1:]:
        size = [2 * length - 1 for length in target[1:]]
        grid = F.interpolate(grid, size, mode="bicubic", align_corners=False)
    grid = _stretched(grid, 2 * target[0] - 1)
    return grid.permute(0, 2, 3, 1).reshape(-1, table.shape[1])


def _stretched(grid: Tensor, count: int) -> Tensor:
    """Sample (n, ...) along its first axis at `count` even places: middle to middle, end to end."""
    if count == len(grid):
        return grid
    step = (len(grid) - 1) / (count - 1) if count > 1 else 0.0
    positions = torch.arange(count, dtype=torch.float64) - (count - 1) / 2
    positions = (positions * step + (len(grid) - 1) / 2).clamp(0, len(grid) - 1)
    before = positions.floor().long()
    after = (before + 1).clamp(max=len(grid) - 1)
    fraction = (positions - before).to(grid)[:, None, None, None]
    return grid[before].lerp(grid[after], fraction)
