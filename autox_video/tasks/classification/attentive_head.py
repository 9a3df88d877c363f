"""A classification head with attentive pooling over the feature map.

The head has learned queries, like the attentive probes of V-JEPA (Bardes et al., 2024, arXiv
2404.08471, section 4). Unlike the V-JEPA probes, the head also learns an attention bias for each
position, so that the order of events matters.

Shape letters: B clips, C channels, N tokens, M queries; a feature map has T time steps, H rows and
W columns.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from autox_video.backbones.spec import Size
from autox_video.tasks.classification.head import ClipHead


def pooled_tokens(features: Tensor, grid: Size) -> Tensor:
    """Return the mean over a feature map, followed by the mean over each cell of a grid.

    Args:
        features: feature maps (B, C, T, H, W).
        grid: number of cells along time, height and width; their product is N.

    Returns:
        Tokens (B, 1 + N, C) float32: the mean over the feature map, then the cells in time order.
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
    """Return the weights (length, cells) with which positions are averaged into cells.

    The cells are the same as in torch's adaptive average pooling, which is not used because its
    gradient is not deterministic on GPUs.
    """
    with torch.inference_mode(False), torch.no_grad():
        cell, place = torch.arange(cells), torch.arange(length)[:, None]
        first, end = cell * length // cells, -(-(cell + 1) * length // cells)
        return (((place >= first) & (place < end)) / (end - first)).to(device)


def pool(tokens: Tensor, query: Tensor, place: Tensor) -> Tensor:
    """Return the mean over the feature map, followed by the attention output of each query.

    Args:
        tokens: tokens as returned by `pooled_tokens`.
        query: queries (M, C).
        place: position biases (M, N), which are added to the attention logits.

    Returns:
        Features (B, (1 + M)*C), one vector per clip.
    """
    cells = tokens[:, 1:]
    weights = (torch.einsum("mc,bnc->bmn", query, cells) + place).softmax(-1)
    return torch.cat([tokens[:, :1], weights @ cells], dim=1).flatten(1)


@MODELS.register_module()
class AttentiveClipHead(ClipHead):
    """A ClipHead applied to the mean of a feature map and the attention outputs of learned queries.

    Args:
        num_classes: number of classes.
        in_channels: number of channels of the feature map.
        grid: number of cells to attend over along time, height and width.
        queries: number of queries.
        options: further arguments of ClipHead.
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
        """Return logits (B, classes) from features (B, C, T, H, W)."""
        found = pool(pooled_tokens(x, self.grid), self.query, self.place)
        return self.fc_cls(found if self.dropout is None else self.dropout(found))
