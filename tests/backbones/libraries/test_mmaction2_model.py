import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import DefaultScope
from torch.nn.functional import layer_norm

from autox_video.backbones.libraries.mmaction2_model import Mmaction2Model
from autox_video.backbones.lora import layers_for_adapters, merged
from autox_video.core.errors import ConfigError
from tests.backbones.libraries import contract
from tests.backbones.libraries.tiny_recognisers import (
    BACKBONES,
    FRAMES,
    NECKS,
    SEES_IMAGES,
    SIDE,
    model_entry,
)

NAMES = list(BACKBONES)
WITH_ADAPTERS = (
    "divided",
    "joint",
    "space",
    "mvit",
    "uniformer",
    "uniformerv2",
    "videomae",
    "swin",
)
WITH_VECTOR = ("divided", "joint", "space", "mvit", "uniformerv2")


def arguments(name):
    keys = {"backbone": BACKBONES[name], "sees_images": name in SEES_IMAGES}
    return {**keys, "neck": NECKS[name]} if name in NECKS else keys


def build(name, **options):
    backbone = Mmaction2Model(**arguments(name), **options)
    contract.random_weights(backbone.net)
    return backbone


def published(name):
    """Return the recogniser that mmaction2 itself builds, with random weights."""
    entry = copy.deepcopy(model_entry(name))
    if entry["backbone"].get("norm_cfg"):
        entry["backbone"]["norm_cfg"]["type"] = "BN3d"  # SyncBN needs a GPU
    if "pretrained" in entry["backbone"]:
        entry["backbone"]["pretrained"] = None
    with DefaultScope.overwrite_default_scope("mmaction"):
        model = MODELS.build(entry).eval()
    contract.random_weights(model)
    return model


def clips(frames=FRAMES, side=SIDE, count=2):
    torch.manual_seed(1)
    return torch.randn(count, 3, frames, side, side)


@torch.no_grad()
def recognised(model, name, x):
    """Return the features that the recogniser passes to its head."""
    inputs = x.transpose(1, 2).contiguous() if name in SEES_IMAGES else x[:, None]
    found = model.extract_feat(inputs, stage="neck")[0]
    if name in SEES_IMAGES and name not in NECKS:
        return found.unflatten(0, (len(x), -1)).transpose(1, 2)
    if name in SEES_IMAGES:
        return found[:, :, None]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_features_equal_the_recognisers(name):
    model, backbone = published(name), Mmaction2Model(**arguments(name)).eval()
    contract.check_file(backbone, model.state_dict())
    x = clips()
    with torch.no_grad():
        features = backbone(x)
    theirs = recognised(model, name, x)
    close = {"rtol": 1e-5, "atol": 1e-5}
    if name == "slowfast":
        slow, fast = theirs
        pooled = torch.cat([fast.mean((2, 3, 4)), slow.mean((2, 3, 4))], 1)
        torch.testing.assert_close(features.mean((2, 3, 4)), pooled, **close)
        torch.testing.assert_close(features[:, fast.shape[1] :], slow, **close)
    elif name == "mvit":
        patches, token = theirs[-1]
        torch.testing.assert_close(features[:, : patches.shape[1]], patches, **close)
        check_vector(features, token)
    elif name in WITH_VECTOR:
        check_vector(features, theirs)
    elif name == "videomae":
        model.backbone.return_feat_map = True
        tokens = recognised(model, name, x)
        assert not torch.allclose(tokens.mean((2, 3, 4)), features.mean((2, 3, 4)), atol=1e-2)
        tokens = model.backbone.fc_norm(tokens.movedim(1, -1)).movedim(-1, 1)
        torch.testing.assert_close(features, tokens, **close)
    else:
        torch.testing.assert_close(features, theirs, **close)
    assert features.dtype == torch.float32 and features.dim() == 5


def check_vector(features, vector):
    expected = vector[..., None, None, None].expand(-1, -1, *features.shape[2:])
    torch.testing.assert_close(features[:, -vector.shape[1] :], expected, rtol=1e-5, atol=1e-5)


def test_the_patch_tokens_of_uniformerv2_are_at_their_place():
    backbone = build("uniformerv2").eval()
    net, seen = backbone.net["backbone"], []
    net.transformer.resblocks[-1].register_forward_hook(lambda m, i, o: seen.append(o))
    x = clips(count=3)
    with torch.no_grad():
        features = backbone(x)
    # tokens are (1 + H'W', B * T, C)
    clip, frame, row, column = 2, 1, 3, 0
    token = seen[0][1 + 4 * row + column, clip * FRAMES + frame]
    expected = layer_norm(token, token.shape)
    torch.testing.assert_close(features[clip, :16, frame, row, column], expected)


