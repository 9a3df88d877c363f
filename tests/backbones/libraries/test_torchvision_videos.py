import pytest
import torch
import torchvision
from torchvision.models import video
from torchvision.models.video import mvit, resnet
from torchvision.ops import StochasticDepth

from autox_video.backbones.libraries.torchvision_videos import TorchvisionVideos
from autox_video.backbones.lora import layers_for_adapters
from autox_video.config.choices import BACKBONES
from autox_video.core.errors import ConfigError
from tests.backbones.libraries import contract

NAMES = torchvision.models.list_models(module=video)
FAMILIES = ["r3d", "mc3", "r2plus1d", "s3d", "swin3d", "mvit_v1", "mvit_v2"]
FRAMES, SIDE = 8, 32


def blocks(kernel_q, stride_q):
    return [
        mvit.MSBlockConfig(1, 8, 8, kernel_q, [3, 3, 3], stride_q, [1, 2, 2]),
        mvit.MSBlockConfig(2, 8, 16, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 2, 2]),
        mvit.MSBlockConfig(2, 16, 16, kernel_q, [3, 3, 3], stride_q, [1, 1, 1]),
    ]


def tiny_resnet(stem, conv):
    class Stem(torch.nn.Sequential):
        def __init__(self):
            super().__init__(*stem())

    return resnet.VideoResNet(resnet.BasicBlock, [conv] * 4, [1, 1, 1, 1], Stem)


def tiny_mvit(version):
    keys = {"residual_pool": version == 2, "rel_pos_embed": version == 2}
    return video.MViT(
        (SIDE, SIDE),
        FRAMES,
        blocks([3, 3, 3] if version == 2 else [], [1, 1, 1] if version == 2 else []),
        residual_with_cls_embed=False,
        proj_after_attn=version == 2,
        stochastic_depth_prob=0.2,
        num_classes=5,
        **keys,
    )


def tiny_swin():
    sizes = {"patch_size": [2, 4, 4], "embed_dim": 8, "window_size": [4, 3, 3]}
    return video.SwinTransformer3d(**sizes, depths=[2, 2], num_heads=[1, 2], num_classes=5)


TINY = {
    "r3d": lambda: tiny_resnet(resnet.BasicStem, resnet.Conv3DSimple),
    "mc3": lambda: tiny_resnet(resnet.BasicStem, resnet.Conv3DNoTemporal),
    "r2plus1d": lambda: tiny_resnet(resnet.R2Plus1dStem, resnet.Conv2Plus1D),
    "s3d": lambda: video.S3D(num_classes=5),
    "swin3d": tiny_swin,
    "mvit_v1": lambda: tiny_mvit(1),
    "mvit_v2": lambda: tiny_mvit(2),
}


@pytest.fixture(params=FAMILIES)
def family(request, monkeypatch):
    """Build small models of each architecture in place of torchvision's models."""
    make = TINY[request.param]
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: make())
    return request.param


@pytest.fixture
def clips():
    torch.manual_seed(1)
    return torch.randn(2, 3, FRAMES, SIDE, SIDE)


def build(family, **options):
    backbone = TorchvisionVideos(family, **options)
    contract.random_weights(backbone.net)
    return backbone


def published(family):
    """Return a model with random weights and a head, as torchvision publishes its models."""
    torch.manual_seed(0)
    model = TINY[family]().eval()
    contract.random_weights(model)
    return model


def feature_map(model, clips):
    """Return what torchvision's own forward pass computes before pooling, or MViT's tokens."""
    seen = []
    if isinstance(model, video.MViT):
        model.norm.register_forward_hook(lambda module, x, y: seen.append(y))
    else:
        model.avgpool.register_forward_pre_hook(lambda module, x: seen.append(x[0]))
    if isinstance(model, video.S3D):
        model.avgpool.kernel_size = 1  # its own size is too large for a small clip
    model(clips)
    return seen[0]


