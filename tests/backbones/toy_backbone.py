"""A backbone as a user adds it: `custom_imports` names this module, and `backbone: toy` chooses."""

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from autox_video.backbones.backbone import Backbone, Block
from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES


class ToyBlock(Block):
    """A convolution of each pixel's channels."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__(drop_path)
        self.conv = nn.Conv3d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.add(x, lambda x: self.conv(x).relu())


@MODELS.register_module()
class Toy(Backbone):
    """Patches of 8x8 px, and two blocks: (B, 3, T, H, W) → (B, width, T, H / 8, W / 8)."""

    def __init__(
        self,
        width: int,
        *,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        precision: str = "float32",
        compile: bool = False,
    ) -> None:
        super().__init__(with_cp=with_cp, precision=precision)
        self.patches = nn.Conv3d(3, width, (1, 8, 8), (1, 8, 8))
        rates = torch.linspace(0, drop_path_rate, 2).tolist()
        self.layers = nn.ModuleList(ToyBlock(width, rate) for rate in rates)
        if compile:
            self.compile_blocks()

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        for block in self.blocks():
            x = self.run_block(block, x)
        return x


BACKBONES.register("toy")(
    BackboneSpec(
        module=__name__,
        config={"type": "Toy", "width": 12},
        channels=12,
        parameters_millions=0.003,
        gib_per_clip=0.01,
        gmacs_per_clip=0.004,
        resolution=64,
        scratch_lr=1e-2,
        mean=(120.0, 110.0, 100.0),
    )
)
