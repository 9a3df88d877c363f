"""A small video CNN that learns from little data and is fast on a CPU.

Spatial and temporal convolutions alternate, as in Tran et al., "A Closer Look at Spatiotemporal
Convolutions for Action Recognition", CVPR 2018, section 3.5. Two thirds of the first layer's
channels see only the difference from the clip's temporal mean, which removes static background.
The first three stages also receive the clip's structure tensor, downsampled to their resolution
(see structure_tensor.py). The structure tensor describes motion without any learned weights.
Each clip is normalised separately, so the output for a clip does not depend on the rest of the
batch.

Shape letters: B clips, C channels, T frames or time steps, H and W height and width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from autox_video.backbones import backbone
from autox_video.backbones.video_conv.structure_tensor import ENTRIES, halved, structure_tensor

GROUPS = 8
"""Number of groups in each group norm layer."""
HALVED_STAGE = 2
"""Index of the stage whose downsampling also halves the number of time steps."""
TENSOR_STAGES = 3
"""Number of leading stages that receive the structure tensor; later ones are too coarse."""
TENSOR_SCALE = 5.0
"""Factor that scales structure tensor entries to about the magnitude of the features."""
BRANCH_SCALE = 0.5
"""Initial weight scale of each block's last layer, which limits activation growth with depth."""
LAYOUT = torch.channels_last_3d


@MODELS.register_module()
class VideoConv(backbone.Backbone):
    """A residual network with separate spatial and temporal convolutions.

    The network maps clips (B, 3, T, H, W) to float32 features (B, 2 C, T', H', W'). C is
    channels[-1], T' is T / 2 with three or more stages (otherwise T), H' is H / 2^(stages + 1) and
    W' is W / 2^(stages + 1), each rounded up. The first C channels are local features. The others
    are the maxima of the local features over the clip, repeated at every position, so that a head
    with average pooling receives both averages and maxima.

    Args:
        channels: numbers of channels in the first layer and in each stage. The numbers for the
            stages must be multiples of 8. In the first layer, a third of the channels see colours,
            and the others see temporal changes.
        depths: number of blocks per stage.
        drop_path_rate: drop-path rate of the last block; it rises linearly from 0.
        with_cp, precision, frozen_stages: see `Backbone`.
        compile: whether to compile the blocks with torch.compile.
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
        frozen_stages: int = 0,
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
        self.freeze(frozen_stages)

    def stage_modules(self) -> list[list[nn.Module]]:
        """Return the modules of each stage, including the stem and the final norm."""
        stages = [[stage] for stage in self.stages]
        stages[0].insert(0, self.stem)
        stages[-1].append(self.norm)
        return stages

    def init_weights(self) -> None:
        """Use He initialisation, with smaller weights in the last layer of each residual branch."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in self.blocks():
            block.time.weight.data.mul_(BRANCH_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of the last stage; the class docstring gives the shapes."""
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
    """A 3D convolution that computes in the dtype of the input, whatever the weights' dtype."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of an input (B, C, T, H, W)."""
        return self.convolved(x, self.weight, self.bias)

    def convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution of an input with the given weight and bias."""
        # With so few time steps, oneDNN's gradients of 16-bit weights contain uninitialised memory.
        dtype = torch.float32 if x.shape[2] < self.kernel_size[0] else x.dtype
        bias = None if bias is None else bias.to(dtype)
        out = F.conv3d(x.to(dtype), weight.to(dtype), bias, self.stride, self.padding)
        return out.to(x.dtype)


class GroupNorm(nn.GroupNorm):
    """A group norm that computes in the dtype of the input, whatever the weights' dtype."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised input, (B, C, T, H, W)."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return F.group_norm(x, self.num_groups, weight, bias, self.eps)


class Stem(nn.Module):
    """The first layer, which maps clips (B, 3, T, H, W) to features (B, C, T, H / 2, W / 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.colours = channels // 3
        self.conv = Conv(3, channels, (3, 3, 3), (1, 2, 2), (1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of the clips and of their differences from the temporal mean."""
        changes = x - x.mean(2, keepdim=True)
        # This is a single convolution whose weights are 0 for inputs that a channel does not see.
        of_colours, of_changes = self.conv.weight.tensor_split([self.colours])
        colours = F.pad(of_colours, (0, 0, 0, 0, 0, 0, 0, 3))
        weight = torch.cat([colours, F.pad(of_changes, (0, 0, 0, 0, 0, 0, 3, 0))])
        x = torch.cat([x, changes], 1).contiguous(memory_format=LAYOUT)
        return F.relu(self.conv.convolved(x, weight, self.conv.bias))


class Downsample(Conv):
    """A convolution that halves height, width and, with `steps=2`, the number of time steps.

    `channels` includes the structure tensor's channels if the stage receives the tensor.
    """

    def __init__(self, channels: int, out_channels: int, steps: int) -> None:
        frames = 3 if steps == 2 else 1
        stride, padding = (steps, 2, 2), (frames // 2, 1, 1)
        super().__init__(channels, out_channels, (frames, 3, 3), stride, padding)

    def forward(self, x: Tensor, entries: Tensor | None) -> Tensor:
        """Return the convolution of both inputs, as if their channels were concatenated."""
        if entries is None:
            return super().forward(x)
        # Concatenating the inputs and splitting their gradients would be slower.
        of_x, of_entries = self.weight.split([x.shape[1], entries.shape[1]], 1)
        return self.convolved(x, of_x, self.bias) + self.convolved(entries, of_entries, None)


class Block(backbone.Block):
    """A residual block with a spatial and a temporal convolution, for inputs (B, C, T, H, W)."""

    def __init__(self, channels: int, drop_path: float) -> None:
        super().__init__(drop_path)
        self.norm = GroupNorm(GROUPS, channels)
        self.space = Conv(channels, channels, (1, 3, 3), padding=(0, 1, 1))
        self.time = Conv(channels, channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the input plus the residual branch, which is computed in `dtype`."""

        def branch(x: Tensor) -> Tensor:
            x = self.space(F.relu(self.norm(x).to(dtype)))
            return self.time(F.relu(x))

        return self.add(x, branch)
