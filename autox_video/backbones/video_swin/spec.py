"""The specs of the Video Swin backbones (Liu et al., "Video Swin Transformer", CVPR 2022)."""

from collections.abc import Mapping
from typing import Any

from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES

WINDOW_SIZE = (8, 7, 7)
"""Published size of an attention window: time steps, rows and columns."""

_COLUMNS = "channels parameters_millions gib_per_clip gmacs_per_clip scratch_clips drop_path"
_PUBLISHED = {
    "tiny": (768, 28, 0.7, 22, 20_000, 0.1),
    "small": (768, 50, 1.2, 41, 100_000, 0.1),
    "base": (1024, 88, 1.8, 70, 200_000, 0.2),
    "large": (1536, 197, 2.8, 151, 1_000_000, 0.2),
}
_NANO = {
    "arch": {"embed_dims": 48, "depths": [2, 2, 2], "num_heads": [3, 6, 12]},
    # Weights are larger than in Swin's published initialisation, to leave the first plateau sooner.
    "init_cfg": [{"type": "Xavier", "layer": "Linear", "distribution": "uniform", "bias": 0.0}],
}


def _register(name: str, config: Mapping[str, Any], **facts: Any) -> None:
    shared = {"type": "VideoSwin", "patch_size": (2, 4, 4), "window_size": WINDOW_SIZE}
    spec = BackboneSpec(
        module="autox_video.backbones.video_swin.model",
        config={**shared, **config},
        window_size=WINDOW_SIZE,
        **facts,
    )
    BACKBONES.register(name)(spec)


_register(
    "swin_nano",
    _NANO,
    channels=192,
    parameters_millions=1.4,
    gib_per_clip=0.3,
    gmacs_per_clip=3,
    resolution=112,
    stages=3,
    follows_clips=True,
)
for _size, _figures in _PUBLISHED.items():
    _facts = dict(zip(_COLUMNS.split(), _figures, strict=True))
    _facts |= {"resolution": 224, "stages": 4, "head_dropout": 0.5}
    _register(f"swin_{_size}", {"arch": _size}, **_facts)
