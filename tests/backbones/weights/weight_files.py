"""Small recognisers and files of their weights."""

import torch
from mmaction.registry import MODELS
from mmengine.registry import DefaultScope

import autox_video.backbones.video_swin.model  # noqa: F401 (registers it)
from autox_video.tasks.classification.head import ClipHead

SMALL = {"embed_dims": 12, "depths": [2, 2], "num_heads": [2, 4]}
WINDOW = (4, 3, 3)


def recogniser(num_classes=5, arch=SMALL, window_size=WINDOW, **backbone):
    config = {
        "type": "Recognizer3D",
        "backbone": {
            "type": "VideoSwin",
            "arch": arch,
            "window_size": window_size,
            "drop_path_rate": 0.0,
            **backbone,
        },
        "cls_head": {
            "type": ClipHead,
            "in_channels": arch["embed_dims"] * 2 ** (len(arch["depths"]) - 1),
            "num_classes": num_classes,
        },
    }
    return built(config).eval()


def built(config):
    with DefaultScope.overwrite_default_scope("mmaction"):
        return MODELS.build(config)


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
