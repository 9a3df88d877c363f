import copy
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.models.backbones.swin import SwinTransformer3D, WindowAttention3D
from mmaction.registry import MODELS

from autox_video.backbones.video_swin.model import VideoSwin
from autox_video.machine.hardware import has_compiler
from tests.backbones.video_swin import plain_swin

FACTS = Path(__file__).parents[1] / "facts"
SMALL = {"embed_dims": 12, "depths": (2, 2), "num_heads": (2, 4)}


def small_swin(arch=SMALL, **options) -> VideoSwin:
    """A small model in which every parameter matters."""
    torch.manual_seed(0)
    model = VideoSwin(arch, **{"window_size": (4, 3, 3), "drop_path_rate": 0.0, **options})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def stock_swin(ours: VideoSwin) -> SwinTransformer3D:
    """mmaction2's own model with the same weights."""
    options = {"window_size": (4, 3, 3), "drop_path_rate": 0.0, "out_indices": (1,)}
    stock = SwinTransformer3D(SMALL, pretrained2d=False, **options)
    stock.load_state_dict(ours.state_dict(), strict=True)
    stock.train(ours.training)
    return stock


def error(got, expected) -> float:
    """Largest difference over the largest expected value."""
    return ((got - expected).abs().max() / expected.abs().max()).item()


def official_weight(name: str, shape: torch.Size) -> torch.Tensor:
    """The weight that the golden file was made with, by the official name of its entry."""
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    weight = 0.05 * noise.astype(np.float32)
    if name.endswith(("norm.weight", "norm1.weight", "norm2.weight")):
        weight = 1 + weight
    return torch.from_numpy(weight)


@pytest.fixture(scope="module")
def golden():
    return np.load(FACTS / "video_swin_tiny_golden.npz")


@pytest.fixture(scope="module")
def official_tiny():
    model = VideoSwin("tiny").eval()
    state = model.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            official = "backbone." + name.replace("norm3.", "norm.")
            state[name] = official_weight(official, tensor.shape)
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize(
    ("number", "size"),
    [
        (0, (8, 224, 224)),
        (1, (4, 224, 288)),
        pytest.param(2, (32, 224, 224), marks=pytest.mark.slow),
    ],
)
def test_outputs_are_those_of_the_official_code(golden, official_tiny, number, size):
    clip = np.random.RandomState(number).standard_normal((1, 3, *size)).astype(np.float32)
    with torch.inference_mode():
        features = official_tiny(torch.from_numpy(clip))
    name = "x".join(map(str, size))
    mean = features.mean(dim=(2, 3, 4)).numpy()
    expected_mean = golden[f"feature_mean_{name}"]
    assert np.abs(mean - expected_mean).max() < 1e-4 * np.abs(expected_mean).max()
    head_weight = official_weight("cls_head.fc_cls.weight", (600, 768)).numpy()
    head_bias = official_weight("cls_head.fc_cls.bias", (600,)).numpy()
    logits, expected = mean @ head_weight.T + head_bias, golden[f"logits_{name}"]
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


