"""The specs of the Video Swins (Liu et al., "Video Swin Transformer", CVPR 2022)."""

from typing import Any

from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES

WINDOW_SIZE = (8, 7, 7)
"""Time steps, rows and columns of an attention window, as published."""


def _spec(arch: str | dict, *, init_cfg: list[dict] | None = None, **facts: Any) -> BackboneSpec:
    config = {"arch": arch, "patch_size": (2, 4, 4), "window_size": WINDOW_SIZE}
    return BackboneSpec(
        module="autox_video.backbones.video_swin.model",
        config={"type": "VideoSwin", **config, **({"init_cfg": init_cfg} if init_cfg else {})},
        window_size=WINDOW_SIZE,
        **facts,
    )


_PUBLISHED = {"resolution": 224, "head_dropout": 0.5}

_SPECS = {
    "swin_nano": _spec(
        {"embed_dims": 48, "depths": [2, 2, 2], "num_heads": [3, 6, 12]},
        # Larger than the weights that Swin starts with: it leaves the first plateau sooner.
        init_cfg=[{"type": "Xavier", "layer": "Linear", "distribution": "uniform", "bias": 0.0}],
        channels=192,
        parameters_millions=1.4,
        gib_per_clip=0.3,
        gmacs_per_clip=3,
        resolution=112,
        follows_clips=True,
    ),
    "swin_tiny": _spec(
        "tiny",
        channels=768,
        parameters_millions=28,
        gib_per_clip=0.7,
        gmacs_per_clip=22,
        scratch_clips=20_000,
        drop_path=0.1,
        **_PUBLISHED,
    ),
    "swin_small": _spec(
        "small",
        channels=768,
        parameters_millions=50,
        gib_per_clip=1.2,
        gmacs_per_clip=41,
        scratch_clips=100_000,
        drop_path=0.1,
        **_PUBLISHED,
    ),
    "swin_base": _spec(
        "base",
        channels=1024,
        parameters_millions=88,
        gib_per_clip=1.8,
        gmacs_per_clip=70,
        scratch_clips=200_000,
        drop_path=0.2,
        **_PUBLISHED,
    ),
    "swin_large": _spec(
        "large",
        channels=1536,
        parameters_millions=197,
        gib_per_clip=2.8,
        gmacs_per_clip=151,
        scratch_clips=1_000_000,
        drop_path=0.2,
        **_PUBLISHED,
    ),
}

for _name, _made in _SPECS.items():
    BACKBONES.register(_name)(_made)