@pytest.mark.parametrize("name", ["divided", "joint"])
def test_the_tokens_of_timesformer_are_at_their_place(name):
    backbone = build(name).eval()
    net, seen = backbone.net["backbone"], []
    net.norm.register_forward_hook(lambda m, i, o: seen.append(o))
    with torch.no_grad():
        features = backbone(clips())
    assert features.shape == (2, 32, 4, 4, 4)
    # tokens are (B, 1 + H'W'T, C): mmaction2 has the frames of a patch side by side
    expected = seen[0][1, 1 + (4 * 2 + 3) * FRAMES + 1]
    torch.testing.assert_close(features[1, :16, 1, 2, 3], expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_reaches_every_parameter(name):
    contract.check_gradients(build(name), clips())


@pytest.mark.parametrize("name", NAMES)
def test_frozen_stages(name):
    contract.check_freezing(lambda **options: build(name, **options), clips())


@pytest.mark.parametrize("name", NAMES)
def test_layer_decay(name):
    contract.check_layer_decay(build(name))


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing(name):
    contract.check_checkpointing(lambda **options: build(name, **options), clips())


def linears_of(name):
    backbone = build(name)
    with layers_for_adapters(backbone.net, backbone.blocks()) as linears:
        backbone(clips())
    return linears


@pytest.mark.parametrize("name", NAMES)
def test_adapters(name):
    linears = linears_of(name)
    assert bool(linears) == (name in WITH_ADAPTERS)
    if linears:
        contract.check_adapters(lambda **options: build(name, **options), linears, clips())


@pytest.mark.parametrize("name", WITH_ADAPTERS)
def test_adapters_have_no_effect_after_the_initialisation(name):
    pytest.importorskip("peft")
    lora = {"rank": 2, "layers": [*linears_of(name)]}
    backbone = Mmaction2Model(**arguments(name), lora=lora).eval()
    backbone.init_weights()
    plain = Mmaction2Model(**arguments(name)).eval()
    plain.load_state_dict(merged(backbone.state_dict()))
    with torch.no_grad():
        torch.testing.assert_close(backbone(clips()), plain(clips()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_is_close(name):
    low, full = build(name, precision="bfloat16").eval(), build(name).eval()
    with torch.no_grad():
        expected, found = full(clips()), low(clips())
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_initialised_without_a_file(name):
    backbone = Mmaction2Model(**arguments(name))
    backbone.init_weights()
    assert all(torch.isfinite(p).all() for p in backbone.parameters())


@pytest.mark.parametrize("name", ["tsm", "divided", "mvit", "uniformerv2", "videomae", "x3d"])
@pytest.mark.parametrize(("frames", "side"), [(8, 32), (4, 48), (6, 24)])
def test_other_sizes_take_the_published_file(name, frames, side):
    backbone = Mmaction2Model(**arguments(name), frames=frames, side=side).eval()
    contract.check_file(backbone, published(name).state_dict())
    x = clips(frames, side)
    with torch.no_grad():
        features, one = backbone(x), backbone(x[:1])
    assert torch.isfinite(features).all()
    torch.testing.assert_close(features[:1], one, rtol=1e-4, atol=1e-4)


def test_a_fixed_table_may_be_missing_from_the_file():
    state = published("videomae").state_dict()
    table = state.pop("backbone.pos_embed")
    backbone = Mmaction2Model(**arguments("videomae"))
    contract.check_file(backbone, state)
    fixed = Mmaction2Model(**arguments("videomae")).net.state_dict()["backbone.pos_embed"]
    assert torch.equal(backbone.own_names(state)["backbone.pos_embed"], fixed)
    assert fixed.shape == table.shape


def test_stages_of_slowfast_follow_both_pathways():
    backbone = build("slowfast")
    names = {module: name for name, module in backbone.net["backbone"].named_modules()}
    order = [(names[part], is_block) for part, is_block in backbone.parts()]
    assert order[:7] == [
        ("slow_path.conv1", False),
        ("fast_path.conv1", False),
        ("slow_path.conv1_lateral", False),
        ("slow_path.layer1.0", True),
        ("fast_path.layer1.0", True),
        ("slow_path.layer1_lateral", False),
        ("slow_path.layer2.0", True),
    ]
    assert [name for name, _ in order[7:10]] == [
        "fast_path.layer2.0",
        "slow_path.layer2.1",
        "slow_path.layer2_lateral",
    ]


@pytest.mark.parametrize("name", ["divided", "uniformer"])
def test_parts_are_in_the_order_of_the_forward_pass(name):
    backbone = build(name).eval()
    called = []
    for part, _ in backbone.parts():
        part.register_forward_hook(lambda m, i, o, part=part: called.append(part))
    with torch.no_grad():
        backbone(clips())
    assert called == [part for part, _ in backbone.parts()]


@pytest.mark.parametrize("name", ["mvit", "uniformer", "videomae", "divided", "uniformerv2"])
def test_the_drop_path_rate_is_that_of_the_last_block(name):
    backbone = Mmaction2Model(**arguments(name), drop_path_rate=0.3)
    rates = [m.drop_prob for m in backbone.modules() if type(m).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.3)
    none = Mmaction2Model(**arguments(name))
    assert not any(m.drop_prob for m in none.modules() if type(m).__name__ == "DropPath")


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("slowfast", {"frames": 10}, "clip_len.*multiple of 4"),
        ("divided", {"side": 30}, "resolution.*multiple of 8 px"),
    ],
)
def test_a_size_that_does_not_fit_is_an_error(name, size, words):
    with pytest.raises(ConfigError, match=words):
        build(name, **size)


def test_only_the_clips_of_c3d_fit_it():
    with pytest.raises(ConfigError, match="16 frames of 112 px"):
        Mmaction2Model({"type": "C3D"}, frames=8, side=112)
