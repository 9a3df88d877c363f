"""Compute the structure tensor of a clip, which describes local motion.

The method follows Bigün and Granlund, "Optimal Orientation Detection of Linear Symmetry" (ICCV
1987), applied to height, width and time. The tensor entries are products of two derivatives and are
invariant to contrast polarity, so a network does not have to learn this invariance.

Shape letters: B clips, C channels, T frames, H and W height and width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

ENTRIES = 6
"""Number of tensor entries: xx, yy, tt, xy, xt and yt (x horizontal, y vertical, t time)."""
FLOOR = 0.01
"""Noise-suppressing constant added to the trace, in squared pixel standard deviations."""


def structure_tensor(x: Tensor) -> Tensor:
    """Return the structure tensor averaged over 3x3x3 pixels and divided by its trace.

    Clips (B, C, T, H, W) give tensors (B, 6, T, H, W). For a motion of (u, v) pixels per frame,
    xt = -u xx - v xy and yt = -u xy - v yy. In static areas without texture, all entries are
    close to 0.
    """
    along, down, over = (_derivative(x, dim) for dim in (4, 3, 2))
    squares = [(along, along), (down, down), (over, over)]
    pairs = [*squares, (along, down), (along, over), (down, over)]
    entries = torch.stack([(first * second).sum(1) for first, second in pairs], 1) / 27
    for dim in (4, 3, 2):
        entries = _sum_of_neighbours(entries, dim)
    return entries / (entries[:, :3].sum(1, keepdim=True) + FLOOR)


def halved(x: Tensor) -> Tensor:
    """Average blocks of 2x2 pixels; if a size is odd, average the last row or column separately."""
    return F.avg_pool3d(x, (1, 2, 2), ceil_mode=True, count_include_pad=False)


def _sum_of_neighbours(x: Tensor, dim: int) -> Tensor:
    """Return the sum of each value and its two neighbours; torch's pooling takes twice as long."""
    count = x.shape[dim] - 1
    total = x.clone()
    total.narrow(dim, 1, count).add_(x.narrow(dim, 0, count))
    total.narrow(dim, 0, count).add_(x.narrow(dim, 1, count))
    return total


def _derivative(x: Tensor, dim: int) -> Tensor:
    """Return central differences along a dimension; at the edges, half the one-sided difference."""
    if x.shape[dim] == 1:
        return torch.zeros_like(x)
    step = x.diff(dim=dim)
    beyond = torch.zeros_like(x.narrow(dim, 0, 1))
    return (torch.cat([step, beyond], dim) + torch.cat([beyond, step], dim)) / 2
