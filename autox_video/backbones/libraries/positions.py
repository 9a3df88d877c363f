"""Resize position embeddings to another clip size.

Shape letters: L positions, C channels.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def resized_grid(published: Tensor, wanted: Tensor, *, dims: int = 2, prefix: int = 0) -> Tensor:
    """Interpolate position embeddings (..., L, C) of a line or a square grid to another size.

    Args:
        published: position embeddings of the published model.
        wanted: tensor whose shape the result will have; its values are ignored.
        dims: 1 for time steps (linear interpolation), 2 for a square grid (bicubic interpolation).
        prefix: number of leading embeddings to keep, such as a class token's, that lie outside the
            grid.
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
