"""What moves where, straight from the pixels: the structure tensor of a clip.

After Bigün and Granlund, "Optimal Orientation Detection of Linear Symmetry" (ICCV 1987), over rows,
columns and time. Its entries are products of two derivatives: they are the same for a bright thing
on dark ground and a dark one on bright ground, whatever the colours, so that a network that gets
them need not find that out from a few clips.

Shape letters: B clips, C channels, T frames, H and W rows and columns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

ENTRIES = 6
"""xx, yy, tt, xy, xt, yt; x along columns, y along rows."""
FLOOR = 0.01
"""Squared differences, in squares of the pixels' standard deviation, that are rather noise."""


def structure_tensor(x: Tensor) -> Tensor:
    """Entries over their trace, means of 3x3x3 pixels: (B, C, T, H, W) → (B, 6, T, H, W).

    Where all moves at (u, v) pixels a frame, xt = -u xx - v xy and yt = -u xy - v yy; where nothing
    changes or everything is plain, entries are about 0.
    """
    along, down, over = (_derivative(x, dim) for dim in (4, 3, 2))
    squares = [(along, along), (down, down), (over, over)]
    pairs = [*squares, (along, down), (along, over), (down, over)]
    entries = torch.stack([(first * second).sum(1) for first, second in pairs], 1) / 27
    for dim in (4, 3, 2):
        entries = _sum_of_neighbours(entries, dim)
    return entries / (entries[:, :3].sum(1, keepdim=True) + FLOOR)


def halved(x: Tensor) -> Tensor:
    """Means of 2x2 pixels; what is left at the end of an odd side counts alone."""
    return F.avg_pool3d(x, (1, 2, 2), ceil_mode=True, count_include_pad=False)


def _sum_of_neighbours(x: Tensor, dim: int) -> Tensor:
    """With both neighbours, which are 0 beyond the edges; torch's pooling takes twice as long."""
    count = x.shape[dim] - 1
    total = x.clone()
    total.narrow(dim, 1, count).add_(x.narrow(dim, 0, count))
    total.narrow(dim, 0, count).add_(x.narrow(dim, 1, count))
    return total


def _derivative(x: Tensor, dim: int) -> Tensor:
    """Mean of the differences to both neighbours; at the edges half of the one there is."""
    if x.shape[dim] == 1:
        return torch.zeros_like(x)
    step = x.diff(dim=dim)
    beyond = torch.zeros_like(x.narrow(dim, 0, 1))
    return (torch.cat([step, beyond], dim) + torch.cat([beyond, step], dim)) / 2
