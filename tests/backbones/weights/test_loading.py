import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.video import swin3d_s, swin3d_t
from torchvision.models.video.swin_transformer import SwinTransformer3d

from autox_video.backbones.video_swin.model import VideoSwin
from autox_video.backbones.weights import loading
from autox_video.backbones.weights.layouts import named_weights
from autox_video.backbones.weights.reading import read_weights
from autox_video.backbones.weights.resizing import resized_table
from autox_video.core.errors import CheckpointError
from tests.backbones.weights.weight_files import (
    SMALL,
    WINDOW,
    backbone_of,
    official,
    random_state,
    recogniser,
    recogniser_of,
    save,
    tables_of,
    weights_file,
    without_indices,
)

KEYS = Path(__file__).parents[1] / "facts" / "video_swin_keys.json"


pytestmark = pytest.mark.usefixtures("small_backbone")


LAYOUTS = {
    "mmaction2": lambda state: {"meta": {"epoch": 30}, "state_dict": state},
    "official Video Swin": lambda state: {"meta": {}, "state_dict": official(state)},
    "autox-video checkpoint": lambda state: {"schema": 1, "state_dict": state, "meta": {}},
    "bare backbone": lambda state: {
        n.removeprefix("backbone."): t for n, t in state.items() if n.startswith("backbone.")
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_backbone(tmp_path, layout):
    state = random_state(num_classes=7)
    model = recogniser()
    head = model.cls_head.fc_cls.weight.detach().clone()
    report = loading.load_pretrained(model, save(tmp_path, LAYOUTS[layout](state)))
    for name, tensor in backbone_of(model).items():
        assert torch.equal(tensor, state[name]), name
    assert torch.equal(model.cls_head.fc_cls.weight, head)
    head_names = ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias")
    skipped = () if layout == "bare backbone" else head_names
    assert (report.layout, report.backbone) == (layout, "swin_small_of_this_test")
    assert (report.loaded, report.skipped) == (len(backbone_of(model)), skipped)
    assert report.missing == head_names


def test_the_report_as_a_sentence(tmp_path):
    path = save(tmp_path, LAYOUTS["official Video Swin"](random_state(num_classes=7)))
    sentence = loading.load_pretrained(recogniser(), path).sentence()
    count = len(backbone_of(recogniser()))
    assert sentence == (
        f"Loaded {count} of {count + 2} tensors of {path} (official Video Swin, "
        "swin_small_of_this_test); skipped 2 head tensors of the file: cls_head.fc_cls.weight, "
        "cls_head.fc_cls.bias; 2 tensors of the new head initialised randomly."
    )


def test_a_head_of_the_same_size_is_left_out_too(tmp_path):
    state, model = random_state(num_classes=5), recogniser(num_classes=5)
    report = loading.load_pretrained(model, save(tmp_path, {"state_dict": state}))
    assert not torch.equal(model.cls_head.fc_cls.weight, state["cls_head.fc_cls.weight"])
    assert len(report.skipped) == 2


def test_rows_of_known_classes_are_kept(tmp_path):
    path = save(tmp_path, {"state_dict": (state := random_state(num_classes=7))})
    model, fresh = recogniser(num_classes=3), recogniser(num_classes=3)
    fresh.load_state_dict(model.state_dict())
    report = loading.load_pretrained(model, path, [6, -1, 0])
    weight, bias = model.cls_head.fc_cls.weight, model.cls_head.fc_cls.bias
    for row, old in ((0, 6), (2, 0)):
        assert torch.equal(weight[row], state["cls_head.fc_cls.weight"][old])
        assert torch.equal(bias[row], state["cls_head.fc_cls.bias"][old])
    assert torch.equal(weight[1], fresh.cls_head.fc_cls.weight[1])
    assert (report.classes_kept, report.skipped, report.missing) == (2, (), ())
    assert "kept the head of 2 known classes" in report.sentence()


@pytest.mark.parametrize("rows", [[7, 0, 1], [0, 1], [-1, -1, -1], []])
def test_rows_that_do_not_fit_leave_the_head_fresh(tmp_path, rows):
    path = save(tmp_path, {"state_dict": random_state(num_classes=7)})
    model = recogniser(num_classes=3)
    before = model.cls_head.fc_cls.weight.clone()
    report = loading.load_pretrained(model, path, rows)
    assert torch.equal(model.cls_head.fc_cls.weight, before)
    assert (report.classes_kept, len(report.skipped)) == (0, 2)


def test_half_precision_and_wrapped_weights_are_loaded_as_float32(tmp_path):
    state, model = random_state(), recogniser()
    half = {f"module.{n}": t.half() if t.is_floating_point() else t for n, t in state.items()}
    loading.load_pretrained(model, save(tmp_path, {"state_dict": half}))
    for name, tensor in backbone_of(model).items():
        assert tensor.dtype == torch.float32
        assert torch.allclose(tensor, state[name], atol=2e-3)


def test_safetensors(tmp_path):
    state, model = random_state(), recogniser()
    save_file({n: t.contiguous() for n, t in state.items()}, tmp_path / "weights.safetensors")
    loading.load_pretrained(model, tmp_path / "weights.safetensors")
    assert all(torch.equal(t, state[n]) for n, t in backbone_of(model).items())


def torchvision_small():
    torch.manual_seed(1)
    return SwinTransformer3d(
        [2, 4, 4], 12, [2, 2], [2, 4], list(WINDOW), num_classes=9, stochastic_depth_prob=0.0
    ).eval()


def torchvision_features(model, clip):
    """(B, C, T, H, W): what torchvision's model has before it pools."""
    return model.norm(model.features(model.patch_embed(clip))).permute(0, 4, 1, 2, 3)


def test_torchvisions_weights_give_torchvisions_features_and_scores(tmp_path):
    theirs, ours = torchvision_small(), recogniser(num_classes=9)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    report = loading.load_pretrained(ours, save(tmp_path, theirs.state_dict()))
    assert report.layout == "torchvision"
    clip = torch.randn(2, 3, 10, 52, 44)
    state = read_weights(tmp_path / "weights.pth").tensors
    ours.load_state_dict(state, strict=False)
    with torch.no_grad():
        assert torch.allclose(ours.backbone(clip), torchvision_features(theirs, clip), atol=1e-5)
        assert torch.allclose(ours.cls_head(ours.backbone(clip)), theirs(clip), atol=1e-5)


@pytest.mark.slow
def test_torchvisions_swin3d_t_at_224_px(tmp_path):
    torch.manual_seed(0)
    theirs = swin3d_t().eval()
    state = read_weights(save(tmp_path, theirs.state_dict())).tensors
    assert loading.identify_backbone(state) == "swin_tiny"
    ours = VideoSwin("tiny").eval()
    backbone = {n.removeprefix("backbone."): t for n, t in state.items() if "backbone." in n}
    unfilled = ours.load_state_dict(backbone, strict=False).missing_keys
    assert all(name.endswith("relative_position_index") for name in unfilled)
    clip = torch.randn(1, 3, 8, 224, 224)
    with torch.inference_mode():
        expected = torchvision_features(theirs, clip)
        assert torch.allclose(ours(clip), expected, atol=1e-5 * expected.abs().max())


@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_the_official_key_lists_fill_our_models(size):
    """Names and shapes of the whole official recogniser, and of ours, without their values."""
    entries = json.loads(KEYS.read_text())[size]
    flat = {name: torch.empty(shape, device="meta") for name, (shape, _) in entries.items()}
    weights = named_weights(flat)
    state = weights.state
    assert weights.layout == "official Video Swin"
    assert loading.identify_backbone(state) == f"swin_{size}"
    with torch.device("meta"):
        ours = recogniser_of(f"swin_{size}", num_classes=600).state_dict()
    shapes = [{name: tuple(t.shape) for name, t in each.items()} for each in (state, ours)]
    assert shapes[0] == shapes[1]


def test_a_deeper_file_is_refused_though_it_has_every_tensor(tmp_path):
    deep = {**SMALL, "depths": [2, 4]}
    path = save(tmp_path, {"state_dict": random_state(arch=deep)})
    model = recogniser()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    with pytest.raises(CheckpointError) as raised:
        loading.load_pretrained(model, path)
    assert "the model is swin_small_of_this_test" in str(raised.value)
    assert "an unknown backbone" in str(raised.value)
    assert "backbone.layers.1.blocks.2.norm1.weight: 24 in the file, none in the model" in str(
        raised.value
    )
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_a_backbone_that_lacks_a_tensor_is_refused(tmp_path):
    state = random_state()
    del state["backbone.layers.0.blocks.1.mlp.fc1.bias"]
    path = save(tmp_path, {"state_dict": state})
    with pytest.raises(CheckpointError, match=r"fc1\.bias: none in the file, 48 in the model"):
        loading.load_pretrained(recogniser(), path)


def test_another_patch_size_is_refused_not_skipped(tmp_path):
    """The seed system lost the patch embedding of patch244 weights in a (4, 4, 4) model."""
    path = save(tmp_path, {"state_dict": random_state()})
    with pytest.raises(CheckpointError, match="12x3x2x4x4 in the file, 12x3x4x4x4 in the model"):
        loading.load_pretrained(recogniser(patch_size=(4, 4, 4)), path)
    path = save(tmp_path, {"state_dict": random_state(patch_size=(4, 4, 4))})
    with pytest.raises(CheckpointError, match="12x3x4x4x4 in the file, 12x3x2x4x4 in the model"):
        loading.identify_file(path)


@pytest.mark.parametrize("window", [(8, 3, 3), (2, 3, 3), (4, 6, 6), (3, 2, 5)])
def test_tables_of_another_window_are_resized_and_all_else_is_kept(tmp_path, window):
    state, model = random_state(window_size=window), recogniser()
    report = loading.load_pretrained(model, save(tmp_path, {"state_dict": state}))
    for name, tensor in backbone_of(model).items():
        expected = state[name]
        if name in tables_of(state):
            expected = resized_table(expected, window, WINDOW)
        assert torch.equal(tensor, expected), name
    assert report.resized == dict.fromkeys(tables_of(state), (window, WINDOW))
    assert not report.inflated


def test_without_an_index_the_rows_say_how_to_resize(tmp_path):
    state, model = random_state(window_size=(8, 3, 3)), recogniser()
    path = save(tmp_path, {"state_dict": without_indices(state)})
    assert set(loading.load_pretrained(model, path).resized.values()) == {((8, 3, 3), WINDOW)}
    name = "backbone.layers.1.blocks.1.attn.relative_position_bias_table"
    expected = resized_table(state[name], (8, 3, 3), WINDOW)
    assert torch.equal(model.state_dict()[name], expected)


def test_nothing_is_resized_for_the_same_window(tmp_path):
    for state in (random_state(), without_indices(random_state())):
        model = recogniser()
        report = loading.load_pretrained(model, save(tmp_path, {"state_dict": state}))
        assert report.resized == {}
        for name, tensor in backbone_of(model).items():
            assert torch.equal(tensor, state[name]), name


def test_the_report_on_resizing_as_a_sentence(tmp_path):
    path = save(tmp_path, {"state_dict": random_state(window_size=(8, 7, 7))})
    sentence = loading.load_pretrained(recogniser(), path).sentence()
    assert "; 4 bias tables resized from windows of 8x7x7 to 4x3x3; skipped 2 head" in sentence


def test_tables_of_no_window_are_refused(tmp_path):
    state = random_state()
    for name, table in tables_of(state).items():
        state[name] = table[:-1]
    for content in (state, without_indices(state)):
        path = save(tmp_path, {"state_dict": content})
        for read in (loading.identify_file, lambda p: loading.load_pretrained(recogniser(), p)):
            with pytest.raises(CheckpointError, match=f"{path}: no attention window has bias tab"):
                read(path)


def test_tables_of_other_heads_are_refused_as_they_are(tmp_path):
    arch = {**SMALL, "num_heads": [3, 6]}
    path = save(tmp_path, {"state_dict": random_state(arch=arch, window_size=(8, 3, 3))})
    with pytest.raises(CheckpointError, match="375x3 in the file, 175x2 in the model"):
        loading.load_pretrained(recogniser(), path)


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("window", [WINDOW, (16, 7, 7), (8, 3, 3)])
def test_identify_file_gives_the_window_of_a_video_file(tmp_path, window, indexed):
    state = random_state(window_size=window)
    path = save(tmp_path, {"state_dict": state if indexed else without_indices(state)})
    found = loading.identify_file(path)
    assert found.window_size == window
    model = recogniser(window_size=found.window_size)
    assert loading.load_pretrained(model, path).resized == {}


def test_identify_file(tmp_path):
    path = save(tmp_path, LAYOUTS["mmaction2"](random_state()), "mine.pth")
    found = loading.identify_file(path)
    assert (found.path, found.backbone) == (str(path), "swin_small_of_this_test")
    assert found.source == "mmaction2"


@pytest.mark.slow
def test_identify_tells_tiny_from_small(tmp_path):
    path = save(tmp_path, swin3d_s().state_dict(), "swin3d_s-da41c237.pth")
    found = loading.identify_file(path)
    assert (found.backbone, found.source) == ("swin_small", "Kinetics-400, ImageNet-1K")


def test_an_unknown_width_is_named(tmp_path):
    arch = {**SMALL, "embed_dims": 16}
    path = save(tmp_path, {"state_dict": random_state(arch=arch)})
    with pytest.raises(
        CheckpointError, match="width 16 and depths 2-2 is unknown; use weights of one of"
    ):
        loading.identify_file(path)


def test_weights_of_the_convolution_network_are_known(tmp_path):
    path = weights_file(tmp_path / "conv.pth", "conv_nano")
    found = loading.identify_file(path)
    assert (found.backbone, found.window_size) == ("conv_nano", (8, 7, 7))
    state = torch.load(path, weights_only=True)
    del state["state_dict"]["backbone.stages.3.1.space.weight"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"3\.1\.space\.weight: none in the file"):
        loading.identify_file(path)
