"""The backbone spec of the hand-crafted clip descriptors."""

from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES

BACKBONES.register("descriptors")(
    BackboneSpec(
        module="autox_video.backbones.descriptors.model",
        config={"type": "ClipDescriptors"},
        channels=2980,
        parameters_millions=0.0,
        gib_per_clip=0.1,  # only of the forward pass, as nothing is trained
        gmacs_per_clip=0.2,
        resolution=112,
        follows_clips=True,
        frames_per_sec=8,
        learns=False,
    )
)
