"""Attention windows over a (T, H, W) map of tokens: who is in which window, where and beside whom.

All of it follows from sizes alone and is computed once per geometry, type and device.

Shape letters: B clips, C channels, T, H, W time steps, rows and columns of the map, L = T H W;
G windows, N tokens of a window.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from autox_video.backbones.spec import Size

APART = -100.0
"""Added to the logit of two tokens that only a cyclic shift brought together, as published."""


@dataclass(frozen=True, eq=False, slots=True)
class Windows:
    """The windows of one map of tokens, shifted or not."""

    slots: Tensor
    """The token in each place of each window, (G N) int64; L where there is none: padding."""
    back: Tensor
    """The place of each token among the windows' G N, (L) int64."""
    offsets: Tensor
    """The row of the bias table for each two places of a window, (N N) int64."""
    mask: Tensor | None
    """Added to the logits, (G, 1, N, N); None where no window holds tokens from afar."""
    num_tokens: int
    """N."""

    def gather(self, x: Tensor) -> Tensor:
        """Tokens to the places of the windows: (B, L, C) → (B, G N, C), zeros where is no token."""
        return _Reorder.apply(x, self.slots, self.back)

    def scatter(self, x: Tensor) -> Tensor:
        """Places of the windows back to tokens: (B, G N, C) → (B, L, C)."""
        return _Reorder.apply(x, self.back, self.slots)


class _Reorder(torch.autograd.Function):
    """Pick rows by an order in which each appears once; an index past the last picks zeros.

    The gradient takes the way back by the inverse order: it picks where autograd would add up.
    """

    @staticmethod
    def forward(ctx, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return _pick(x, order, len(inverse))

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        order, inverse = ctx.saved_tensors
        return _pick(grad, inverse, len(order)), None, None


def _pick(x: Tensor, order: Tensor, num_rows: int) -> Tensor:
    if len(order) > num_rows:
        x = F.pad(x, (0, 0, 0, 1))
    return x.index_select(1, order)


@lru_cache(maxsize=64)
def make_windows(
    size: Size, full: Size, *, shifted: bool, dtype: torch.dtype, device: torch.device
) -> Windows:
    """Lay windows over a map; as published, a dimension no larger than its window is one window.

    Args:
        size: of the map.
        full: the window size that the bias tables are made for.
        shifted: whether the windows are moved by half a window, cyclically.
        dtype: number type of the mask.
        device: where the tensors go.
    """
    window = tuple(map(min, size, full))
    shift = tuple(w // 2 if shifted and w < s else 0 for s, w in zip(size, window, strict=True))
    padded = tuple(-(-s // w) * w for s, w in zip(size, window, strict=True))
    # Kept for later training steps too, where tensors made in inference mode must not appear.
    with torch.inference_mode(False), torch.no_grad():
        num_tokens = math.prod(size)
        tokens = torch.full(padded, num_tokens)
        tokens[: size[0], : size[1], : size[2]] = torch.arange(num_tokens).view(size)
        slots = _partition(tokens.roll([-s for s in shift], (0, 1, 2)), window).flatten()
        back = torch.empty(num_tokens + 1, dtype=torch.int64)
        back[slots] = torch.arange(len(slots))
        mask = _mask(padded, window, shift).to(device, dtype) if any(shift) else None
        offsets = table_rows(window, full).flatten()
        num_places = math.prod(window)
        return Windows(slots.to(device), back[:-1].to(device), offsets.to(device), mask, num_places)


def table_rows(window: Size, full: Size) -> Tensor:
    """The row of a bias table for each two tokens of a window: (N, N) int64, by their offset.

    Args:
        window: size of the window, at most `full`.
        full: the window that the table is made for: (2 T - 1) (2 H - 1) (2 W - 1) rows.
    """
    rows = torch.zeros(1, 1, dtype=torch.int64)
    for w, f in zip(window, full, strict=True):
        along = torch.arange(w)
        along = along[:, None] - along + f - 1
        rows = rows[:, None, :, None] * (2 * f - 1) + along[:, None, :]
        rows = rows.flatten(0, 1).flatten(1)
    return rows


def _mask(padded: Size, window: Size, shift: Size) -> Tensor:
    """`APART` for two tokens of a window that come from different ends: (G, 1, N, N)."""
    region = torch.zeros((), dtype=torch.int64)
    for length, w, s in zip(padded, window, shift, strict=True):
        along = torch.arange(length)
        end = (along >= length - w).long() + (along >= length - s) if s else along * 0
        region = region[..., None] * 3 + end
    regions = _partition(region, window)
    return APART * (regions[:, None, None] != regions[:, None, :, None])


def _partition(values: Tensor, window: Size) -> Tensor:
    """(T, H, W) → (G, N)."""
    counts = [length // w for length, w in zip(values.shape, window, strict=True)]
    split = values.reshape([n for pair in zip(counts, window, strict=True) for n in pair])
    return split.permute(0, 2, 4, 1, 3, 5).reshape(-1, math.prod(window))