SIZES = [(8, 36, 36), (11, 45, 50), (18, 31, 40), (8, 24, 24)]
"""Even and padded maps, shifted windows, windows clipped in time."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["training", "inference"])
def test_outputs_are_those_of_mmaction2(size, mode):
    ours = small_swin().train(mode == "training")
    clip = torch.randn(2, 3, *size)
    with torch.set_grad_enabled(mode == "training"):
        assert error(ours(clip), stock_swin(ours)(clip)) < 1e-5


@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_those_of_mmaction2(size):
    ours = small_swin().train()
    stock = stock_swin(ours)
    clip = torch.randn(2, 3, *size)
    inputs = [clip.clone().requires_grad_() for _ in range(2)]
    for model, given in zip((ours, stock), inputs, strict=True):
        torch.manual_seed(1)
        output = model(given)
        (output * torch.randn_like(output)).sum().backward()
    assert error(inputs[0].grad, inputs[1].grad) < 1e-4
    theirs = dict(stock.named_parameters())
    assert {n: p.grad is None for n, p in ours.named_parameters() if p.grad is None} == {}
    for name, parameter in ours.named_parameters():
        assert error(parameter.grad, theirs[name].grad) < 1e-4, name


@pytest.mark.parametrize(
    ("size", "full"),
    [((5, 57, 83), (4, 3, 3)), ((7, 30, 41), (8, 7, 7)), ((3, 9, 90), (2, 7, 5))],
)
def test_odd_sizes_equal_the_definition_written_out(size, full):
    """Padded in every dimension, and with windows clipped in some; in float64."""
    ours = small_swin(window_size=full)
    clip = torch.randn(3, *size, dtype=torch.float64)
    state = {name: t.double() for name, t in ours.state_dict().items()}
    plain = {"depths": SMALL["depths"], "num_heads": SMALL["num_heads"], "full": full}
    expected = plain_swin.features(state, clip, **plain)
    with torch.no_grad():
        assert error(ours(clip[None].float())[0], expected) < 1e-5


def test_gradients_of_odd_sizes_equal_those_of_the_definition():
    ours = small_swin().train()
    clip = torch.randn(3, 5, 29, 43, dtype=torch.float64)
    state = {n: t.detach().double().requires_grad_() for n, t in ours.named_parameters()}
    plain = {"depths": SMALL["depths"], "num_heads": SMALL["num_heads"], "full": (4, 3, 3)}
    expected = plain_swin.features(state, clip, **plain)
    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (ours(clip[None].float())[0] * weight).sum().backward()
    for name, parameter in ours.named_parameters():
        assert error(parameter.grad, state[name].grad) < 1e-4, name


def test_gradient_checkpointing_changes_nothing_but_what_is_kept():
    gradients, kept = [], []
    for with_cp in (False, True):
        model = small_swin(with_cp=with_cp, drop_path_rate=0.5).train()
        sizes = []
        torch.manual_seed(3)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
        ):
            output = model(torch.randn(3, 3, 8, 36, 36))
        output.square().sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
        kept.append(sum(sizes))
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name]), name
    assert kept[1] < 0.8 * kept[0]


def test_one_model_takes_sizes_in_any_order():
    model = small_swin()
    clips = [torch.randn(1, 3, 8, 32, 32), torch.randn(1, 3, 2, 8, 8), torch.randn(1, 3, 8, 48, 8)]
    with torch.no_grad():
        first = [model(clip) for clip in clips]
        again = [copy.deepcopy(model)(clip) for clip in reversed(clips)]
    assert all(torch.equal(a, b) for a, b in zip(first, reversed(again), strict=True))


def test_clips_do_not_depend_on_their_neighbours_in_the_batch():
    model, clips = small_swin(), torch.randn(3, 3, 8, 40, 24)
    with torch.no_grad():
        together, alone = model(clips), torch.cat([model(clip[None]) for clip in clips])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("arch", ["tiny", "small"])
def test_state_dict_has_the_names_order_and_shapes_of_mmaction2(arch):
    ours, stock = VideoSwin(arch), SwinTransformer3D(arch, pretrained2d=False)
    shapes = [[(k, v.shape) for k, v in m.state_dict().items()] for m in (ours, stock)]
    assert shapes[0] == shapes[1]


def test_the_index_in_the_state_dict_is_mmaction2s_and_is_not_used():
    ours, clip = small_swin(), torch.randn(1, 3, 8, 24, 24)
    stock = stock_swin(ours)
    index = "layers.1.blocks.0.attn.relative_position_index"
    assert torch.equal(ours.state_dict()[index], stock.state_dict()[index])
    with torch.no_grad():
        before = ours(clip)
        ours.state_dict()[index].zero_()
        assert torch.equal(ours(clip), before)


def test_is_built_from_the_registry():
    built = MODELS.build({"type": "VideoSwin", "arch": SMALL, "window_size": (4, 3, 3)})
    assert isinstance(built, VideoSwin)
    with pytest.raises(TypeError):
        MODELS.build({"type": "VideoSwin", "arch": SMALL, "pretrained": None})


def test_init_weights_draws_linear_layers_and_bias_tables_from_a_truncated_normal():
    model = small_swin()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "relative_position_bias_table" not in name:
                parameter.fill_(7.0)
    model.init_weights()
    block = model.layers[1].blocks[0]
    for weight in (
        block.attn.qkv.weight,
        block.mlp.fc1.weight,
        model.layers[0].downsample.reduction.weight,
    ):
        assert 0.017 < weight.std() < 0.021 and abs(weight.mean()) < 0.003
    table = VideoSwin(SMALL).layers[1].blocks[0].attn.relative_position_bias_table
    assert 0.017 < table.std() < 0.021
    assert (block.attn.qkv.bias == 0).all() and (block.norm1.weight == 1).all()
    assert (model.norm1.bias == 0).all()


def test_trains_after_an_evaluation_in_inference_mode():
    """Windows are kept by geometry: those made in inference mode must not break training."""
    model = VideoSwin(SMALL, window_size=(4, 3, 3))
    clip = torch.randn(1, 3, 18, 36, 36)
    with torch.inference_mode():
        model.eval()(clip)
    model.train()(clip).square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("mode", ["training", "inference"])
def test_sixteen_bit_types_come_close_to_float32(precision, mode):
    bits = {"bfloat16": 8, "float16": 11}[precision]
    exact, model = small_swin(), small_swin(precision=precision).train(mode == "training")
    clip = torch.randn(2, 3, 11, 45, 50)
    with torch.set_grad_enabled(mode == "training"):
        expected, got = exact(clip), model(clip)
    assert got.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in model.parameters())
    difference = (got - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert 0 < difference < 8 * 2.0**-bits
    if mode == "training":
        weight = torch.randn_like(expected)
        for output in (exact(clip), got):
            (output * weight).sum().backward()
        theirs = dict(exact.named_parameters())
        for name, parameter in model.named_parameters():
            assert parameter.grad.dtype == torch.float32
            off = (parameter.grad - theirs[name].grad).norm() / theirs[name].grad.norm()
            assert off < 32 * 2.0**-bits, name


def test_products_are_in_the_type_asked_for():
    model, seen = small_swin(precision="bfloat16"), set()
    for name, module in model.named_modules():
        if name.endswith(("qkv", "fc1", "fc2", "reduction")):
            module.register_forward_hook(lambda *args: seen.add(args[-1].dtype))
    with torch.autocast("cpu", torch.float16):  # of others around it: without effect
        model(torch.randn(1, 3, 8, 24, 24))
    assert seen == {torch.bfloat16}


def drop_path_model(rate):
    """One block whose attention adds 1 to everything and whose MLP adds nothing."""
    arch = {"embed_dims": 12, "depths": [2], "num_heads": [2]}
    model = VideoSwin(arch, window_size=(4, 3, 3), drop_path_rate=rate)
    for parameter in model.layers.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.ones_(model.layers[0].blocks[1].attn.proj.bias)
    return model


def test_a_dropped_clip_is_not_computed():
    model, seen = drop_path_model(0.5).train(), []
    model.layers[0].blocks[1].mlp.register_forward_hook(lambda _, x, y: seen.append(len(y)))
    torch.manual_seed(0)
    for _ in range(50):
        model(torch.randn(8, 3, 2, 8, 8))
    assert 3 < np.mean(seen) < 5


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="there is no C compiler, which torch.compile needs")
def test_compiled_blocks_give_the_same():
    arch = {"embed_dims": 12, "depths": (2,), "num_heads": (2,)}  # both kinds of blocks
    plain, compiled = small_swin(arch), small_swin(arch, compile=True)
    assert list(plain.state_dict()) == list(compiled.state_dict())
    clip = torch.randn(2, 3, 8, 36, 36)
    outputs = [model.train()(clip) for model in (plain, compiled)]
    assert error(outputs[1], outputs[0]) < 1e-5
    for output in outputs:
        output.square().sum().backward()
    theirs = dict(plain.named_parameters())
    for name, parameter in compiled.named_parameters():
        assert error(parameter.grad, theirs[name].grad) < 1e-4, name


def test_upstream_still_gets_clipped_windows_wrong():
    """Fails when mmaction2 indexes by offset: our outputs are then the same at all sizes."""
    stock = WindowAttention3D(8, (2, 3, 3), 2)
    index, clipped = stock.relative_position_index, [0, 1, 3, 4]
    assert not torch.equal(index[:4, :4], index[clipped][:, clipped])
