"""Backbones from timm: features, gradients, freezing, checkpointing and published files."""

import copy

import pytest
import timm
import torch
from safetensors.torch import save_file

from autox_video.backbones.libraries.library_backbone import TimeShift
from autox_video.backbones.libraries.timm_images import TimmImages
from autox_video.backbones.weights.known_weights import find_packaged
from autox_video.backbones.weights.loading import load_pretrained
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import CheckpointError, ConfigError
from autox_video.training.optimizer import blocks_above
from tests.backbones.libraries import contract
from tests.backbones.weights.weight_files import recogniser_of

NETS = {
    "resnet10t": (512, False),
    "test_efficientnet": (256, False),
    "test_vit": (128, True),  # class token
    "test_convnext": (128, True),  # norm after pooling
    "mobilenetv4_conv_small_035": (None, True),  # convolution after pooling
    "swin_tiny_patch4_window7_224": (768, False),
}
"""Number of channels, and whether the head's own output is appended."""
SIDE = {"swin_tiny_patch4_window7_224": 224, "test_vit": 160}


def clips_for(name, count=2, frames=3):
    torch.manual_seed(1)
    return torch.randn(count, 3, frames, *[SIDE.get(name, 64)] * 2)


def backbone(name, **keys):
    torch.manual_seed(0)
    return TimmImages(name, side=SIDE.get(name, 64), **keys)


@pytest.mark.parametrize("name", NETS)
def test_the_mean_over_the_map_of_a_frame_is_what_timm_gives(name):
    channels, appends = NETS[name]
    ours = backbone(name).eval()
    clips = clips_for(name)
    with torch.inference_mode():
        found = ours(clips)
        frame = clips[1, :, 2][None]
        map_of_timm = ours.net.forward_features(frame)
        pooled = ours.net.forward_head(map_of_timm, pre_logits=True)[0]
    assert found.shape[:3] == (2, len(found[0]), 3)
    assert ours.appends == appends
    mean = found[1, :, 2].mean((1, 2))
    if appends:
        torch.testing.assert_close(mean[-len(pooled) :], pooled, rtol=1e-4, atol=1e-5)
    else:
        torch.testing.assert_close(mean, pooled, rtol=1e-4, atol=1e-5)
        assert len(mean) == channels


@pytest.mark.parametrize("name", NETS)
def test_the_spec_gives_the_channels_the_blocks_and_the_normalisation(name):
    spec = BACKBONES[f"timm:{name}"]
    published = timm.get_pretrained_cfg(name)
    assert backbone(name).eval()(clips_for(name, 1, 1)).shape[1] == spec.channels
    assert spec.stages == len(backbone(name).stage_modules()) > 1
    assert spec.mean == pytest.approx([255 * value for value in published.mean])
    assert spec.std == pytest.approx([255 * value for value in published.std])
    millions = sum(p.numel() for p in timm.create_model(name, num_classes=0).parameters()) / 1e6
    assert spec.parameters_millions == pytest.approx(millions)


def test_the_cost_is_that_of_all_frames():
    spec = BACKBONES["timm:resnet18"]
    assert spec.gmacs_per_clip == pytest.approx(8 * 1.814, rel=0.01)  # as published for an image


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_has_a_gradient_also_with_checkpointing(name):
    gradients = []
    for with_cp in (False, True):
        ours = backbone(name, with_cp=with_cp, norm_eval=True).train()
        for module in ours.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        ours(clips_for(name, 1, 2)).square().mean().backward()
        gradients.append([parameter.grad for parameter in ours.parameters()])
        assert all(gradient is not None for gradient in gradients[-1])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


@pytest.mark.parametrize("name", NETS)
def test_the_first_blocks_can_be_frozen(name):
    count = len(backbone(name).stage_modules()) - 1
    ours = backbone(name, frozen_stages=count).train()
    ours(clips_for(name, 1, 2)).square().mean().backward()
    last = set(ours.stage_modules()[-1][0].parameters())
    assert last and all(parameter.grad is not None for parameter in last)
    frozen = {p for stage in ours.stage_modules()[:count] for m in stage for p in m.parameters()}
    assert all(parameter.grad is None for parameter in frozen)
    assert not any(parameter.requires_grad for parameter in ours.net.parameters(recurse=False))


@pytest.mark.parametrize("name", NETS)
def test_earlier_blocks_have_more_blocks_above(name):
    ours = backbone(name)
    above, blocks = blocks_above(ours), list(ours.blocks())
    assert [above[next(block.parameters())] for block in blocks] == [*range(len(blocks))][::-1]
    in_order = [above[parameter] for parameter in ours.in_forward_order()]
    assert in_order == sorted(in_order, reverse=True)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet"])
def test_adapters(name):
    linears = BACKBONES[f"timm:{name}"].linears
    assert bool(linears) == (name != "test_efficientnet")
    if linears:
        contract.check_adapters(lambda **keys: backbone(name, **keys), linears, clips_for(name))


