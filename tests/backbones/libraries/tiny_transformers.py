"""Tiny random transformers models, saved with `save_pretrained`."""

from pathlib import Path

import torch
from transformers import (
    AutoModel,
    AutoModelForVideoClassification,
    BitImageProcessor,
    ConvNextImageProcessor,
    LlavaOnevisionVideoProcessor,
    SiglipImageProcessor,
    TimesformerVideoProcessor,
    ViTImageProcessor,
    VivitVideoProcessor,
    VJEPA2VideoProcessor,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.videomae.image_processing_videomae import VideoMAEImageProcessor

PX, FRAMES = 32, 4
_WIDTHS = {"hidden_size": 24, "intermediate_size": 48, "num_attention_heads": 2}
_SMALL = {**_WIDTHS, "num_hidden_layers": 3}
_PATCHES = {**_SMALL, "image_size": PX, "patch_size": 8}
_JEPA = {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 3, "patch_size": 8}
_PREDICTOR = {f"pred_{n}": 1 for n in ("num_hidden_layers", "num_attention_heads")}
CONFIGS = {
    "videomae": {**_PATCHES, "num_frames": FRAMES},
    "timesformer": {**_PATCHES, "num_frames": FRAMES},
    "vivit": {**_SMALL, "image_size": PX, "num_frames": FRAMES, "tubelet_size": [2, 8, 8]},
    "vjepa2": {
        **(_JEPA | _PREDICTOR),
        **{"crop_size": PX, "frames_per_clip": FRAMES, "num_pooler_layers": 1},
        "pred_hidden_size": 24,
    },
    "videoprism_vision_model": {
        **_WIDTHS,
        **{"image_size": PX, "num_frames": FRAMES, "tubelet_size": [1, 8, 8]},
        **{"num_spatial_layers": 2, "num_temporal_layers": 2},
    },
    "vit": _PATCHES,
    "dinov2": {**_JEPA, "image_size": 64, "mlp_ratio": 2},
    "dinov2_with_registers": {**_JEPA, "image_size": 64, "mlp_ratio": 2},
    "dinov3_vit": {**_PATCHES, "num_register_tokens": 4},
    "siglip": {
        "vision_config": _PATCHES,
        "text_config": {**_SMALL, "vocab_size": 40, "max_position_embeddings": 8},
    },
    "clip_vision_model": {**_PATCHES, "projection_dim": 16},
    "convnext": {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "num_stages": 4},
    "swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "image_size": PX}
    | {"window_size": 4},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2]},
}
"""Values of tiny configs by type of model."""
VIDEOS = ("videomae", "timesformer", "vivit", "vjepa2", "videoprism_vision_model")
IMAGES = tuple(name for name in CONFIGS if name not in VIDEOS)
_CROP = {"size": {"shortest_edge": PX}, "crop_size": {"height": PX, "width": PX}}
_SQUARE = {"size": {"height": PX, "width": PX}}
_OWN = {"image_mean": [0.4, 0.45, 0.5], "image_std": [0.2, 0.25, 0.3]}
_IMAGE = (BitImageProcessor, _CROP | _OWN)
PROCESSORS = {
    "videomae": (VideoMAEImageProcessor, _CROP | _OWN),
    "timesformer": (TimesformerVideoProcessor, _CROP | _OWN),
    "vivit": (VivitVideoProcessor, _CROP),
    "vjepa2": (VJEPA2VideoProcessor, {"crop_size": PX}),
    "videoprism_vision_model": (LlavaOnevisionVideoProcessor, _SQUARE | {"do_normalize": False}),
    "vit": (ViTImageProcessor, _SQUARE),
    "siglip": (SiglipImageProcessor, _SQUARE),
    "convnext": (ConvNextImageProcessor, {"size": {"shortest_edge": 384}} | _OWN),
}
"""Processor of each type of model, with arguments; other types have the one of DINOv2."""


def tiny_model(kind, *, has_head=True):
    """Return a random model; its layer norms and position embeddings have random values too."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](**CONFIGS[kind])
    auto = AutoModelForVideoClassification if kind in VIDEOS and has_head else AutoModel
    model = auto.from_config(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() == 1 or "position" in name or "time" in name or "token" in name:
                value.add_(0.3 * torch.randn_like(value))
    return model


def processor_of(kind):
    made, keys = PROCESSORS.get(kind, _IMAGE)
    return made(**keys)


def saved(folder: Path, kind: str, *, has_head: bool = True) -> Path:
    """Return a folder with a tiny model and its processor."""
    tiny_model(kind, has_head=has_head).save_pretrained(folder)
    processor_of(kind).save_pretrained(folder)
    return folder


def saved_with_text(folder: Path) -> Path:
    """Return a folder with a tiny VideoPrism for videos and text, and its processor."""
    torch.manual_seed(0)
    text = {**_SMALL, "vocab_size": 40, "max_position_embeddings": 8}
    video = {**CONFIGS["videoprism_vision_model"], "num_auxiliary_layers": 1}
    config = CONFIG_MAPPING["videoprism"](vision_config=video, text_config=text)
    AutoModel.from_config(config).save_pretrained(folder)
    processor_of("videoprism_vision_model").save_pretrained(folder)
    return folder
