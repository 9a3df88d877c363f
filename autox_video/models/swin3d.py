"""The Video Swin backbone (Liu et al., "Video Swin Transformer", CVPR 2022, arXiv 2106.13230).

mmaction2's backbone with two defects mended: windows that are clipped to a small feature map use
the right relative position bias, and `train()` returns the module.

Shape letters: B clips, C channels, T frames or time steps, H and W rows and columns, N tokens of a
window, K windows of all clips, G windows of one clip, h heads.
"""

from collections.abc import Mapping, Sequence

import autox_video.mm_compat  # noqa: F401

import torch
from mmaction.models.backbones.swin import (
    BasicLayer,
    SwinTransformer3D,
    WindowAttention3D,
    get_window_size,
)
from mmaction.registry import MODELS
from torch import Tensor

LINEAR_INIT = {
    "normal": [{"type": "TruncNormal", "layer": "Linear", "std": 0.02, "bias": 0.0}],
    "xavier": [{"type": "Xavier", "layer": "Linear", "distribution": "uniform", "bias": 0.0}],
}


@MODELS.register_module()
class VideoSwin(SwinTransformer3D):
    """Video Swin Transformer: (B, 3, T, H, W) float → (B, C, T', H', W') float, C = 8 embed_dims.

    With 4 stages, T' = T / patch_size[0], H' = H / (8 patch_size[1]), W' = W / (8 patch_size[2]),
    each rounded up. Names and shapes of the state dict are those of mmaction2's class.

    Args:
        arch: "tiny", "small", "base" or "large", or a mapping with `embed_dims` (int), and
            `depths` and `num_heads` (one int per stage, at most 4 stages).
        patch_size: frames, rows and columns per token.
        window_size: time steps, rows and columns per attention window.
        drop_path_rate: stochastic depth of the last block; it rises linearly from 0 at the first.
        drop_rate: dropout of tokens, projections and MLPs.
        attn_drop_rate: dropout of attention weights.
        frozen_stages: -1 trains all; 0 freezes the patch embedding, n the first n stages as well.
        init: how linear layers start where no weights are loaded: "normal" (standard deviation
            0.02, as published) or "xavier".
        precision: number type of the computation, "float32" or "bfloat16"; weights and output
            are float32 in both.
    """

    def __init__(
        self,
        arch: str | Mapping,
        patch_size: Sequence[int] = (2, 4, 4),
        *,
        window_size: Sequence[int] = (8, 7, 7),
        drop_path_rate: float = 0.1,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        frozen_stages: int = -1,
        precision: str = "float32",
        init: str = "normal",
    ) -> None:
        window_size = tuple(window_size)
        arch = arch if isinstance(arch, str) else dict(arch)
        super().__init__(
            arch,
            pretrained2d=False,
            patch_size=tuple(patch_size),
            window_size=window_size,
            drop_path_rate=drop_path_rate,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            out_indices=(len(arch["depths"]) - 1 if isinstance(arch, dict) else 3,),
            init_cfg=[*LINEAR_INIT[init], {"type": "Constant", "layer": "LayerNorm", "val": 1.0}],
        )
        for stage, num_heads in zip(self.layers, self.num_heads, strict=True):
            for block in stage.blocks:
                block.attn = OffsetWindowAttention(
                    stage.embed_dims,
                    window_size,
                    num_heads,
                    attn_drop=attn_drop_rate,
                    proj_drop=drop_rate,
                )
            stage.register_forward_pre_hook(_tell_window)
        self.precision = precision
        self.frozen_stages = frozen_stages
        self._freeze_stages()

    def forward(self, x: Tensor) -> Tensor:
        """Features of the last stage, float32; see the class for the shapes."""
        bfloat16 = self.precision == "bfloat16"
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=bfloat16):
            return super().forward(x).float()

    def train(self, mode: bool = True) -> "VideoSwin":
        """Switch training mode, keep frozen stages in evaluation mode, and give the module."""
        super().train(mode)
        return self


class OffsetWindowAttention(WindowAttention3D):
    """Self-attention within windows: (K, N, C) → (K, N, C).

    The bias between two tokens depends on nothing but the offset between them, at any window size
    up to the full one. (mmaction2 and the official code take the first N rows of the full window's
    index, which are those of other offsets as soon as rows or columns are clipped.)
    """

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.clipped_window = tuple(self.window_size)
        """Time steps, rows and columns of the windows that `forward` is given next."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend within each window.

        Args:
            x: tokens of all windows, (K, N, C), N the volume of `clipped_window`.
            mask: added to the attention logits of each window of a clip, (G, N, N); K = B G.
        """
        num_windows, num_tokens, _ = x.shape
        qkv = self.qkv(x).reshape(num_windows, num_tokens, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        logits = (query * self.scale) @ key.transpose(-2, -1)
        bias = self.position_bias()
        if mask is not None:
            bias = bias + mask[:, None]
        # In the logits' own type: a float32 bias would turn all that follows into float32.
        bias = bias.to(logits.dtype).view(-1, self.num_heads, num_tokens, num_tokens)
        logits = (logits.view(-1, *bias.shape) + bias).view_as(logits)
        mixed = self.attn_drop(logits.softmax(-1)) @ value
        return self.proj_drop(self.proj(mixed.transpose(1, 2).reshape(x.shape)))

    def position_bias(self) -> Tensor:
        """The bias between each two tokens of `clipped_window`, (h, N, N)."""
        index = self.relative_position_index
        if self.clipped_window != tuple(self.window_size):
            kept = torch.arange(len(index), device=index.device).view(*self.window_size)
            steps, rows, columns = self.clipped_window
            kept = kept[:steps, :rows, :columns].flatten()
            index = index[kept][:, kept]
        bias = self.relative_position_bias_table[index.flatten()]
        return bias.view(*index.shape, -1).permute(2, 0, 1)


def _tell_window(stage: BasicLayer, inputs: tuple[Tensor]) -> None:
    """Before a stage runs: its attention sees only a count of tokens, which may be ambiguous."""
    window = get_window_size(inputs[0].shape[2:], stage.window_size)
    for block in stage.blocks:
        block.attn.clipped_window = window
