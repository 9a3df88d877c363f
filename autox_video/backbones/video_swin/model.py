"""The Video Swin backbone (Liu et al., "Video Swin Transformer", CVPR 2022, arXiv 2106.13230).

A drop-in for mmaction2's `SwinTransformer3D`: the same names and shapes in the state dict, the same
outputs; only where a window is clipped to a small feature map the two differ, since here the
relative position bias follows the offset between two tokens at any size.

Shape letters: B clips, T frames or time steps, H and W rows and columns, L = T H W tokens, C
channels, G windows of a clip, N tokens of a window, h heads, D = C / h.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from autox_video.backbones.drop_path import add_branch
from autox_video.backbones.video_swin.attention import attend
from autox_video.backbones.video_swin.linear import Linear, packs
from autox_video.backbones.video_swin.windows import Size, Windows, make_windows, table_rows

ARCHITECTURES = {
    "tiny": {"embed_dims": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)},
    "small": {"embed_dims": 96, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24)},
    "base": {"embed_dims": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)},
    "large": {"embed_dims": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48)},
}
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

PUBLISHED_INIT = [
    {"type": "TruncNormal", "layer": "Linear", "std": 0.02, "bias": 0.0},
    {"type": "Constant", "layer": "LayerNorm", "val": 1.0, "bias": 0.0},
]


@MODELS.register_module()
class VideoSwin(BaseModule):
    """Video Swin Transformer: (B, 3, T, H, W) float → (B, C', T', H', W') float32.

    Stage i (from 0) gives C' = 2^i embed_dims, T' = T / patch_size[0], H' = H / (2^i patch_size[1])
    and W' = W / (2^i patch_size[2]), each rounded up.

    Args:
        arch: "tiny", "small", "base" or "large", or a mapping with `embed_dims` (int), and
            `depths` and `num_heads` (one int per stage).
        patch_size: frames, rows and columns per token.
        in_channels: channels of a frame.
        window_size: time steps, rows and columns per attention window.
        mlp_ratio: width of the hidden layer of an MLP over that of its tokens.
        drop_rate: dropout of tokens, projections and MLPs.
        attn_drop_rate: dropout of attention weights.
        drop_path_rate: stochastic depth of the last block; it rises linearly from 0 at the first.
        frozen_stages: -1 trains all; 0 freezes the patch embedding, n the first n stages as well.
        with_cp: whether blocks are computed again in the backward pass instead of kept, which
            saves memory and costs a second forward pass; or the stages for which they are.
        out_indices: stages whose features are given: of one stage a tensor, of several a tuple.
        precision: number type of the computation, "float32", "bfloat16" or "float16"; weights
            and output are float32 in all.
        compile: whether torch compiles the blocks at their first use.
        init_cfg: mmengine's initialisation; None: the published one.
    """

    def __init__(
        self,
        arch: str | Mapping,
        patch_size: Size = (2, 4, 4),
        *,
        in_channels: int = 3,
        window_size: Size = (8, 7, 7),
        mlp_ratio: float = 4.0,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        frozen_stages: int = -1,
        with_cp: bool | Sequence[int] = False,
        out_indices: Sequence[int] | None = None,
        precision: str = "float32",
        compile: bool = False,
        init_cfg: list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or PUBLISHED_INIT)
        chosen = ARCHITECTURES[arch] if isinstance(arch, str) else arch
        dims, depths, num_heads = (chosen[k] for k in ("embed_dims", "depths", "num_heads"))
        self.out_indices = (len(depths) - 1,) if out_indices is None else tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.dtype = PRECISIONS[precision]
        self.checkpointed = range(len(depths)) if with_cp is True else tuple(with_cp or ())
        self.patch_embed = PatchEmbedding(in_channels, dims, tuple(patch_size))
        self.pos_drop = nn.Dropout(drop_rate)
        drop_paths = iter(torch.linspace(0, drop_path_rate, sum(depths)).tolist())
        self.layers = nn.ModuleList()
        for stage, (depth, heads) in enumerate(zip(depths, num_heads, strict=True)):
            blocks = [
                Block(
                    dims << stage,
                    heads,
                    window_size=tuple(window_size),
                    mlp_ratio=mlp_ratio,
                    drop=drop_rate,
                    attn_drop=attn_drop_rate,
                    drop_path=next(drop_paths),
                )
                for _ in range(depth)
            ]
            merging = PatchMerging(dims << stage) if stage + 1 < len(depths) else None
            self.layers.append(Stage(blocks, merging))
        for stage in self.out_indices:
            self.add_module(f"norm{stage}", LayerNorm(dims << stage))
        self._freeze_stages()
        if compile:
            self._compile_blocks()

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Features of the stages `out_indices`; see the class for the shapes."""
        # float16 has too small a range for the sum over all blocks.
        stream = torch.float32 if self.dtype == torch.float16 else self.dtype
        with torch.autocast(x.device.type, enabled=False):
            x, size = self.patch_embed(x.to(self.dtype))
            x = self.pos_drop(x).to(stream)
            features = []
            for index, stage in enumerate(self.layers):
                x = stage(x, size, self.dtype, again=index in self.checkpointed)
                if index in self.out_indices:
                    out = getattr(self, f"norm{index}")(x).unflatten(1, size)
                    features.append(out.permute(0, 4, 1, 2, 3).float().contiguous())
                if stage.downsample is not None:
                    x, size = stage.downsample(x, size)
        return features[0] if len(features) == 1 else tuple(features)

    def train(self, mode: bool = True) -> "VideoSwin":
        """Switch training mode, keep frozen stages in evaluation mode, and give the module."""
        super().train(mode)
        self._freeze_stages()
        return self

    def _freeze_stages(self) -> None:
        if self.frozen_stages >= 0:
            for part in (self.patch_embed, self.pos_drop, *self.layers[: self.frozen_stages]):
                part.eval().requires_grad_(False)

    def blocks(self) -> Iterator[nn.Module]:
        """All blocks, in the order in which they compute."""
        return (block for stage in self.layers for block in stage.blocks)

    def _compile_blocks(self) -> None:
        # One code object serves all blocks: as many variants as stages, shifts and modes.
        limit = torch._dynamo.config
        limit.recompile_limit = max(limit.recompile_limit, 64)
        for stage in self.layers:
            for block in stage.blocks:
                block.whole_batch = True
                block.compile(dynamic=False)


