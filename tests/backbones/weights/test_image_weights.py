import pytest
import torch
from safetensors.torch import save_file
from timm.models.swin_transformer import SwinTransformer as TimmSwin
from torchvision.models import SwinTransformer

from autox_video.backbones.weights import loading
from autox_video.backbones.weights.resizing import resized_table
from autox_video.core.errors import CheckpointError
from tests.backbones.weights.weight_files import (
    WINDOW,
    backbone_of,
    recogniser,
    save,
    without_indices,
)

pytestmark = pytest.mark.usefixtures("small_backbone")


def torchvision_image_swin(window_size=WINDOW[1:]):
    torch.manual_seed(2)
    model = SwinTransformer(
        [4, 4], 12, [2, 2], [2, 4], list(window_size), num_classes=9, stochastic_depth_prob=0.0
    )
    return with_noise(model)


def timm_image_swin():
    torch.manual_seed(3)
    sizes = {"img_size": 48, "window_size": 3, "embed_dim": 12, "num_classes": 9}
    return with_noise(TimmSwin(depths=(2, 2), num_heads=(2, 4), drop_path_rate=0.0, **sizes))


def with_noise(model):
    """Away from its initialisation, in which biases and tables are next to nothing."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def in_official_image_naming(state):
    """From torchvision's naming, for two stages."""
    renamed = {}
    for name, tensor in state.items():
        for theirs, official_name in {
            "features.0.0.": "patch_embed.proj.",
            "features.0.2.": "patch_embed.norm.",
            "features.1.": "layers.0.blocks.",
            "features.2.": "layers.0.downsample.",
            "features.3.": "layers.1.blocks.",
            ".mlp.0.": ".mlp.fc1.",
            ".mlp.3.": ".mlp.fc2.",
        }.items():
            name = name.replace(theirs, official_name)
        renamed[name] = tensor.view(9, 9) if name.endswith("position_index") else tensor
    return {"model": {**renamed, "layers.0.blocks.1.attn_mask": torch.zeros(16, 9, 9)}}


def image_file(tmp_path, layout):
    """A file of image weights, and what gives the features of its model: (B, C, H, W)."""
    if layout == "timm image Swin":
        model = timm_image_swin()
        save_file(model.state_dict(), tmp_path / "images.safetensors")
        features = model.forward_features
        return tmp_path / "images.safetensors", lambda x: features(x).permute(0, 3, 1, 2)
    model = torchvision_image_swin()
    state = model.state_dict()
    content = state if layout == "torchvision image Swin" else in_official_image_naming(state)
    path = save(tmp_path, content)
    return path, lambda x: model.norm(model.features(x)).permute(0, 3, 1, 2)


IMAGE_LAYOUTS = ["official image Swin", "timm image Swin", "torchvision image Swin"]


