"""Video Swin written out plainly: no windows are cut out, every token looks at the whole map.

Which tokens see each other, and with what bias, is decided pair by pair from their coordinates.
Slow, and exact in float64.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def features(state: dict[str, Tensor], clip: Tensor, *, depths, num_heads, full) -> Tensor:
    """What a Video Swin with patches (2, 4, 4) gives: (3, T, H, W) → (C, T', H', W').

    Args:
        state: its weights, by mmaction2's names.
        clip: the frames.
        depths: blocks per stage.
        num_heads: heads per stage.
        full: the window size.
    """
    clip = _pad(clip, (2, 4, 4))
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    x = F.conv3d(clip[None], weight, bias, stride=(2, 4, 4))[0].permute(1, 2, 3, 0)
    x = _norm(x, state, "patch_embed.norm")
    for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
        for index in range(depth):
            name = f"layers.{stage}.blocks.{index}"
            normed = _norm(x, state, f"{name}.norm1")
            x = x + _attention(
                normed, state, f"{name}.attn", heads=heads, full=full, shifted=index % 2 == 1
            )
            hidden = F.gelu(_linear(_norm(x, state, f"{name}.norm2"), state, f"{name}.mlp.fc1"))
            x = x + _linear(hidden, state, f"{name}.mlp.fc2")
        if stage + 1 < len(depths):
            x = _merge(x, state, f"layers.{stage}.downsample")
    return _norm(x, state, f"norm{len(depths) - 1}").permute(3, 0, 1, 2)


def _attention(x: Tensor, state, name: str, *, heads: int, full, shifted: bool) -> Tensor:
    size, channels = x.shape[:3], x.shape[3]
    window = [min(s, f) for s, f in zip(size, full, strict=True)]
    shift = [w // 2 if shifted and s > w else 0 for s, w in zip(size, window, strict=True)]
    padded = _pad(x.permute(3, 0, 1, 2), window).permute(1, 2, 3, 0)
    tokens = padded.reshape(-1, channels)
    coordinates = torch.cartesian_prod(*(torch.arange(n) for n in padded.shape[:3]))
    together = torch.ones(len(tokens), len(tokens), dtype=torch.bool)
    apart = ~together
    row = torch.zeros(len(tokens), len(tokens), dtype=torch.long)
    for axis in range(3):
        length, w, s, f = padded.shape[axis], window[axis], shift[axis], full[axis]
        place = (coordinates[:, axis] - s) % length  # after the cyclic shift
        together &= place[:, None] // w == place // w
        if s:
            # Of the last window, the first part belongs to this end of the map, the rest to the
            # other; the windows before it are of one piece.
            region = (place >= length - w).long() + (place >= length - s)
            apart |= region[:, None] != region
        row = row * (2 * f - 1) + (place[:, None] - place).clamp(1 - f, f - 1) + f - 1
    table = state[f"{name}.relative_position_bias_table"]
    query, key, value = (
        part.view(len(tokens), heads, -1).transpose(0, 1)
        for part in _linear(tokens, state, f"{name}.qkv").chunk(3, -1)
    )
    logits = query @ key.transpose(1, 2) / (channels // heads) ** 0.5 + table[row].permute(2, 0, 1)
    logits = logits - 100.0 * apart
    weights = logits.masked_fill(~together, -torch.inf).softmax(-1)
    mixed = _linear((weights @ value).transpose(0, 1).flatten(1), state, f"{name}.proj")
    return mixed.view(padded.shape)[: size[0], : size[1], : size[2]]


def _merge(x: Tensor, state, name: str) -> Tensor:
    x = _pad(x.permute(3, 0, 1, 2), (1, 2, 2)).permute(1, 2, 3, 0)
    corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
    return _linear(_norm(torch.cat(corners, -1), state, f"{name}.norm"), state, f"{name}.reduction")


def _pad(x: Tensor, multiple) -> Tensor:
    """Zeros after the end of the last three dimensions, to multiples."""
    missing = [-n % m for n, m in zip(x.shape[-3:], multiple, strict=True)]
    return F.pad(x, (0, missing[2], 0, missing[1], 0, missing[0]))


def _norm(x: Tensor, state, name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


def _linear(x: Tensor, state, name: str) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))