class LayerNorm(nn.LayerNorm):
    """A layer norm in its input's number type; the weights stay as they are."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) → (..., C)."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


class PatchEmbedding(nn.Module):
    """Clips to tokens: (B, channels, T, H, W) → (B, L, C) and the size of their map."""

    def __init__(self, in_channels: int, dims: int, patch_size: Size) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv3d(in_channels, dims, patch_size, patch_size)
        self.norm = LayerNorm(dims)

    def forward(self, x: Tensor) -> tuple[Tensor, Size]:
        """A convolution whose kernels do not overlap: one matrix product over the patches."""
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
    """Each 2x2 tokens to one of twice the channels: (B, L, C) → (B, L / 4, 2 C)."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.reduction = Linear(4 * dims, 2 * dims, bias=False)
        self.norm = LayerNorm(4 * dims)

    def forward(self, x: Tensor, size: Size) -> tuple[Tensor, Size]:
        """The tokens and the size of their map, its odd rows and columns filled up with zeros."""
        steps, rows, columns = size
        x = x.unflatten(1, size)
        if rows % 2 or columns % 2:
            x = F.pad(x, (0, 0, 0, columns % 2, 0, rows % 2))
        size = (steps, (rows + 1) // 2, (columns + 1) // 2)
        x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 1, 2, 4, 5, 3, 6)
        return self.reduction(self.norm(x.flatten(4).flatten(1, 3))), size


class Stage(nn.Module):
    """Blocks at one resolution, every other one with shifted windows."""

    def __init__(self, blocks: Sequence["Block"], downsample: PatchMerging | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor, size: Size, dtype: torch.dtype, *, again: bool) -> Tensor:
        """Run the blocks: (B, L, C) → (B, L, C).

        Args:
            x: tokens.
            size: of their map.
            dtype: number type of the blocks' products.
            again: whether to compute them again in the backward pass instead of keeping them.
        """
        full = self.blocks[0].attn.window_size
        for index, block in enumerate(self.blocks):
            shifted = index % 2 == 1
            windows = make_windows(size, full, shifted=shifted, dtype=dtype, device=x.device)
            if again and torch.is_grad_enabled():
                x = checkpoint(block, x, windows, dtype, use_reentrant=False)
            else:
                x = block(x, windows, dtype)
        return x


