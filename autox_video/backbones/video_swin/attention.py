"""Window attention with the fastest kernel for the device and dtype.

Shape letters: K windows in all clips, G windows in one clip (K is a multiple of G), N tokens per
window, h heads, D channels per head.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

LN_2 = math.log(2)
CHUNK_BYTES = 4 * 2**20
"""Bytes of attention weights per chunk and core, chosen to fit in a core's cache."""
FEW_ROWS = 5
SAFE_SUMS = (2.0**-60, 2.0**60)
"""Range of softmax denominators that is safe in both float32 and bfloat16."""


def attend(qkv: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(query keyᵀ / √D + bias + mask) value, of shape (K, N, h, D).

    Args:
        qkv: query, key and value of each token, (K, N, 3, h, D).
        bias: bias added to the logits of every window, (h, N, N), in the dtype of `qkv`.
        mask: mask added to the logits of each window of a clip, (G, 1, N, N), or None.
    """
    training = torch.is_grad_enabled() and (qkv.requires_grad or bias.requires_grad)
    if in_chunks(qkv, training=training) and not torch.compiler.is_compiling():
        return _Chunked.apply(qkv, bias, mask)
    return _fused(qkv, bias, mask)


def in_chunks(qkv: Tensor, *, training: bool) -> bool:
    """Whether `_Chunked` is faster than torch's fused kernel.

    The choice is based on benchmarks/attention.py, with results in benchmarks/RESULTS.md.
    """
    return qkv.device.type == "cpu" and (training or qkv.dtype == torch.bfloat16)


def _fused(qkv: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    """Use torch's fused kernel; with a mask, a clip's windows are passed as additional heads."""
    windows, tokens, _, heads, channels = qkv.shape
    query, key, value = (part.transpose(1, 2) for part in qkv.unbind(2))
    added = bias[None]
    if mask is not None:
        together = (-1, len(mask) * heads, tokens, channels)
        query, key, value = (part.reshape(together) for part in (query, key, value))
        added = (bias + mask).view(1, -1, tokens, tokens)
    mixed = F.scaled_dot_product_attention(query, key, value, added)
    return mixed.reshape(windows, heads, tokens, channels).transpose(1, 2)


class _Chunked(torch.autograd.Function):
    """CPU attention that processes only as many windows at a time as fit into the cache.

    The attention weights are saved for the backward pass. torch's fused kernel does not save them,
    but on a CPU the fused kernel has no backward pass for a learned bias.
    """

    @staticmethod
    def forward(ctx, qkv: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
        windows, tokens, _, heads, channels = qkv.shape
        mixed = qkv.new_empty(windows, tokens, heads, channels)
        # The logits are in base 2, because torch's exp2 is four times as fast as its softmax.
        added = bias[None] / LN_2
        if mask is not None:
            added = torch.add(added, mask, alpha=1 / LN_2)
        saved = []
        for start, end in _chunks(qkv, len(added)):
            query, key, value = _by_head(qkv[start:end])
            of_chunk = added[start % len(added) :][: end - start]
            weights, sums = _exponentials(query.mul_(channels**-0.5 / LN_2), key, of_chunk)
            if any(ctx.needs_input_grad):
                saved.append(weights.div_(sums))
                values = torch.bmm(weights, value)
            else:
                values = torch.bmm(weights, value).div_(sums)
            mixed[start:end] = _by_token(values, heads)
        ctx.save_for_backward(qkv, *saved)
        ctx.num_added, ctx.bias_shape = len(added), bias.shape
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        qkv, *saved = ctx.saved_tensors
        heads, channels = qkv.shape[3:]
        grad_qkv = torch.empty_like(qkv)
        grad_bias = torch.zeros(ctx.bias_shape)  # float32 because it is summed over all windows
        for (start, end), weights in zip(_chunks(qkv, ctx.num_added), saved, strict=True):
            query, key, value = _by_head(qkv[start:end])
            query.mul_(channels**-0.5)
            (out,) = _by_head(grad[start:end, :, None])
            parts = grad_qkv[start:end]
            parts[:, :, 2] = _by_token(torch.bmm(weights.transpose(1, 2), out), heads)
            grad_weights = torch.bmm(out, value.transpose(1, 2))
            logits = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            parts[:, :, 0] = _by_token(torch.bmm(logits, key).mul_(channels**-0.5), heads)
            parts[:, :, 1] = _by_token(torch.bmm(logits.transpose(1, 2), query), heads)
            _add_rows(grad_bias.view(-1), logits.view(end - start, -1))
        return grad_qkv, grad_bias.to(qkv.dtype), None


def _exponentials(query: Tensor, key: Tensor, added: Tensor) -> tuple[Tensor, Tensor]:
    """Return softmax numerators (k h, N, N), as powers of 2, and denominators (k h, N, 1).

    Subtracting the maximum needs another pass over the logits, so the maximum is subtracted only if
    the sums show a risk of overflow or underflow.
    """
    powers = _logits(query, key, added).exp2_()
    sums = powers.sum(-1, keepdim=True)
    least, most = torch.aminmax(sums)
    # The range of float16, 2^-24 to 2^16, is always too small.
    if powers.dtype == torch.float16 or not (SAFE_SUMS[0] < least and most < SAFE_SUMS[1]):
        powers = _logits(query, key, added)
        powers.sub_(powers.amax(-1, keepdim=True)).exp2_()
        sums = powers.sum(-1, keepdim=True)
    return powers, sums


def _logits(query: Tensor, key: Tensor, added: Tensor) -> Tensor:
    """Return the logits (k h, N, N) of query and key (k h, N, D), with bias and mask added."""
    logits = torch.bmm(query, key.transpose(1, 2))
    logits.view(-1, *added.shape).add_(added)
    return logits


def _add_rows(total: Tensor, rows: Tensor) -> None:
    """Add the sum of rows (k, n) to a float32 total (n,) in place.

    Many rows are summed by a matrix product with ones, and few rows are added one by one. Both
    methods are several times as fast as torch's sum over the first dimension
    (benchmarks/attention.py, 32 frames).
    """
    if len(rows) > FEW_ROWS:
        total += (rows.new_ones(1, len(rows)) @ rows)[0]
    else:
        for row in rows:
            total += row


def _chunks(qkv: Tensor, period: int) -> list[tuple[int, int]]:
    """Return the ranges (start, end) of windows to process together.

    A range covers whole clips or part of one clip. The bias and mask repeat every `period` windows.
    """
    windows, tokens, _, heads, _ = qkv.shape
    room = CHUNK_BYTES * torch.get_num_threads()
    length = max(1, room // (heads * tokens * tokens * qkv.element_size()))
    if length >= period:
        length = length // period * period
        period = windows
    return [
        (first + start, first + min(start + length, period))
        for first in range(0, windows, period)
        for start in range(0, period, length)
    ]


def _by_head(parts: Tensor) -> list[Tensor]:
    """Split (k, N, parts, h, D) into parts and return a copy (k h, N, D) of each."""
    heads_first = (part.transpose(1, 2) for part in parts.unbind(2))
    return [part.clone(memory_format=torch.contiguous_format).flatten(0, 1) for part in heads_first]


def _by_token(values: Tensor, heads: int) -> Tensor:
    """Return a view (k, N, h, D) of values (k h, N, D)."""
    return values.view(-1, heads, *values.shape[1:]).transpose(1, 2)
