"""Compute the structure tensor of a clip, which describes local motion, directly from its pixels.

This follows Bigün and Granlund, "Optimal Orientation Detection of Linear Symmetry" (ICCV 1987),
over height, width and time. The entries are products of two derivatives and do not depend on
contrast polarity or colours, so a network need not learn this invariance from a few clips.

Shape letters: B clips, C channels, T frames, H and W height and width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

ENTRIES = 6
"""The number of entries: xx, yy, tt, xy, xt and yt, where x is horizontal and y vertical."""
FLOOR = 0.01
"""Squared differences below this are mostly noise (unit: squared pixel standard deviations)."""


def structure_tensor(x: Tensor) -> Tensor:
    """Return the tensor averaged over 3x3x3 pixels and divided by its trace, (B, 6, T, H, W).

    The clips x have the shape (B, C, T, H, W). For a motion of (u, v) pixels per frame,
    xt = -u xx - v xy and yt = -u xy - v yy. Static areas without texture have entries of about 0.
    """
    along, down, over = (_derivative(x, dim) for dim in (4, 3, 2))
    squares = [(along, along), (down, down), (over, over)]
    pairs = [*squares, (along, down), (along, over), (down, over)]
    entries = torch.stack([(first * second).sum(1) for first, second in pairs], 1) / 27
    for dim in (4, 3, 2):
        entries = _sum_of_neighbours(entries, dim)
    return entries / (entries[:, :3].sum(1, keepdim=True) + FLOOR)


def halved(x: Tensor) -> Tensor:
    """Return means of 2x2 pixels; the last row or column of an odd size is averaged separately."""
    return F.avg_pool3d(x, (1, 2, 2), ceil_mode=True, count_include_pad=False)


def _sum_of_neighbours(x: Tensor, dim: int) -> Tensor:
    """Return the sum of each value and its two neighbours, twice as fast as torch's pooling."""
    count = x.shape[dim] - 1
    total = x.clone()
    total.narrow(dim, 1, count).add_(x.narrow(dim, 0, count))
    total.narrow(dim, 0, count).add_(x.narrow(dim, 1, count))
    return total


def _derivative(x: Tensor, dim: int) -> Tensor:
    """Return the mean difference to both neighbours; at edges, half of the only difference."""
    if x.shape[dim] == 1:
        return torch.zeros_like(x)
    step = x.diff(dim=dim)
    beyond = torch.zeros_like(x.narrow(dim, 0, 1))
    return (torch.cat([step, beyond], dim) + torch.cat([beyond, step], dim)) / 2