class Block(nn.Module):
    """Attention within windows, then an MLP, each added to what came in."""

    def __init__(
        self,
        dims: int,
        num_heads: int,
        *,
        window_size: Size,
        mlp_ratio: float,
        drop: float,
        attn_drop: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.whole_batch = False
        """Whether clips whose branch is dropped are computed all the same: shapes never change."""
        self.norm1 = LayerNorm(dims)
        self.attn = WindowAttention(dims, num_heads, window_size, attn_drop=attn_drop, drop=drop)
        self.norm2 = LayerNorm(dims)
        self.mlp = Mlp(dims, int(dims * mlp_ratio), drop)

    def forward(self, x: Tensor, windows: Windows, dtype: torch.dtype) -> Tensor:
        """(B, L, C) → (B, L, C)."""
        x = self._add(x, lambda x: self.attn(self.norm1(x).to(dtype), windows))
        return self._add(x, lambda x: self.mlp(self.norm2(x).to(dtype)))

    def _add(self, x: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        drop_path = self.drop_path if self.training else 0.0
        return add_branch(x, branch, drop_path=drop_path, whole_batch=self.whole_batch)


class WindowAttention(nn.Module):
    """Self-attention within windows: (B, L, C) → (B, L, C)."""

    def __init__(
        self, dims: int, num_heads: int, window_size: Size, *, attn_drop: float, drop: float
    ) -> None:
        super().__init__()
        self.window_size, self.num_heads, self.attn_drop = window_size, num_heads, attn_drop
        rows = (2 * window_size[0] - 1) * (2 * window_size[1] - 1) * (2 * window_size[2] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(rows, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        # Only for the state dict, which has it in every other implementation.
        index = table_rows(window_size, window_size)
        self.register_buffer("relative_position_index", index)
        self.qkv = Linear(dims, 3 * dims)
        self.proj = Linear(dims, dims)
        self.proj_drop = nn.Dropout(drop)

    def forward(self, x: Tensor, windows: Windows) -> Tensor:
        """Attend within each window; places of a window without a token hold zeros."""
        clips, _, channels = x.shape
        x = windows.gather(x)
        shape = (-1, windows.num_tokens, 3, self.num_heads, channels // self.num_heads)
        dropout = self.attn_drop if self.training else 0.0
        bias = self.position_bias(windows).to(x.dtype)
        mixed = attend(self.qkv(x).view(shape), bias, windows.mask, dropout=dropout)
        mixed = windows.scatter(mixed.reshape(clips, -1, channels))
        return self.proj_drop(self.proj(mixed))

    def position_bias(self, windows: Windows) -> Tensor:
        """The bias between each two places of a window, (h, N, N) float32."""
        # Gathered in float32, so that its gradient is summed in float32.
        table = self.relative_position_bias_table.t().index_select(1, windows.offsets)
        return table.view(self.num_heads, windows.num_tokens, windows.num_tokens)


class Mlp(nn.Module):
    """Two linear layers with a GELU between: (B, L, C) → (B, L, C)."""

    def __init__(self, dims: int, hidden_dims: int, drop: float) -> None:
        super().__init__()
        self.fc1 = Linear(dims, hidden_dims)
        self.fc2 = Linear(hidden_dims, dims)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Each token by itself."""
        if packs(x) and not (self.training and self.drop.p):
            return self.fc2(self.fc1.by_packed(x, gelu=True))
        x = self.fc1(x)
        if self.drop.p:
            return self.drop(self.fc2(self.drop(F.gelu(x))))
        return _LinearOfGelu.apply(x, self.fc2.weight.to(x.dtype), self.fc2.bias.to(x.dtype))


class _LinearOfGelu(torch.autograd.Function):
    """gelu(x) weightᵀ + bias, of which only x is kept: a GELU is cheap, its output is large."""

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
