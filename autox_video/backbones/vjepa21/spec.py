"""The specs of the V-JEPA 2.1 encoders (Mur-Labadia et al. 2026).

The sizes come from https://github.com/facebookresearch/vjepa2.
"""

from functools import partial

from autox_video.backbones.libraries.cost import cost_of
from autox_video.backbones.spec import BackboneSpec
from autox_video.backbones.vjepa21.model import VJEPA21
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import ConfigError

SIDE = 384
"""Published height and width of the input, in px."""
FRAMES = 16
"""Number of frames, as for V-JEPA 2 (see transformers_models.PROBED_FRAMES). The encoders accept
any even number of frames."""
_SIZES = {
    "base": {"width": 768, "depth": 12, "heads": 12, "mlp_ratio": 4.0},
    "large": {"width": 1024, "depth": 24, "heads": 16, "mlp_ratio": 4.0},
    "giant": {"width": 1408, "depth": 40, "heads": 22, "mlp_ratio": 48 / 11},
    "gigantic": {"width": 1664, "depth": 48, "heads": 26, "mlp_ratio": 64 / 13},
}


@BACKBONES.register_family("vjepa2.1")
def spec(name: str) -> BackboneSpec:
    """Return the spec of an encoder.

    Raises:
        ConfigError: there is no encoder with this name.
    """
    if name not in _SIZES:
        known = ", ".join(f"vjepa2.1:{each}" for each in _SIZES)
        raise ConfigError(f"backbone: there is no vjepa2.1:{name}; V-JEPA 2.1 has {known}.")
    size = _SIZES[name]
    clip = (FRAMES, SIDE, SIDE)
    return BackboneSpec(
        module=VJEPA21.__module__,
        config={"type": VJEPA21.__name__, **size},
        **cost_of(partial(VJEPA21, **size, frames=FRAMES, side=SIDE), clip).as_fields(),
        resolution=SIDE,
        frames=FRAMES,
        one_size=True,
        is_library=True,
        drop_path=0.1,
        head_dropout=0.5,
    )
