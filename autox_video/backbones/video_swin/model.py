"""The Video Swin backbone (Liu et al., "Video Swin Transformer", CVPR 2022, arXiv 2106.13230).

The backbone is a drop-in replacement for mmaction2's `SwinTransformer3D`, with the same names and
shapes in the state dict and the same outputs. Outputs differ only if a window is clipped to the
size of a small feature map, because the relative position bias here depends only on the offset
between two tokens.

Shape letters: B clips, T frames or time steps, H and W height and width, L = T H W tokens, C
channels, G windows per clip, N tokens per window, h heads, D = C / h.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from autox_video.backbones import backbone
from autox_video.backbones.spec import Size
from autox_video.backbones.video_swin.attention import attend
from autox_video.backbones.video_swin.linear import Linear, packs
from autox_video.backbones.video_swin.windows import Windows, make_windows, table_rows

ARCHITECTURES = {
    "tiny": {"embed_dims": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)},
    "small": {"embed_dims": 96, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24)},
    "base": {"embed_dims": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)},
    "large": {"embed_dims": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48)},
}
MLP_RATIO = 4
PUBLISHED_INIT = [
    {"type": "TruncNormal", "layer": "Linear", "std": 0.02, "bias": 0.0},
    {"type": "Constant", "layer": "LayerNorm", "val": 1.0, "bias": 0.0},
]


@MODELS.register_module()
class VideoSwin(backbone.Backbone):
    """Video Swin Transformer.

    The backbone maps float clips (B, 3, T, H, W) to float32 features (B, C', T', H', W'). With n
    stages, C' is 2^(n - 1) embed_dims, T' is T / patch_size[0], H' is H / (2^(n - 1) patch_size[1])
    and W' is W / (2^(n - 1) patch_size[2]), each rounded up.

    Args:
        arch: "tiny", "small", "base" or "large", or a mapping with `embed_dims` (int), and
            `depths` and `num_heads` (one int per stage).
        patch_size: frames, rows and columns per token.
        window_size: time steps, rows and columns per attention window.
        drop_path_rate: drop-path rate of the last block; it rises linearly from 0.
        with_cp, precision, frozen_stages: see `Backbone`.
        compile: whether to compile the blocks with torch.compile.
        init_cfg: weight initialisation in mmengine's format; None for the published initialisation.
    """

    def __init__(
        self,
        arch: str | Mapping,
        *,
        patch_size: Size = (2, 4, 4),
        window_size: Size = (8, 7, 7),
        drop_path_rate: float = 0.1,
        with_cp: bool = False,
        precision: str = "float32",
        compile: bool = False,
        frozen_stages: int = 0,
        init_cfg: list[dict] | None = None,
    ) -> None:
        super().__init__(with_cp=with_cp, precision=precision, init_cfg=init_cfg or PUBLISHED_INIT)
        sizes = ARCHITECTURES[arch] if isinstance(arch, str) else arch
        depths, num_heads = sizes["depths"], sizes["num_heads"]
        self.window_size = tuple(window_size)
        self.patch_embed = PatchEmbedding(sizes["embed_dims"], tuple(patch_size))
        rates = iter(torch.linspace(0, drop_path_rate, sum(depths), device="cpu").tolist())
        self.layers = nn.ModuleList()
        for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
            dims = sizes["embed_dims"] << stage
            blocks = [Block(dims, heads, self.window_size, next(rates)) for _ in range(depth)]
            self.layers.append(Stage(blocks, is_last=stage + 1 == len(depths)))
        self._norm = f"norm{len(depths) - 1}"  # as in mmaction2
        self.add_module(self._norm, LayerNorm(dims))
        if compile:
            self.compile_blocks()
        self.freeze(frozen_stages)

    def stage_modules(self) -> list[list[nn.Module]]:
        """Return the modules of each stage, including the patch embedding and the final norm."""
        stages = [[stage] for stage in self.layers]
        stages[0].insert(0, self.patch_embed)
        stages[-1].append(getattr(self, self._norm))
        return stages

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of the last stage; the class docstring gives the shapes."""
        with torch.autocast(x.device.type, enabled=False):
            x, size = self.patch_embed(x.to(self.dtype))
            x = x.to(self.sum_dtype)
            for stage in self.layers:
                for index, block in enumerate(stage.blocks):
                    sort = {"dtype": self.dtype, "device": x.device}
                    windows = make_windows(size, self.window_size, shifted=index % 2 == 1, **sort)
                    x = self.run_block(block, x, windows, self.dtype)
                if stage.downsample is not None:
                    x, size = stage.downsample(x, size)
            x = getattr(self, self._norm)(x).unflatten(1, size)
            return x.permute(0, 4, 1, 2, 3).float().contiguous()


