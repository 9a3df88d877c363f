"""The registries behind config keys that choose by name; a user's module may add to each."""

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
)
LIST_FORMATS: Registry[Any] = Registry(
    "data_format",
    {
        "list": "autox_video.data.listing.formats.text_lists",
        "folders": "autox_video.data.listing.folders.class_folders",
        "ucf101": "autox_video.data.listing.formats.official",
        "hmdb51": "autox_video.data.listing.formats.official",
        "kinetics": "autox_video.data.listing.formats.csv_lists",
        "ssv2": "autox_video.data.listing.formats.json_lists",
        "jester": "autox_video.data.listing.formats.csv_lists",
        "metadata": "autox_video.data.listing.formats.csv_lists",
        "vertex_csv": "autox_video.data.listing.formats.cloud",
        "vertex_jsonl": "autox_video.data.listing.formats.cloud",
        "rawframes": "autox_video.data.listing.formats.text_lists",
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
