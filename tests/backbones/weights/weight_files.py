"""Small recognisers and files of their weights."""

from importlib import import_module

import torch
from mmaction.registry import MODELS
from mmengine.registry import DefaultScope

import autox_video.backbones.video_swin.model  # noqa: F401 (registers it)
from autox_video.config.choices import BACKBONES
from autox_video.tasks.classification.head import ClipHead

SMALL = {"embed_dims": 12, "depths": [2, 2], "num_heads": [2, 4]}
WINDOW = (4, 3, 3)


def recogniser(num_classes=5, arch=SMALL, window_size=WINDOW, **backbone):
    """A small recogniser with a Video Swin."""
    config = {"type": "VideoSwin", "arch": arch, "window_size": window_size, "drop_path_rate": 0.0}
    channels = arch["embed_dims"] * 2 ** (len(arch["depths"]) - 1)
    return _built({**config, **backbone}, channels, num_classes)


def recogniser_of(backbone, num_classes=400, **options):
    """A recogniser with a backbone; `options` are arguments of its class."""
    spec = BACKBONES[backbone]
    import_module(spec.module)
    return _built({**spec.config, **options}, spec.channels, num_classes)


def _built(backbone, channels, num_classes):
    head = {"type": ClipHead, "in_channels": channels, "num_classes": num_classes}
    with DefaultScope.overwrite_default_scope("mmaction"):
        return MODELS.build({"type": "Recognizer3D", "backbone": backbone, "cls_head": head}).eval()


def weights_file(path, backbone="swin_nano"):
    """Save weights of one of our backbones in mmaction2's layout."""
    path.parent.mkdir(exist_ok=True)
    torch.save({"state_dict": recogniser_of(backbone).state_dict(), "meta": {}}, path)
    return path


def random_state(seed=0, **options):
    """Weights of a small recogniser in mmaction2's naming, different for each seed."""
    torch.manual_seed(seed)
    state = recogniser(**options).state_dict()
    return {n: torch.randn_like(t) if t.is_floating_point() else t for n, t in state.items()}


def official(state):
    return {name.replace("backbone.norm1.", "backbone.norm."): t for name, t in state.items()}


def save(tmp_path, content, name="weights.pth"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


def backbone_of(model):
    state = model.state_dict()
    return {n: t for n, t in state.items() if n.startswith("backbone.") and "index" not in n}


def tables_of(state):
    return {n: t for n, t in state.items() if n.endswith("bias_table")}


def without_indices(state):
    return {name: t for name, t in state.items() if not name.endswith("position_index")}
