"""A small network of separated 3D convolutions, which learns from few clips without pretraining.

Blocks are (2+1)D convolutions (Tran et al., "A Closer Look at Spatiotemporal Convolutions", CVPR
2018) in pre-activation residuals, with group normalisation (Wu and He, ECCV 2018): what is computed
for a clip does not depend on the batch, nor on how many processes share it.

Shape letters: B clips, T frames or time steps, H and W rows and columns, C channels.
"""

from collections.abc import Sequence

import autox_video.mm_compat  # noqa: F401

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from autox_video.models.swin3d import PRECISIONS

GROUPS = 8
LAYOUT = torch.channels_last_3d  # in which convolutions of few channels are quickest


@MODELS.register_module()
class VideoConv(BaseModule):
    """(2+1)D convolution network: (B, 3, T, H, W) float → (B, 2 C, T', H', W') float32.

    Most channels of the first convolution have their mean over time taken away: for them, whatever
    stands still is not there, and what moves is all there is. The second C channels of the output
    are the maxima of the first over all places, so that a mean over places gives means and maxima.

    H' and W' are H and W over 2 to the power of the number of widths, T' is T / 2, rounded up.

    Args:
        widths: channels of the stem and of each stage, multiples of 8.
        depths: blocks of each stage.
        still_channels: channels of the stem that see what stands still.
        drop_path_rate: stochastic depth of the last block; it rises linearly from 0 at the first.
        with_cp: whether blocks are computed again in the backward pass instead of kept.
        precision: number type of the computation, "float32", "bfloat16" or "float16"; weights
            and output are float32 in all.
        compile: whether torch compiles the blocks at their first use.
        init_cfg: mmengine's initialisation; None: normal by He et al. (2015).
    """

    def __init__(
        self,
        widths: Sequence[int] = (24, 48, 96, 192, 288),
        depths: Sequence[int] = (1, 2, 2, 1),
        *,
        still_channels: int = 8,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        precision: str = "float32",
        compile: bool = False,
        init_cfg: list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or [{"type": "Kaiming", "layer": "Conv3d"}])
        self.dtype = PRECISIONS[precision]
        self.with_cp = with_cp
        self.stem = Conv(3, widths[0], (3, 3, 3), stride=(1, 2, 2))
        moving = torch.ones(widths[0])
        moving[:still_channels] = 0
        self.register_buffer("moving", moving.view(1, -1, 1, 1, 1), persistent=False)
        rates = iter(torch.linspace(0, drop_path_rate, sum(depths)).tolist())
        halved = len(depths) - 2  # the stage that halves the time: late, since motion is in time
        self.layers = nn.ModuleList(
            Stage(widths[i], widths[i + 1], [next(rates) for _ in range(depth)], halves=i == halved)
            for i, depth in enumerate(depths)
        )
        self.norm = GroupNorm(widths[-1])
        if compile:
            for stage in self.layers:
                for block in stage.blocks:
                    block.compile()

    def forward(self, x: Tensor) -> Tensor:
        """Features; see the class for the shapes."""
        with torch.autocast(x.device.type, enabled=False):
            x = self.stem(x.to(self.dtype).contiguous(memory_format=LAYOUT))
            x = F.relu(x - x.mean(2, keepdim=True) * self.moving.to(x.dtype))
            for stage in self.layers:
                x = stage(x, again=self.with_cp and self.training)
            x = F.relu(self.norm(x)).float()
        return torch.cat([x, x.amax((2, 3, 4), keepdim=True).expand_as(x)], 1)


class Conv(nn.Conv3d):
    """A convolution in the number type of its input, which keeps the size but for its stride."""

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: tuple[int, ...],
        *,
        stride: tuple[int, ...] = (1,) * 3,
    ) -> None:
        padding = tuple(size // 2 for size in kernel)
        super().__init__(channels, out, kernel, stride=stride, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → (B, C', T', H', W')."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.conv3d(x, weight, bias, self.stride, self.padding)


class GroupNorm(nn.GroupNorm):
    """Group normalisation in the number type of its input."""

    def __init__(self, channels: int) -> None:
        super().__init__(GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.group_norm(x, self.num_groups, weight, bias, self.eps)


class Block(nn.Module):
    """A convolution over space and one over time, added to their input.

    Args:
        channels: C.
        drop_path: share of the clips for which a training step leaves it out.
    """

    def __init__(self, channels: int, drop_path: float) -> None:
        super().__init__()
        self.norm = GroupNorm(channels)
        self.space = Conv(channels, channels, (1, 3, 3))
        self.time = Conv(channels, channels, (3, 1, 1))
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → the same shape."""
        y = self.time(F.relu(self.space(F.relu(self.norm(x)))))
        if self.drop_path and self.training:
            kept = torch.rand(len(x), 1, 1, 1, 1, device=x.device) >= self.drop_path
            y = y * (kept / (1 - self.drop_path)).to(y.dtype)
        return x + y


class Stage(nn.Module):
    """A convolution that halves rows and columns, and blocks.

    Args:
        channels: of the input.
        out: of the output.
        drop_paths: of each block.
        halves: whether time is halved too.
    """

    def __init__(
        self, channels: int, out: int, drop_paths: Sequence[float], *, halves: bool
    ) -> None:
        super().__init__()
        kernel, stride = ((3, 3, 3), (2, 2, 2)) if halves else ((1, 3, 3), (1, 2, 2))
        self.downsample = Conv(channels, out, kernel, stride=stride)
        self.blocks = nn.ModuleList(Block(out, rate) for rate in drop_paths)

    def forward(self, x: Tensor, *, again: bool) -> Tensor:
        """(B, C, T, H, W) → (B, C', T', H / 2, W / 2); `again`: blocks are not kept."""
        x = self.downsample(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        return x
