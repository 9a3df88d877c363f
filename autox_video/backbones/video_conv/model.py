"""A small convolution network for clips, which learns from few of them and is quick on a CPU.

Convolutions over space and over time take turns (as in Tran et al., "A Closer Look at
Spatiotemporal Convolutions for Action Recognition", CVPR 2018, section 3.5). Two thirds of the
first layer's channels see only what differs from the clip's mean over time: what stands still
vanishes from them, clutter too. The first three stages also get the clip's structure tensor at
their scale (see structure_tensor.py), which says where something moves which way without anything
learned. Norms are of each clip by itself, so that neither the size of a batch nor its parts change
a result.

Shape letters: B clips, C channels, T frames or time steps, H and W rows and columns.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from autox_video.backbones import backbone
from autox_video.backbones.video_conv.structure_tensor import ENTRIES, halved, structure_tensor

GROUPS = 8
"""Of channels that are normalised together."""
HALVED_STAGE = 2
"""The stage that begins with half of the time steps."""
TENSOR_STAGES = 3
"""The first stages, which get the structure tensor; in later ones an object is hardly a pixel."""
TENSOR_SCALE = 5.0
"""Makes its entries, mostly far below 1, as large as the features they stand beside."""
BRANCH_SCALE = 0.5
"""Of the weights that end a block, over the usual start: the sum over blocks grows less."""
LAYOUT = torch.channels_last_3d


@MODELS.register_module()
class VideoConv(backbone.Backbone):
    """Residual network of separated convolutions: (B, 3, T, H, W) → (B, 2 C, T', H', W') float32.

    C = channels[-1]; T' = T / 2 where there are three stages or more; H' = H / 2^(stages + 1), and
    W' likewise; each rounded up. The first C channels are features of a place, the others their
    greatest values over the clip, the same at every place: a head that takes means sees both.

    Args:
        channels: of the first layer, then of each stage; multiples of 8, but for the first, of
            which a third sees colours and the rest what moves.
        depths: blocks of each stage.
        drop_path_rate: stochastic depth of the last block; it rises linearly from 0 at the first.
        with_cp, precision: as every `Backbone` takes them.
        compile: whether torch compiles the blocks at their first use.
    """

    def __init__(
        self,
        channels: Sequence[int],
        depths: Sequence[int],
        *,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        precision: str = "float32",
        compile: bool = False,
    ) -> None:
        super().__init__(with_cp=with_cp, precision=precision)
        self.stem = Stem(channels[0])
        rates = iter(torch.linspace(0, drop_path_rate, sum(depths), device="cpu").tolist())
        self.stages = nn.ModuleList()
        for stage, depth in enumerate(depths):
            steps = 2 if stage == HALVED_STAGE else 1
            entries = ENTRIES if stage < TENSOR_STAGES else 0
            smaller = Downsample(channels[stage] + entries, channels[stage + 1], steps)
            blocks = [Block(channels[stage + 1], next(rates)) for _ in range(depth)]
            self.stages.append(nn.ModuleList([smaller, *blocks]))
        self.norm = GroupNorm(GROUPS, channels[-1])
        if compile:
            self.compile_blocks()

    def init_weights(self) -> None:
        """He's start for all convolutions, a smaller one where a branch ends."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in self.blocks():
            block.time.weight.data.mul_(BRANCH_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the last stage; see the class for the shapes."""
        with torch.autocast(x.device.type, enabled=False):
            pixels = x.float()
            x = self.stem(x.to(self.dtype, memory_format=LAYOUT)).to(self.sum_dtype)
            for stage, (smaller, *blocks) in enumerate(self.stages):
                entries = None
                if stage < TENSOR_STAGES:
                    pixels = halved(pixels)
                    entries = TENSOR_SCALE * structure_tensor(pixels)
                    entries = entries.to(self.dtype, memory_format=LAYOUT)
                x = smaller(x.to(self.dtype), entries).to(self.sum_dtype)
                for block in blocks:
                    x = self.run_block(block, x, self.dtype)
            x = F.relu(self.norm(x)).float()
            greatest = x.amax((2, 3, 4), keepdim=True).expand_as(x)
            return torch.cat([x, greatest], 1).contiguous()


class Conv(nn.Conv3d):
    """A convolution in its input's number type; the weights stay as they are."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → the same, or smaller by the strides."""
        return self.convolved(x, self.weight, self.bias)

    def convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same with other weights."""
        # oneDNN's gradients of 16-bit weights over so few time steps hold whatever was there.
        dtype = torch.float32 if x.shape[2] < self.kernel_size[0] else x.dtype
        bias = None if bias is None else bias.to(dtype)
        out = F.conv3d(x.to(dtype), weight.to(dtype), bias, self.stride, self.padding)
        return out.to(x.dtype)


class GroupNorm(nn.GroupNorm):
    """A group norm in its input's number type; the weights stay as they are."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) → the same."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.group_norm(x, self.num_groups, weight, bias, self.eps)


class Stem(nn.Module):
    """First layer: (B, 3, T, H, W) → (B, C, T, H / 2, W / 2), a third of it colours."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.colours = channels // 3
        self.conv = Conv(3, channels, (3, 3, 3), (1, 2, 2), (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve colours, and what differs from their mean over time."""
        changes = x - x.mean(2, keepdim=True)
        # One convolution, with weights of 0 where a channel sees only colours or only changes.
        of_colours, of_changes = self.conv.weight.tensor_split([self.colours])
        colours = F.pad(of_colours, (0, 0, 0, 0, 0, 0, 0, 3))
        weight = torch.cat([colours, F.pad(of_changes, (0, 0, 0, 0, 0, 0, 3, 0))])
        x = torch.cat([x, changes], 1).contiguous(memory_format=LAYOUT)
        return F.relu(self.conv.convolved(x, weight, self.conv.bias))


class Downsample(Conv):
    """Half of the rows and columns, and of the time steps where `steps` is 2.

    The channels that come in count the entries of the structure tensor, where they do.
    """

    def __init__(self, channels: int, out_channels: int, steps: int) -> None:
        frames = 3 if steps == 2 else 1
        stride, padding = (steps, 2, 2), (frames // 2, 1, 1)
        super().__init__(channels, out_channels, (frames, 3, 3), stride, padding)

    def forward(self, x: Tensor, entries: Tensor | None) -> Tensor:
        """Convolve what stands beside each other in channels: (B, C, T, H, W) → (B, C', ...)."""
        if entries is None:
            return super().forward(x)
        # Putting them together first, and their gradients apart, takes longer.
        of_x, of_entries = self.weight.split([x.shape[1], entries.shape[1]], 1)
        return self.convolved(x, of_x, self.bias) + self.convolved(entries, of_entries, None)


class Block(backbone.Block):
    """Convolutions over space, then over time, added to what came in: (B, C, T, H, W)."""

    def __init__(self, channels: int, drop_path: float) -> None:
        super().__init__(drop_path)
        self.norm = GroupNorm(GROUPS, channels)
        self.space = Conv(channels, channels, (1, 3, 3), padding=(0, 1, 1))
        self.time = Conv(channels, channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Add the branch, computed in `dtype`."""

        def branch(x: Tensor) -> Tensor:
            x = self.space(F.relu(self.norm(x).to(dtype)))
            return self.time(F.relu(x))

        return self.add(x, branch)
