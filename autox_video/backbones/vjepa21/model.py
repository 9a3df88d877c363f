"""The video encoder of V-JEPA 2.1 (Mur-Labadia et al. 2026), built on transformers' V-JEPA 2.

The encoder differs from that of V-JEPA 2 in its rotary position embeddings: channels that are
rotated together as a pair are adjacent, and row and column positions are scaled to the grid of a
256 px input. The encoder also adds an embedding for the modality (video) to all tokens. The layers
for images and the norms of intermediate blocks, which are used only in pretraining, are left out.

Shape letters: B clips, T frames, H and W height and width, h heads, L tokens, C channels, D
channels per head; T', H' and W' time steps, rows and columns of the feature map.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from transformers import VJEPA2Config
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2Encoder, VJEPA2RopeAttention

from autox_video.backbones.libraries.library_backbone import LibraryBackbone, State
from autox_video.backbones.spec import Size

PATCH, TUBELET = 16, 2
"""Size of a token: height and width in px, and number of frames."""
_LAST_ROW = 15
"""Position of the last row and column: the encoders were first trained on 16x16 grids."""
_LONGEST_WAVE = 10_000
_NAMES = {
    "patch_embed.proj.": "embeddings.patch_embeddings.proj.",
    "norms_block.3.": "layernorm.",  # the norm after the last block
    "blocks.": "layer.",
}
"""Prefixes of tensor names, mapped from the published ones to those in transformers."""
_BIAS = "embeddings.patch_embeddings.proj.bias"


@MODELS.register_module()
class VJEPA21(LibraryBackbone):
    """The video encoder of V-JEPA 2.1.

    Args:
        width: number of channels, C.
        depth: number of blocks.
        heads: number of attention heads, h.
        mlp_ratio: hidden channels of an MLP relative to `width`.
        side: height and width of the input in px; must be a multiple of 16.
        frames: number of frames; must be even.
        drop_path_rate: drop-path rate of the last block.
        options: see LibraryBackbone.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        side: int = 384,
        frames: int = 16,
        drop_path_rate: float = 0.0,
        **options: Any,
    ) -> None:
        config = VJEPA2Config(
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            mlp_ratio=mlp_ratio,
            patch_size=PATCH,
            tubelet_size=TUBELET,
            crop_size=side,
            frames_per_clip=frames,
            drop_path_rate=drop_path_rate,
            attn_implementation="sdpa",
        )
        grid = (frames // TUBELET, side // PATCH, side // PATCH)
        super().__init__(_encoder(config, grid), **options)
        self.frames, self.side, self.grid = frames, side, grid

    def features(self, x: Tensor) -> Tensor:
        """Return the feature map (B, C, T', H', W') of clips (B, 3, T, H, W)."""
        if x.shape[2:] != (self.frames, self.side, self.side):
            clip = f"{self.frames}x{self.side}x{self.side}"
            raise ValueError(f"built for clips of {clip}, but got {tuple(x.shape)}")
        tokens = self.net(x.transpose(1, 2)).last_hidden_state
        return tokens.transpose(1, 2).unflatten(2, self.grid)

    def own_names(self, state: Mapping[str, Tensor]) -> State:
        """Return the tensors of a published file under their names in transformers.

        The modality embedding is added to the bias of the patch embedding.
        """
        own: State = {}
        state = {name.removeprefix("backbone."): tensor for name, tensor in state.items()}
        for name, tensor in state.items():
            for theirs, ours in _NAMES.items():
                if name.startswith(theirs):
                    own |= _separated(ours + name.removeprefix(theirs), tensor)
        bias, modality = own.pop(_BIAS, None), state.get("video_mod_embed")
        if bias is not None and modality is not None:
            own[_BIAS] = bias + modality.flatten()
        return own


def _separated(name: str, tensor: Tensor) -> State:
    """Return a tensor under its new name; a fused QKV tensor is split into three."""
    name = name.replace(".attn.", ".attention.")
    if ".qkv." not in name:
        return {name: tensor}
    parts = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
    return {re.sub(r"\bqkv\b", part, name): each for part, each in parts}


def _encoder(config: VJEPA2Config, grid: Size) -> VJEPA2Encoder:
    """Return the encoder of V-JEPA 2 with the position embeddings of V-JEPA 2.1."""
    encoder = VJEPA2Encoder(config)
    rotation = Rotation(grid, config.hidden_size // config.num_attention_heads)
    for layer in encoder.layer:
        layer.attention = RotaryAttention(config, rotation)
    return encoder


class RotaryAttention(VJEPA2RopeAttention):
    """The attention of V-JEPA 2 with the position embeddings of V-JEPA 2.1.

    Args:
        config: the encoder's config.
        rotation: position embeddings, shared by all blocks.
    """

    def __init__(self, config: VJEPA2Config, rotation: "Rotation") -> None:
        super().__init__(config, config.hidden_size, config.num_attention_heads)
        self.rotation = rotation

    def get_position_ids(self, x: Tensor, masks: Tensor | None = None) -> None:
        """Return nothing: the positions are part of the rotation."""

    def apply_rotary_embeddings(self, qk: Tensor, pos_ids: None) -> Tensor:
        """Return rotated queries or keys (B, h, L, D)."""
        return self.rotation(qk)


class Rotation(nn.Module):
    """Rotary position embeddings in three dimensions (Su et al. 2021, arXiv 2104.09864).

    A third of each head's channels are rotated according to the time step, a third according to the
    row and a third according to the column; any remaining channels are not rotated.

    Args:
        grid: numbers of time steps, rows and columns; their product is L.
        channels: number of channels per head, D.
    """

    def __init__(self, grid: Size, channels: int) -> None:
        super().__init__()
        pairs = channels // 6
        rates = _LONGEST_WAVE ** -(torch.arange(pairs) / pairs)
        steps, rows, columns = grid
        axes = torch.meshgrid(
            torch.arange(steps, dtype=torch.float32),
            torch.linspace(0, _LAST_ROW, rows),
            torch.linspace(0, _LAST_ROW, columns),
            indexing="ij",
        )
        positions = torch.stack(axes, -1).flatten(0, 2)
        angles = (positions[..., None] * rates).flatten(1).repeat_interleave(2, 1)
        angles = nn.functional.pad(angles, (0, channels - angles.shape[1]))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return rotated queries or keys (B, h, L, D)."""
        even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack((-odd, even), -1).flatten(-2)
        return (x * self.cos + turned * self.sin).to(x.dtype)