@pytest.mark.parametrize("layout", IMAGE_LAYOUTS)
def test_a_still_clip_gets_the_features_of_its_image(tmp_path, layout):
    """Equal frames share the attention to each of them evenly, so the mixture is the image's.

    So it is with windows clipped to a short clip, and with shifted windows in a long one. Only
    where a clip ends within a window, the places that are filled up take a share.
    """
    path, features = image_file(tmp_path, layout)
    model = recogniser()
    report = loading.load_pretrained(model, path)
    assert (report.layout, report.resized) == (layout, {})
    image = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        expected = features(image)
        for frames in (2, 4, 6, 8, 16, 24):
            clip = image[:, :, None].expand(-1, -1, frames, -1, -1)
            found = model.backbone(clip)
            assert found.shape == (2, 24, frames // 2, 6, 6)
            assert torch.allclose(found, expected[:, :, None].expand_as(found), atol=1e-5)


@pytest.mark.parametrize("steps", [1, 4])
def test_images_are_inflated_over_any_number_of_frames_in_a_patch(tmp_path, steps):
    path, features = image_file(tmp_path, "torchvision image Swin")
    model = recogniser(patch_size=(steps, 4, 4))
    loading.load_pretrained(model, path)
    image = torch.randn(1, 3, 52, 44)
    with torch.no_grad():
        found = model.backbone(image[:, :, None].expand(-1, -1, 8, -1, -1))
        assert torch.allclose(found, features(image)[:, :, None].expand_as(found), atol=1e-5)


@pytest.mark.parametrize("layout", IMAGE_LAYOUTS)
def test_the_report_on_images(tmp_path, layout):
    path, _ = image_file(tmp_path, layout)
    model = recogniser()
    head = model.cls_head.fc_cls.weight.detach().clone()
    report = loading.load_pretrained(model, path)
    count = len(backbone_of(model))
    assert torch.equal(model.cls_head.fc_cls.weight, head)
    assert (report.loaded, report.inflated, report.resized) == (count, True, {})
    assert set(report.skipped) == set(report.missing)
    assert report.sentence() == (
        f"Loaded {count} of {count + 2} tensors of {path} ({layout}, swin_small_of_this_test); "
        f"image weights, inflated over time; skipped 2 head tensors of the file: "
        f"{', '.join(report.skipped)}; "
        "2 tensors of the new head initialised randomly."
    )


@pytest.mark.parametrize("indexed", [True, False])
def test_image_tables_of_another_window_are_resized_in_space(tmp_path, indexed):
    state = torchvision_image_swin((6, 6)).state_dict()
    model = recogniser()
    path = save(tmp_path, state if indexed else without_indices(state))
    report = loading.load_pretrained(model, path)
    theirs = state["features.3.1.attn.relative_position_bias_table"]
    ours = model.state_dict()["backbone.layers.1.blocks.1.attn.relative_position_bias_table"]
    assert torch.equal(ours, resized_table(theirs, (6, 6), WINDOW))
    assert len(report.resized) == 4
    assert "; 4 bias tables resized from windows of 6x6 to 4x3x3; " in report.sentence()


def test_each_table_is_resized_from_its_own_window(tmp_path):
    """In models for small images the last stages have smaller windows."""
    state = torchvision_image_swin((3, 3)).state_dict()
    other = torchvision_image_swin((2, 2)).state_dict()
    state.update({n: t for n, t in other.items() if "relative_position" in n and ".3." in n})
    report = loading.load_pretrained(recogniser(), save(tmp_path, state))
    assert set(report.resized.values()) == {((2, 2), WINDOW)}
    assert all("layers.1" in name for name in report.resized)
    assert len(report.resized) == 2


def test_images_of_another_patch_size_are_refused(tmp_path):
    model = SwinTransformer([8, 8], 12, [2, 2], [2, 4], [3, 3])
    path = save(tmp_path, model.state_dict())
    with pytest.raises(CheckpointError, match="12x3x8x8 in the file, 12x3x2x4x4 in the model"):
        loading.load_pretrained(recogniser(), path)
    with pytest.raises(CheckpointError, match="12x3x8x8 in the file, 12x3x2x4x4 in the model"):
        loading.identify_file(path)


def test_image_weights_that_lack_a_tensor_or_have_one_more_are_refused(tmp_path):
    state = torchvision_image_swin().state_dict()
    lacking = {name: t for name, t in state.items() if name != "features.2.norm.bias"}
    path = save(tmp_path, lacking)
    with pytest.raises(CheckpointError, match=r"0\.downsample\.norm\.bias: none in the file, 48 i"):
        loading.load_pretrained(recogniser(), path)
    path = save(tmp_path, {**state, "features.3.0.attn.scale": torch.ones(4)})
    with pytest.raises(CheckpointError, match=r"attn\.scale: 4 in the file, none in the model"):
        loading.load_pretrained(recogniser(), path)


@pytest.mark.parametrize("layout", IMAGE_LAYOUTS)
def test_identify_file_gives_the_usual_window_for_images(tmp_path, layout):
    path, _ = image_file(tmp_path, layout)
    found = loading.identify_file(path)
    assert (found.backbone, found.source) == ("swin_small_of_this_test", layout)
    assert found.window_size == WINDOW
