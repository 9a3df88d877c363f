"""Registries of backbones, list formats and decoders; user modules can add entries to each."""

from typing import Any

from autox_video.core.registry import Registry

BACKBONES: Registry[Any] = Registry(
    "backbone",
    {
        "descriptors": "autox_video.backbones.descriptors.spec",
        "conv_nano": "autox_video.backbones.video_conv.spec",
        "swin_nano": "autox_video.backbones.video_swin.spec",
        "swin_tiny": "autox_video.backbones.video_swin.spec",
        "swin_small": "autox_video.backbones.video_swin.spec",
        "swin_base": "autox_video.backbones.video_swin.spec",
        "swin_large": "autox_video.backbones.video_swin.spec",
    },
    families={
        "timm": "autox_video.backbones.libraries.timm_images",
        "hf": "autox_video.backbones.libraries.transformers_models",
        "torchvision": "autox_video.backbones.libraries.torchvision_videos",
        "mmaction2": "autox_video.backbones.libraries.mmaction2_zoo",
        "vjepa2.1": "autox_video.backbones.vjepa21.spec",
    },
)
LIST_FORMATS: Registry[Any] = Registry(
    "data_format",
    {
        # Ordered from general to specific: the last format that recognises a list is used.
        "list": "autox_video.data.listing.formats.plain_list",
        "folders": "autox_video.data.listing.formats.plain_list",
        "json": "autox_video.data.listing.formats.json_list",
        "rawframes": "autox_video.data.listing.formats.rawframes",
        "jester": "autox_video.data.listing.formats.jester",
        "ucf101": "autox_video.data.listing.formats.ucf101",
        "hmdb51": "autox_video.data.listing.formats.hmdb51",
        "vertex_csv": "autox_video.data.listing.formats.vertex",
        "metadata": "autox_video.data.listing.formats.metadata",
        "vertex_jsonl": "autox_video.data.listing.formats.vertex",
        "kinetics": "autox_video.data.listing.formats.kinetics",
        "ssv2": "autox_video.data.listing.formats.ssv2",
        "activitynet": "autox_video.data.listing.formats.annotation_tools.activitynet",
        "fiftyone": "autox_video.data.listing.formats.annotation_tools.fiftyone",
        "label_studio": "autox_video.data.listing.formats.annotation_tools.label_studio",
        "via": "autox_video.data.listing.formats.annotation_tools.via",
        "elan": "autox_video.data.listing.formats.annotation_tools.elan",
    },
)
DECODERS: Registry[Any] = Registry(
    "decoder",
    {
        "pyav": "autox_video.video.decoders.pyav",
        "torchcodec": "autox_video.video.decoders.torchcodec",
        "decord": "autox_video.video.decoders.decord",
    },
)