def test_features_equal_torchvisions_own(family, clips):
    model = published(family)
    backbone = TorchvisionVideos(family, frames=FRAMES, side=SIDE).eval()
    contract.check_file(backbone, model.state_dict())
    with torch.no_grad():
        features, theirs = backbone(clips), feature_map(model, clips)
    if isinstance(model, video.MViT):
        tokens = features[:, :16].flatten(2).transpose(1, 2)
        torch.testing.assert_close(tokens, theirs[:, 1:], rtol=1e-5, atol=1e-5)
        token = theirs[:, 0][..., None, None, None].expand_as(features[:, 16:])
        torch.testing.assert_close(features[:, 16:], token, rtol=1e-5, atol=1e-5)
    else:
        torch.testing.assert_close(features, theirs, rtol=1e-5, atol=1e-5)


def test_a_gradient_reaches_every_parameter(family, clips):
    contract.check_gradients(build(family), clips)


def test_frozen_stages(family, clips):
    contract.check_freezing(lambda **options: build(family, **options), clips)


def test_layer_decay(family):
    contract.check_layer_decay(build(family))


def test_checkpointing(family, clips):
    contract.check_checkpointing(lambda **options: build(family, **options), clips)


def test_adapters(family, clips):
    backbone = build(family)
    with layers_for_adapters(backbone.net, backbone.blocks()) as linears:
        backbone(clips)
    assert bool(linears) == (family in ("swin3d", "mvit_v1", "mvit_v2"))
    if linears:
        contract.check_adapters(lambda **options: build(family, **options), linears, clips)


def test_bfloat16_is_close(family, clips):
    low, full = build(family, precision="bfloat16").eval(), build(family).eval()
    with torch.no_grad():
        expected, found = full(clips), low(clips)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("family", ["mvit_v1", "mvit_v2"], indirect=True)
@pytest.mark.parametrize("size", [(4, 32), (12, 64), (8, 36), (7, 30)])
def test_mvit_takes_other_sizes_and_its_published_file(family, size):
    frames, side = size
    model = published(family)
    backbone = TorchvisionVideos(family, frames=frames, side=side).eval()
    contract.check_file(backbone, model.state_dict())
    with torch.no_grad():
        features = backbone(torch.randn(1, 3, frames, side, side))
    side = -(-side // 4)
    assert features.shape == (1, 32, -(-frames // 2), -(-side // 2), -(-side // 2))


@pytest.mark.parametrize("name", ["mvit_v2_s", "swin3d_t"])
def test_the_drop_path_rate_of_the_last_block_rises_as_in_torchvision(name):
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
        rates = [m.p for m in model.modules() if isinstance(m, StochasticDepth)]
        backbone = TorchvisionVideos(name, drop_path_rate=max(rates))
    ours = [m.p for m in backbone.modules() if isinstance(m, StochasticDepth)]
    assert ours == pytest.approx(rates)


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_is_that_of_the_published_weights(name):
    spec = BACKBONES[f"torchvision:{name}"]
    weights = torchvision.models.get_model_weights(name).DEFAULT
    side = spec.resolution
    frames = torch.randint(0, 256, (4, 3, side, side), dtype=torch.uint8)
    theirs = weights.transforms(resize_size=(side, side))(frames)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
    ours = ((frames - mean) / std).transpose(0, 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    head = sum(p.numel() for n, p in _heads(name))
    assert spec.parameters_millions * 1e6 == weights.meta["num_params"] - head


def _heads(name):
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    return [(n, p) for n, p in model.named_parameters() if n.startswith(("fc", "head", "classif"))]


@pytest.mark.parametrize(
    ("name", "frames", "rate", "span_sec"),
    [("mvit_v2_s", 16, 7.5, 32 / 15), ("swin3d_t", None, 15, 32 / 15), ("s3d", None, 15, 128 / 15)],
)
def test_frames_and_their_rate(name, frames, rate, span_sec):
    spec = BACKBONES[f"torchvision:{name}"]
    assert (spec.frames, spec.frames_per_sec) == (frames, rate)
    assert spec.span_sec == pytest.approx(span_sec)


def test_cost_of_mvit_is_as_published():
    spec = BACKBONES["torchvision:mvit_v2_s"]
    published = torchvision.models.get_model_weights("mvit_v2_s").DEFAULT.meta["_ops"]
    assert spec.gmacs_per_clip * 2 == pytest.approx(published, rel=0.01)


def test_an_unknown_name_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigError, match="swin3d_x.*Did you mean torchvision:swin3d_[tsb]"):
        BACKBONES["torchvision:swin3d_x"]
