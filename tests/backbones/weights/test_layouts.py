import pytest
import torch
from timm.models.swin_transformer import SwinTransformer as TimmSwin
from torchvision.models.swin_transformer import (
    PatchMergingV2,
    ShiftedWindowAttention,
    SwinTransformer,
    SwinTransformerBlockV2,
)
from torchvision.models.video.swin_transformer import SwinTransformer3d

from autox_video.backbones.video_swin.model import VideoSwin
from autox_video.backbones.weights.layouts import (
    named_weights,
)
from autox_video.core.errors import CheckpointError

ARCH = {"embed_dims": 12, "depths": (2, 2, 2), "num_heads": (2, 4, 4)}


def video_state():
    """Names of a recogniser of ours, with its head."""
    backbone = VideoSwin(ARCH, window_size=(4, 3, 3)).state_dict()
    state = {f"backbone.{name}": tensor for name, tensor in backbone.items()}
    head = {"cls_head.fc_cls.weight": torch.zeros(9, 48), "cls_head.fc_cls.bias": torch.zeros(9)}
    return {**state, **head}


def names_but_computed(state):
    return {n for n in state if "relative_position_index" not in n and "attn_mask" not in n}


def torchvision_images():
    return SwinTransformer([4, 4], 12, [2, 2, 2], [2, 4, 4], [3, 3], num_classes=9).state_dict()


def torchvision_video():
    model = SwinTransformer3d([2, 4, 4], 12, [2, 2, 2], [2, 4, 4], [4, 3, 3], num_classes=9)
    return model.state_dict()


def timm_images():
    sizes = {"img_size": 48, "window_size": 3, "embed_dim": 12, "num_classes": 9}
    return TimmSwin(depths=ARCH["depths"], num_heads=ARCH["num_heads"], **sizes).state_dict()


def official_images():
    """As timm's, but patches are merged at the end of a stage, and the head is plain."""
    renamed = {}
    for name, tensor in timm_images().items():
        name = name.replace("layers.1.downsample", "layers.0.downsample")
        name = name.replace("layers.2.downsample", "layers.1.downsample")
        renamed[name.replace("head.fc.", "head.")] = tensor
    mask = torch.full((16, 9, 9), -100.0)
    index = ShiftedWindowAttention(12, [3, 3], [0, 0], 2).relative_position_index.view(9, 9)
    for block in (0, 1):
        renamed[f"layers.0.blocks.{block}.attn.relative_position_index"] = index
    return {**renamed, "layers.0.blocks.1.attn_mask": mask}


def bare_video():
    renamed = {name.replace("cls_head.fc_cls", "head"): t for name, t in video_state().items()}
    return {name.removeprefix("backbone."): t for name, t in renamed.items()}


def official_video():
    return {n.replace("backbone.norm2.", "backbone.norm."): t for n, t in video_state().items()}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (video_state, "mmaction2"),
        (official_video, "official Video Swin"),
        (bare_video, "bare backbone"),
        (torchvision_video, "torchvision"),
        (official_images, "official image Swin"),
        (timm_images, "timm image Swin"),
        (torchvision_images, "torchvision image Swin"),
    ],
)
def test_every_layout_gets_our_names_and_shapes(make, expected):
    weights = named_weights(make())
    state = weights.state
    assert weights.layout == expected
    ours = video_state()
    assert names_but_computed(state) == names_but_computed(ours)
    for name in names_but_computed(ours):
        # Without the time that images do not have.
        if not name.endswith(("bias_table", "patch_embed.proj.weight")):
            assert state[name].shape == ours[name].shape, name


def test_timms_merging_of_patches_goes_to_the_stage_before():
    state = timm_images()
    ours = named_weights(state).state
    for stage in (1, 2):
        theirs = state[f"layers.{stage}.downsample.reduction.weight"]
        assert ours[f"backbone.layers.{stage - 1}.downsample.reduction.weight"] is theirs


def test_what_follows_from_the_window_is_kept_apart():
    weights = named_weights(official_images())
    assert set(weights.tensors) == names_but_computed(weights.tensors)
    table = "backbone.layers.0.blocks.{}.attn.relative_position_bias_table"
    assert weights.index_of(table.format(1)) is not None
    assert weights.images
    assert len(weights.tables) == 6
    assert not named_weights(video_state()).images


def torchvision_v2():
    blocks = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2}
    return SwinTransformer([4, 4], 12, [2, 2], [2, 4], [3, 3], **blocks).state_dict()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (torchvision_v2(), "contains a Swin v2.*use weights of Swin v1"),
        (
            {**official_images(), "absolute_pos_embed": torch.zeros(1, 144, 12)},
            "absolute position embeddings.*trained without them",
        ),
        (
            {
                "backbone.patch_embed.projection.weight": torch.zeros(12, 3, 4, 4),
                "backbone.stages.0.blocks.0.attn.w_msa.qkv.weight": torch.zeros(36, 12),
            },
            "mmpretrain's layout.*use the official",
        ),
        (
            {"conv1.weight": torch.zeros(3)},
            r"does not contain a Swin in a known layout .*conv1\.weight",
        ),
        (
            {"patch_embed.proj.weight": torch.zeros(12, 3, 4, 4)},
            "does not contain a Swin in a known layout",
        ),
        (
            {
                "patch_embed.proj.weight": torch.zeros(12),
                "layers.0.blocks.0.norm1.weight": torch.zeros(12),
            },
            "does not contain a Swin in a known layout",
        ),
    ],
)
def test_other_models_are_refused(state, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        named_weights(state)
