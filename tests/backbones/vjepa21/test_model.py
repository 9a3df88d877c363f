"""V-JEPA 2.1 computes what its authors' code computes, from files in their layout."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.registry import DefaultScope

from autox_video.backbones.libraries.cost import cost_of
from autox_video.backbones.vjepa21.model import VJEPA21, Rotation
from autox_video.backbones.weights.loading import load_pretrained
from autox_video.core.errors import CheckpointError
from autox_video.tasks.classification.head import ClipHead
from tests.backbones.libraries import contract
from tests.backbones.vjepa21.plain_vjepa21 import (
    TINY,
    WIDTH,
    checkpoint,
    plain_features,
    published_state,
)

SIDE, FRAMES = 48, 4


@pytest.fixture
def clips():
    torch.manual_seed(1)
    return torch.randn(2, 3, FRAMES, SIDE, SIDE)


def build(**options):
    backbone = VJEPA21(**{**TINY, "frames": FRAMES, "side": SIDE, **options})
    contract.random_weights(backbone.net)
    return backbone


def recogniser():
    backbone = {"type": "VJEPA21", **TINY, "frames": FRAMES, "side": SIDE}
    head = {"type": ClipHead, "num_classes": 3, "in_channels": WIDTH}
    model = {"type": "Recognizer3D", "backbone": backbone, "cls_head": head}
    with DefaultScope.overwrite_default_scope("mmaction"):
        return MODELS.build(model).eval()


@pytest.mark.parametrize("key", ["ema_encoder", "target_encoder"])
def test_a_published_file_gives_the_published_features(tmp_path, clips, key):
    torch.save(checkpoint(key), tmp_path / "file.pt")
    model = recogniser()
    report = load_pretrained(model, tmp_path / "file.pt")
    assert report.missing == ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias")
    with torch.no_grad():
        features = model.backbone(clips)
    wanted = plain_features(published_state(), clips)
    assert features.shape == (2, WIDTH, 2, 3, 3)
    torch.testing.assert_close(features, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("frames", "side"), [(2, 32), (6, 80)])
def test_other_sizes_scale_rows_and_columns(frames, side):
    torch.manual_seed(2)
    x = torch.randn(1, 3, frames, side, side)
    backbone = build(frames=frames, side=side).eval()
    state = published_state()
    contract.check_file(backbone, {n.removeprefix("module."): t for n, t in state.items()})
    with torch.no_grad():
        features = backbone(x)
    torch.testing.assert_close(features, plain_features(state, x), rtol=1e-4, atol=1e-5)


def test_positions_of_the_published_grid_of_256_px_are_whole_numbers():
    rotation = Rotation((2, 16, 16), 12)
    angles = torch.atan2(rotation.sin, rotation.cos).view(2, 16, 16, 12)
    step, row, column = angles[..., 0], angles[..., 4], angles[..., 8]
    whole = torch.arange(16.0)
    wrapped = torch.atan2(whole.sin(), whole.cos())
    torch.testing.assert_close(step[:, 3, 5], wrapped[:2])
    torch.testing.assert_close(row[1, :, 5], wrapped)
    torch.testing.assert_close(column[1, 3], wrapped)


def test_a_file_of_v_jepa_2_is_refused(tmp_path):
    content = checkpoint("target_encoder")
    encoder = content["target_encoder"]
    old = {n: t for n, t in encoder.items() if "norms_block" not in n and "mod_embed" not in n}
    prefix = "module.backbone.norm"
    old |= {f"{prefix}.weight": torch.ones(WIDTH), f"{prefix}.bias": torch.ones(WIDTH)}
    torch.save({**content, "target_encoder": old}, tmp_path / "vitl.pt")
    with pytest.raises(CheckpointError, match="3 of the model's .* layernorm.weight: none"):
        load_pretrained(recogniser(), tmp_path / "vitl.pt")


def test_a_file_of_another_size_is_refused(tmp_path):
    torch.save(checkpoint("ema_encoder", depth=2), tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match="not in the file"):
        load_pretrained(recogniser(), tmp_path / "file.pt")


def test_a_gradient_reaches_every_parameter(clips):
    contract.check_gradients(build(), clips)


def test_frozen_stages(clips):
    contract.check_freezing(lambda **options: build(**options), clips)


def test_layer_decay():
    contract.check_layer_decay(build())


def test_checkpointing(clips):
    contract.check_checkpointing(lambda **options: build(**options), clips)


def test_adapters(clips):
    linears = cost_of(build, (FRAMES, SIDE, SIDE)).linears
    assert linears
    contract.check_adapters(lambda **options: build(**options), linears, clips)


def test_bfloat16_is_close(clips):
    low, full = build(precision="bfloat16").eval(), build().eval()
    with torch.no_grad():
        expected, found = full(clips), low(clips)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_clips_of_another_size_are_an_error(clips):
    with pytest.raises(ValueError, match="4x48x48"):
        build()(clips[:, :, :2])


def test_the_drop_path_rate_rises_to_that_of_the_last_block():
    backbone = build(drop_path_rate=0.2)
    rates = [block.drop_path.drop_prob for block in backbone.blocks()]
    assert rates == pytest.approx([0.0, 0.1, 0.2])
