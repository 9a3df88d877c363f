"""Divide a (T, H, W) token map into attention windows with relative offsets and masks.

The windows are cached for each combination of map size, window size, shift, dtype and device.

Shape letters: B clips, C channels, T, H and W time steps, rows and columns of the token map,
L = T H W tokens in the map, G windows, N tokens per window.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from autox_video.backbones.spec import Size

APART = -100.0
"""Published mask value for tokens that share a window only because of the cyclic shift."""


@dataclass(frozen=True, eq=False, slots=True)
class Windows:
    """The shifted or unshifted windows of a token map."""

    slots: Tensor
    """Token index of each slot in each window, (G N,) int64; L marks padding."""
    back: Tensor
    """Slot index of each token, counted over all windows, (L,) int64."""
    offsets: Tensor
    """Bias table row for each pair of slots in a window, (N N,) int64."""
    mask: Tensor | None
    """Mask (G, 1, N, N) added to the logits; None without a cyclic shift."""
    num_tokens: int
    """Number of tokens per window."""

    def gather(self, x: Tensor) -> Tensor:
        """Gather tokens (B, L, C) into zero-padded windows (B, G N, C)."""
        return _Reorder.apply(x, self.slots, self.back)

    def scatter(self, x: Tensor) -> Tensor:
        """Scatter windows (B, G N, C) back to tokens (B, L, C)."""
        return _Reorder.apply(x, self.back, self.slots)


class _Reorder(torch.autograd.Function):
    """Reorder rows by unique indices; an index past the last row selects a row of zeros.

    The backward pass uses the inverse order, which is faster than autograd's scatter-add.
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
    """Return the windows of a token map; windows are clipped to the size of the map.

    Args:
        size: time steps, rows and columns of the token map.
        full: window size before clipping, which determines the size of the bias tables.
        shifted: whether windows are cyclically shifted by half a window.
        dtype: dtype of the mask.
        device: device of the returned tensors.
    """
    window = tuple(map(min, size, full))
    shift = tuple(w // 2 if shifted and w < s else 0 for s, w in zip(size, window, strict=True))
    padded = tuple(-(-s // w) * w for s, w in zip(size, window, strict=True))
    # The cached tensors are reused in training, where inference tensors are not allowed.
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
    """Return the bias table row for each pair of tokens in a window, (N, N) int64.

    Args:
        window: size of the window, at most `full`.
        full: window size (T, H, W) of the bias table, which has (2 T - 1) (2 H - 1) (2 W - 1) rows.
    """
    rows = torch.zeros(1, 1, dtype=torch.int64)
    for w, f in zip(window, full, strict=True):
        along = torch.arange(w)
        along = along[:, None] - along + f - 1
        rows = rows[:, None, :, None] * (2 * f - 1) + along[:, None, :]
        rows = rows.flatten(0, 1).flatten(1)
    return rows


def _mask(padded: Size, window: Size, shift: Size) -> Tensor:
    """Return a mask (G, 1, N, N) that is `APART` for tokens from opposite ends of the map."""
    region = torch.zeros((), dtype=torch.int64)
    for length, w, s in zip(padded, window, shift, strict=True):
        along = torch.arange(length)
        end = (along >= length - w).long() + (along >= length - s) if s else along * 0
        region = region[..., None] * 3 + end
    regions = _partition(region, window)
    return APART * (regions[:, None, None] != regions[:, None, :, None])


def _partition(values: Tensor, window: Size) -> Tensor:
    """Partition values (T, H, W) into windows (G, N)."""
    counts = [length // w for length, w in zip(values.shape, window, strict=True)]
    split = values.reshape([n for pair in zip(counts, window, strict=True) for n in pair])
    return split.permute(0, 2, 4, 1, 3, 5).reshape(-1, math.prod(window))
