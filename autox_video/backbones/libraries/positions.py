"""Position embeddings of one clip size for another.

Shape letters: L positions, C channels.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def resized_grid(published: Tensor, wanted: Tensor, *, dims: int = 2, prefix: int = 0) -> Tensor:
    """Return positions (..., L, C) of a line or a square grid, interpolated to another size.

    Args:
        published: the positions of the published size.
        wanted: positions of the size that is wanted; only their shape matters.
        dims: 1 for positions in time (linear), 2 for a square grid (bicubic).
        prefix: number of leading positions outside of the grid, which are kept.
    """
    if published.shape == wanted.shape:
        return published
    length, channels = wanted.shape[-2:]
    first, grid = published.reshape(-1, channels).split([prefix, published.shape[-2] - prefix])
    sides, size = (
        [round((n - prefix) ** (1 / dims))] * dims for n in (published.shape[-2], length)
    )
    grid = grid.T.unflatten(1, sides)[None]
    grid = interpolate(grid, size, mode="bicubic" if dims == 2 else "linear")
    return torch.cat([first, grid[0].flatten(1).T]).view(wanted.shape)
