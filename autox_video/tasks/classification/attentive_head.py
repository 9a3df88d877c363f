"""A head that attends over the feature map before it classifies (attentive pooling).

As the probes of V-JEPA (Bardes et al., 2024, arXiv 2404.08471, section 4) it has learnt queries;
unlike them each token has a learnt bias for its place, so that the order of events counts.

Shape letters: B clips, C channels, T, H and W time steps, rows and columns of a feature map,
N tokens, M queries.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from autox_video.backbones.spec import Size
from autox_video.tasks.classification.head import ClipHead


def pooled_tokens(features: Tensor, grid: Size) -> Tensor:
    """The mean of a feature map and its means over the cells of a grid, time step by time step.

    Args:
        features: (B, C, T, H, W).
        grid: cells over time, rows and columns; N of them.

    Returns:
        (B, 1 + N, C) float32: the mean over the whole map first.
    """
    features = features.float()
    mean = features.mean(dim=(2, 3, 4))[:, None]
    cells = features
    for dim, count in enumerate(grid, start=2):
        shares = _shares(cells.shape[dim], count, cells.device)
        cells = (cells.movedim(dim, -1) @ shares).movedim(-1, dim)
    return torch.cat([mean, cells.flatten(2).transpose(1, 2)], dim=1)


@lru_cache(maxsize=64)
def _shares(length: int, cells: int, device: torch.device) -> Tensor:
    """The share of each of `length` places in the mean of each cell, (length, cells).

    The cells are those of torch's adaptive pooling, whose gradient on a GPU is not the same twice.
    """
    with torch.inference_mode(False), torch.no_grad():
        cell, place = torch.arange(cells), torch.arange(length)[:, None]
        first, end = cell * length // cells, -(-(cell + 1) * length // cells)
        return (((place >= first) & (place < end)) / (end - first)).to(device)


def pool(tokens: Tensor, query: Tensor, place: Tensor) -> Tensor:
    """What each query finds among the tokens, beside the mean over the map.

    Args:
        tokens: as `pooled_tokens` gives them.
        query: (M, C).
        place: (M, N), added to the logits of the attention.

    Returns:
        (B, (1 + M) * C).
    """
    cells = tokens[:, 1:]
    weights = (torch.einsum("mc,bnc->bmn", query, cells) + place).softmax(-1)
    return torch.cat([tokens[:, :1], weights @ cells], dim=1).flatten(1)


@MODELS.register_module()
class AttentiveClipHead(ClipHead):
    """ClipHead over what learnt queries find in the feature map, and its mean.

    Args:
        num_classes: of the data.
        in_channels: C of the feature map.
        grid: cells over time, rows and columns that are attended over.
        queries: how many of them.
        options: of ClipHead.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        grid: Sequence[int],
        queries: int = 4,
        **options,
    ) -> None:
        super().__init__(num_classes, in_channels, **options)
        self.grid = tuple(grid)
        cells = self.grid[0] * self.grid[1] * self.grid[2]
        self.query = nn.Parameter(torch.randn(queries, in_channels) * in_channels**-0.5)
        self.place = nn.Parameter(torch.zeros(queries, cells))
        self.fc_cls = nn.Linear((1 + queries) * in_channels, num_classes)

    def forward(self, x: Tensor, **kwargs) -> Tensor:
        """(B, C, T, H, W) → logits (B, classes)."""
        found = pool(pooled_tokens(x, self.grid), self.query, self.place)
        return self.fc_cls(found if self.dropout is None else self.dropout(found))
