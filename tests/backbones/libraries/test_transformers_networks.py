"""Backbones from transformers give the library's own outputs, and train like other backbones."""

import pytest
import torch
from mmaction.registry import MODELS
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel, AutoModelForVideoClassification

from autox_video.config.choices import BACKBONES
from autox_video.training.optimizer import blocks_above
from tests.backbones.libraries import contract
from tests.backbones.libraries.tiny_transformers import (
    CONFIGS,
    FRAMES,
    IMAGES,
    PX,
    VIDEOS,
    saved,
    saved_with_text,
)

GRIDS = {"vivit": (2, 4, 4), "videomae": (2, 4, 4), "vjepa2": (2, 4, 4)}
HEADED = [*((kind, True) for kind in VIDEOS), *((kind, False) for kind in VIDEOS)]
MERGED = {"timesformer", "vivit"}
"""Video models with a class token."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folders = {}

    def folder_of(kind, has_head=True):
        if (kind, has_head) not in folders:
            folders[kind, has_head] = saved(tmp_path_factory.mktemp(kind), kind, has_head=has_head)
        return folders[kind, has_head]

    return folder_of


def backbone_of(folder, *, loads=True, **keys):
    """Return the backbone built from the folder's spec, with the folder's weights."""
    config = {**BACKBONES[f"hf:{folder}"].config, **keys}
    torch.manual_seed(1)
    backbone = MODELS.build(config)
    if loads:
        state = backbone.own_names(load_file(folder / "model.safetensors"))
        names = backbone.net.state_dict().keys()
        backbone.net.load_state_dict({name: state[name] for name in names}, strict=True)
    return backbone.eval()


def clips(count=2, frames=FRAMES, side=PX):
    torch.manual_seed(2)
    return torch.randn(count, 3, frames, side, side)


@pytest.mark.parametrize(("kind", "has_head"), HEADED)
def test_video_features_are_the_librarys_tokens_and_what_its_head_sees(folders, kind, has_head):
    folder, x = folders(kind, has_head), clips()
    auto = AutoModelForVideoClassification if has_head else AutoModel
    model = auto.from_pretrained(folder).eval()
    if has_head:
        model.classifier = nn.Identity()
    frames = x.transpose(1, 2)
    with torch.no_grad():
        got = backbone_of(folder)(x)
        tokens = model.base_model(frames).last_hidden_state
        pooled = model(frames).logits.flatten(1) if has_head else tokens[:, 0]
    grid, width = GRIDS.get(kind, (4, 4, 4)), tokens.shape[-1]
    appends = has_head or kind in MERGED
    assert got.shape == (2, width * (1 + appends), *grid)
    tokens = tokens[:, kind in MERGED :]
    for t in range(grid[0]):
        for row in range(4):
            for column in range(4):
                number = (t * 4 + row) * 4 + column
                if kind == "timesformer":
                    number = (row * 4 + column) * 4 + t
                place = got[:, :, t, row, column]
                torch.testing.assert_close(place[:, :width], tokens[:, number])
                if appends:
                    torch.testing.assert_close(place[:, width:], pooled)


@pytest.mark.parametrize(
    ("kind", "axis", "place"),
    [(kind, axis, place) for kind in VIDEOS for axis, place in ((2, 0), (3, 3), (4, 2))],
)
def test_the_map_is_laid_out_like_the_clip(folders, kind, axis, place):
    """A change in one part of the clip changes the nearby patch embeddings only."""
    backbone = backbone_of(folders(kind, False))
    for block in backbone.blocks():  # without blocks, nothing is mixed
        block.forward = (lambda x, *a, **k: (x, None)) if kind == "vjepa2" else _unchanged(kind)
    x = clips(1)
    y = x.clone()
    size = 8 if axis > 2 else GRIDS.get(kind, (4, 4, 4))[0] and FRAMES // GRIDS.get(kind, (4,))[0]
    y.narrow(axis, place * size, size).add_(1.0)
    with torch.no_grad():
        changed = (backbone(x) - backbone(y))[:, :24].abs().amax((0, 1)) > 1e-6
    assert changed.movedim(axis - 2, 0)[place].all()
    changed.movedim(axis - 2, 0)[place] = False
    assert not changed.any()


def _unchanged(kind):
    if kind == "timesformer":
        return lambda x, *args, **keys: (x,)
    return lambda x, *args, **keys: x


@pytest.mark.parametrize("kind", IMAGES)
def test_image_features_are_the_librarys_tokens_of_each_frame(folders, kind):
    folder, x = folders(kind), clips()
    model = AutoModel.from_pretrained(folder).eval()
    model = getattr(model, "vision_model", model)
    with torch.no_grad():
        got = backbone_of(folder)(x)
        outputs = [model(x[:, :, t]) for t in range(FRAMES)]
    for t, output in enumerate(outputs):
        found, maps = output.last_hidden_state, got[:, :, t]
        width = found.shape[1] if found.dim() == 4 else found.shape[-1]
        rows = maps.shape[-1]
        if found.dim() == 3:
            first = found[:, 0]
            found = found[:, -rows * rows :].transpose(1, 2).unflatten(2, (rows, rows))
        torch.testing.assert_close(maps[:, :width], found)
        if kind not in ("swin", "resnet"):  # their heads take the mean of the map
            pooled = first if kind == "vit" else output.pooler_output
            torch.testing.assert_close(maps[:, width:].mean((2, 3)), pooled)
        else:
            assert maps.shape[1] == width


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_parameter_gets_a_gradient_also_with_checkpointing(folders, kind):
    folder, x = folders(kind), clips()
    plain, saving = backbone_of(folder), backbone_of(folder, with_cp=True)
    outputs = []
    for backbone in (plain, saving):
        features = backbone(x)
        (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
        outputs.append(features)
    torch.testing.assert_close(*outputs)
    others = dict(saving.named_parameters())
    for name, parameter in plain.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            torch.testing.assert_close(parameter.grad, others[name].grad)
        else:
            assert name.endswith("mask_token")
    assert all(any(p.grad.any() for p in block.parameters()) for block in plain.blocks())


@pytest.mark.parametrize("kind", CONFIGS)
def test_leading_stages_are_frozen_and_later_blocks_learn_faster(folders, kind):
    spec = BACKBONES[f"hf:{folders(kind)}"]
    frozen = backbone_of(folders(kind), loads=False, frozen_stages=1).train()
    stages = frozen.stage_modules()
    assert len(stages) == spec.stages == len(list(frozen.blocks()))
    assert not any(p.requires_grad for part in stages[0] for p in part.parameters())
    assert any(p.requires_grad for part in stages[-1] for p in part.parameters())
    above = blocks_above(frozen)
    for number, block in enumerate(frozen.blocks()):
        assert {above[p] for p in block.parameters()} == {spec.stages - 1 - number}
    held = backbone_of(folders(kind), loads=False, frozen_stages=spec.stages)
    inside = {p for stage in held.stage_modules() for part in stage for p in part.parameters()}
    assert not any(p.requires_grad for p in inside)


@pytest.mark.parametrize("kind", CONFIGS)
def test_adapters(folders, kind):
    linears = BACKBONES[f"hf:{folders(kind)}"].linears
    assert bool(linears) == (kind != "resnet")

    def build(**keys):
        return backbone_of(folders(kind), loads=False, **keys)

    if linears:
        contract.check_adapters(build, linears, clips())


def test_the_pooler_of_v_jepa_2_is_the_last_block(folders):
    folder = folders("vjepa2")
    backbone = backbone_of(folder, loads=False, frozen_stages=1)
    *encoder, pooler = backbone.blocks()
    assert (len(encoder), pooler) == (3, backbone.net.pooler)
    assert all(p.requires_grad for p in pooler.parameters())
    above = blocks_above(backbone)
    assert {above[p] for p in pooler.parameters()} == {0}
    held = backbone_of(folder, loads=False, frozen_stages=3)
    learns = {p for p in held.parameters() if p.requires_grad}
    assert learns == set(held.net.pooler.parameters())


@pytest.mark.parametrize("kind", VIDEOS)
def test_video_models_take_other_sizes(folders, kind):
    side, frames = (44, 8) if kind != "videomae" else (44, 2)
    backbone = backbone_of(folders(kind), side=side, frames=frames)
    got = backbone(clips(1, frames, side))
    steps, rows, columns = GRIDS.get(kind, (4, 4, 4))
    assert got.shape[2:] == (steps * frames // FRAMES, rows * side // PX, columns * side // PX)
    assert got.isfinite().all()
    with pytest.raises(ValueError, match="built for clips of"):
        backbone(clips(1, frames, 2 * side))


def test_position_embeddings_are_interpolated(folders):
    folder = folders("vivit")
    table = backbone_of(folder).net.vivit.embeddings.position_embeddings
    wide = backbone_of(folder, side=2 * PX).net.vivit.embeddings.position_embeddings
    assert torch.equal(table[:, 0], wide[:, 0])
    old = table[:, 1:].unflatten(1, (2, 4, 4))
    new = wide[:, 1:].unflatten(1, (2, 8, 8))
    torch.testing.assert_close(new.mean((1, 2, 3)), old.mean((1, 2, 3)), atol=0.1, rtol=0)
    torch.testing.assert_close(new[:, :, 0, 0], old[:, :, 0, 0])
    quarter = (9 * old[:, :, 0, 0] + 3 * (old[:, :, 0, 1] + old[:, :, 1, 0]) + old[:, :, 1, 1]) / 16
    torch.testing.assert_close(new[:, :, 1, 1], quarter)


@pytest.mark.parametrize("kind", ["vit", "dinov2", "swin", "siglip", "dinov3_vit", "convnext"])
def test_image_encoders_take_frames_of_any_size(folders, kind):
    backbone = backbone_of(folders(kind))
    assert backbone(clips(1, 2, 64)).shape[2] == 2
    assert backbone(clips(1, 3, 48)).shape[2] == 3


@pytest.mark.parametrize("kind", ["timesformer", "vjepa2", "dinov2", "convnext"])
def test_stochastic_depth_is_as_planned(folders, kind):
    backbone = backbone_of(folders(kind), loads=False, drop_path_rate=0.5)
    x = clips(4)
    assert torch.equal(backbone(x), backbone(x))
    assert not torch.equal(backbone.train()(x), backbone(x))
    still = backbone_of(folders(kind), loads=False).train()
    assert torch.equal(still(x), still(x))


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize(("precision", "error"), [("bfloat16", 0.02), ("float16", 0.003)])
def test_lower_precision_computes_nearly_the_same(folders, kind, precision, error):
    with torch.no_grad():
        exact = backbone_of(folders(kind))(clips())
        got = backbone_of(folders(kind), precision=precision)(clips())
    assert got.dtype == torch.float32
    assert (got - exact).norm() < error * exact.norm()


def test_the_predictor_is_left_out(folders):
    names = backbone_of(folders("vjepa2")).state_dict()
    assert not any("predictor" in name or "classifier" in name for name in names)
    assert all(name.startswith("net.") for name in names)


def test_a_file_of_another_model_leaves_names_open(folders):
    backbone = backbone_of(folders("vit"), loads=False)
    state = backbone.own_names(load_file(folders("convnext") / "model.safetensors"))
    assert not state.keys() & backbone.net.state_dict().keys()
    broken = load_file(folders("vit") / "model.safetensors")
    broken = {name: tensor[:1] for name, tensor in broken.items()}
    lost = backbone.net.state_dict().keys() - backbone.own_names(broken).keys()
    assert "layers.0.mlp.fc1.weight" in lost


def test_the_image_encoder_of_a_model_with_text_is_taken(folders):
    assert type(backbone_of(folders("siglip")).net).__name__ == "SiglipVisionModel"


def test_the_video_encoder_of_a_model_with_text_is_taken(tmp_path):
    backbone, x = backbone_of(saved_with_text(tmp_path)), clips()
    model = AutoModel.from_pretrained(tmp_path).eval().video_model
    with torch.no_grad():
        got, wanted = backbone(x), model(x.transpose(1, 2))
    torch.testing.assert_close(got[:, :24].flatten(2).mT, wanted.last_hidden_state)
    torch.testing.assert_close(got[:, 24:, 1, 2, 3], wanted.pooler_output.flatten(1))