class LayerNorm(nn.LayerNorm):
    """A layer norm that computes in the dtype of the input, whatever the weights' dtype."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised input, (..., C)."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class PatchEmbedding(nn.Module):
    """Embeds clips (B, 3, T, H, W) as tokens (B, L, C), and also returns the token map's size."""

    def __init__(self, dims: int, patch_size: Size) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv3d(3, dims, patch_size, patch_size)
        self.norm = LayerNorm(dims)

    def forward(self, x: Tensor) -> tuple[Tensor, Size]:
        """Apply a non-overlapping convolution as a single matrix product over the patches."""
        lengths = zip(x.shape[2:], self.patch_size, strict=True)
        missing = [-length % patch for length, patch in lengths]
        if any(missing):
            x = F.pad(x, [n for m in reversed(missing) for n in (0, m)])
        clips, channels = x.shape[:2]
        size = tuple(n // p for n, p in zip(x.shape[2:], self.patch_size, strict=True))
        split = [n for pair in zip(size, self.patch_size, strict=True) for n in pair]
        patches = x.view(clips, channels, *split).permute(0, 2, 4, 6, 1, 3, 5, 7)
        weight, bias = self.proj.weight.flatten(1).to(x.dtype), self.proj.bias.to(x.dtype)
        tokens = F.linear(patches.reshape(clips, -1, weight.shape[1]), weight, bias)
        return self.norm(tokens), size


class PatchMerging(nn.Module):
    """Merges blocks of 2x2 tokens (B, L, C) into tokens with twice the channels (B, L / 4, 2 C)."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.reduction = Linear(4 * dims, 2 * dims, bias=False)
        self.norm = LayerNorm(4 * dims)

    def forward(self, x: Tensor, size: Size) -> tuple[Tensor, Size]:
        """Return the merged tokens and their map size; maps of odd size are padded with zeros."""
        steps, rows, columns = size
        x = x.unflatten(1, size)
        if rows % 2 or columns % 2:
            x = F.pad(x, (0, 0, 0, columns % 2, 0, rows % 2))
        size = (steps, (rows + 1) // 2, (columns + 1) // 2)
        x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 1, 2, 4, 5, 3, 6)
        return self.reduction(self.norm(x.flatten(4).flatten(1, 3))), size


class Stage(nn.Module):
    """A stage of blocks that alternate between regular and shifted windows, then downsampling."""

    def __init__(self, blocks: list["Block"], *, is_last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = None if is_last else PatchMerging(blocks[0].dims)


class Block(backbone.Block):
    """Window attention and an MLP on tokens (B, L, C), both with residual connections."""

    def __init__(self, dims: int, num_heads: int, window_size: Size, drop_path: float) -> None:
        super().__init__(drop_path)
        self.dims = dims
        self.norm1 = LayerNorm(dims)
        self.attn = WindowAttention(dims, num_heads, window_size)
        self.norm2 = LayerNorm(dims)
        self.mlp = Mlp(dims)

    def forward(self, x: Tensor, windows: Windows, dtype: torch.dtype) -> Tensor:
        """Return the input plus both residual branches, which are computed in `dtype`."""
        x = self.add(x, lambda x: self.attn(self.norm1(x).to(dtype), windows))
        return self.add(x, lambda x: self.mlp(self.norm2(x).to(dtype)))


class WindowAttention(nn.Module):
    """Self-attention within each window of tokens (B, L, C)."""

    def __init__(self, dims: int, num_heads: int, window_size: Size) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros(math.prod(2 * length - 1 for length in window_size), num_heads)
        )
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        # The buffer only keeps the state dict compatible with other implementations.
        index = table_rows(window_size, window_size)
        self.register_buffer("relative_position_index", index)
        self.qkv = Linear(dims, 3 * dims)
        self.proj = Linear(dims, dims)

    def forward(self, x: Tensor, windows: Windows) -> Tensor:
        """Apply self-attention within each window; windows are padded with zero tokens."""
        clips, _, channels = x.shape
        x = windows.gather(x)
        shape = (-1, windows.num_tokens, 3, self.num_heads, channels // self.num_heads)
        # The bias is gathered in float32, so that its gradient is summed in float32.
        bias = self.relative_position_bias_table.t().index_select(1, windows.offsets)
        bias = bias.view(self.num_heads, windows.num_tokens, windows.num_tokens).to(x.dtype)
        mixed = attend(self.qkv(x).view(shape), bias, windows.mask)
        return self.proj(windows.scatter(mixed.reshape(clips, -1, channels)))


class Mlp(nn.Module):
    """Two linear layers with a GELU in between, applied to tokens (B, L, C)."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.fc1 = Linear(dims, MLP_RATIO * dims)
        self.fc2 = Linear(MLP_RATIO * dims, dims)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the MLP to each token."""
        if packs(x):
            return self.fc2(self.fc1.by_packed(x, gelu=True))
        weight, bias = self.fc2.weight.to(x.dtype), self.fc2.bias.to(x.dtype)
        return _LinearOfGelu.apply(self.fc1(x), weight, bias)


class _LinearOfGelu(torch.autograd.Function):
    """Computes gelu(x) weightᵀ + bias; the backward pass recomputes the GELU, which is cheap."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(F.gelu(x), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        rows = grad.flatten(0, -2)
        grad_weight = rows.t() @ F.gelu(x).flatten(0, -2)
        grad_x = torch.ops.aten.gelu_backward(grad @ weight, x)
        return grad_x, grad_weight, rows.sum(0)