def test_batch_norms_keep_their_statistics_if_asked():
    ours = backbone("resnet10t", norm_eval=True).train()
    before = ours.net.bn1.running_mean.clone()
    ours(clips_for("resnet10t"))
    assert torch.equal(ours.net.bn1.running_mean, before)
    assert ours.net.layer1.training


def test_a_published_file_is_loaded_whole(tmp_path):
    torch.manual_seed(3)
    theirs = timm.create_model("test_vit", num_classes=7).eval()
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    model = recogniser_of("timm:test_vit")
    report = load_pretrained(model, tmp_path / "model.safetensors")
    images = clips_for("test_vit")[:, :, 0]
    with torch.inference_mode():
        torch.testing.assert_close(
            model.backbone.eval().net.forward_features(images), theirs.forward_features(images)
        )
    assert report.loaded == len(model.backbone.net.state_dict())


def test_a_file_of_another_model_is_refused(tmp_path):
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "model.safetensors")
    model = recogniser_of("timm:test_vit")
    with pytest.raises(CheckpointError, match="are not in the file"):
        load_pretrained(model, tmp_path / "model.safetensors")


@pytest.mark.slow
def test_the_packaged_encoder_knows_what_it_sees():
    """The package's classifier on our features gives the same scores as timm's own model."""
    (packaged,) = find_packaged()
    model = recogniser_of("timm:tf_efficientnet_lite0")
    load_pretrained(model, packaged.path)
    state = torch.load(packaged.path, weights_only=True)
    theirs = timm.create_model("tf_efficientnet_lite0")
    names = list(theirs.state_dict())
    theirs.load_state_dict(dict(zip(names, state.values(), strict=True)))
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        found = model.backbone.eval()(images[:, :, None]).mean((2, 3, 4))
        logits = found @ state["_fc.weight"].T + state["_fc.bias"]
        torch.testing.assert_close(logits, theirs.eval()(images), rtol=1e-3, atol=1e-3)


def test_names_that_timm_does_not_have_are_refused_with_similar_ones():
    with pytest.raises(ConfigError, match="timm:resnet18"):
        BACKBONES["timm:resnet18x"]


SHIFTED = {
    "test_resnet": 4,
    "test_convnext": 9,
    "mobilenetv4_conv_small_035": 10,
    "tf_efficientnet_lite0": 9,
    "regnety_002": 13,
    "test_vit": 0,
    "vgg11": 0,
}
"""Number of layers before which channels can be shifted."""


@pytest.mark.parametrize(("name", "count"), SHIFTED.items())
def test_channels_can_be_shifted_before_each_residual_branch(name, count):
    with torch.device("meta"):
        assert len(TimmImages(name).shifted_layers()) == count


def test_an_eighth_of_the_channels_comes_from_each_neighbour():
    shift = TimeShift()
    shift.frames = 3
    frames = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 8, 2, 2)  # two clips, numbered frames
    found = shift(torch.nn.Identity(), (frames,))[:, :, 1, 1].view(2, 3, 8)
    assert found[:, :, 0].tolist() == [[1, 2, 2], [4, 5, 5]]
    assert found[:, :, 1].tolist() == [[0, 0, 1], [3, 3, 4]]
    assert (found[:, :, 2:] == torch.arange(6.0).view(2, 3, 1)).all()


@pytest.mark.parametrize("name", [name for name, count in SHIFTED.items() if count])
def test_shifted_frames_see_their_neighbours_and_still_clips_are_unchanged(name):
    plain, shifted = backbone(name).eval(), backbone(name, time_shift=True).eval()
    contract.random_weights(plain.net)  # the initial weights of the branches are zero
    shifted.load_state_dict(plain.state_dict(), strict=True)
    moving = clips_for(name, frames=6)
    still = moving[:, :, :1].expand(-1, -1, 6, -1, -1)
    other = moving.clone()
    other[:, :, 5] = moving[:, :, 0]
    with torch.no_grad():
        torch.testing.assert_close(shifted(still), plain(still), rtol=1e-4, atol=1e-5)
        mean, reverse = shifted(moving).mean(2), shifted(moving.flip(2)).mean(2)
        torch.testing.assert_close(plain(moving).mean(2), plain(moving.flip(2)).mean(2))
        changed = (shifted(moving) - shifted(other)).abs().amax((0, 1, 3, 4)) > 1e-6
    assert (mean - reverse).abs().max() > 1e-4
    assert changed[4:].all()


def test_a_shifting_backbone_is_trained_like_others():
    def build(**keys):
        ours = backbone("test_resnet", time_shift=True, **keys)
        contract.random_weights(ours.net)
        return ours

    clips = clips_for("test_resnet")
    contract.check_gradients(build(), clips)
    contract.check_checkpointing(build, clips)
    copied = copy.deepcopy(build().eval())
    with torch.no_grad():
        torch.testing.assert_close(copied(clips[:1, :, :2]), build().eval()(clips[:1, :, :2]))


@pytest.mark.parametrize(("name", "shifts"), [("test_resnet", True), ("test_vit", False)])
def test_the_spec_says_whether_channels_can_be_shifted(name, shifts):
    assert BACKBONES[f"timm:{name}"].time_shift is shifts
