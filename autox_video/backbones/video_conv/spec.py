"""The backbone spec of the small video CNN."""

from autox_video.backbones.spec import BackboneSpec
from autox_video.config.choices import BACKBONES

BACKBONES.register("conv_nano")(
    BackboneSpec(
        module="autox_video.backbones.video_conv.model",
        config={
            "type": "VideoConv",
            "channels": (24, 32, 64, 128, 256),
            "depths": (1, 1, 2, 1),
        },
        channels=512,
        parameters_millions=1.8,
        gib_per_clip=0.2,
        gmacs_per_clip=1.7,
        resolution=112,
        stages=4,
        follows_clips=True,
        frames_per_sec=8,  # at a lower rate, the direction of motion would be lost
        scratch_clips=0,
        scratch_lr=1e-3,
        scratch_recolours=True,
    )
)
