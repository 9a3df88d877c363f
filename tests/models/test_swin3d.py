import copy
import itertools
import zlib
from pathlib import Path

import autox_video.mm_compat  # noqa: F401

import numpy as np
import pytest
import torch
from mmaction.models.backbones.swin import SwinTransformer3D, WindowAttention3D
from mmaction.registry import MODELS

from autox_video.models.swin3d import OffsetWindowAttention, VideoSwin

FACTS = Path(__file__).parents[3] / "shared" / "facts"
SMALL = {"embed_dims": 12, "depths": [2, 2], "num_heads": [2, 4]}


def small_swin(**options) -> VideoSwin:
    torch.manual_seed(0)
    return VideoSwin(SMALL, window_size=(4, 3, 3), drop_path_rate=0.0, **options).eval()


def official_weight(name: str, shape: torch.Size) -> torch.Tensor:
    """The weight that the golden file was made with, by the official name of its entry."""
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    weight = 0.05 * noise.astype(np.float32)
    if name.endswith(("norm.weight", "norm1.weight", "norm2.weight")):
        weight = 1 + weight
    return torch.from_numpy(weight)


@pytest.fixture(scope="module")
def golden():
    path = FACTS / "video_swin_tiny_golden.npz"
    if not path.exists():
        pytest.skip(f"The golden outputs of the official code are not there: {path}.")
    return np.load(path)


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


@pytest.mark.parametrize(("number", "size"), [(0, (8, 224, 224)), (1, (4, 224, 288))])
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


@pytest.mark.parametrize("window", [(4, 3, 3), (2, 3, 3), (4, 2, 3), (4, 3, 2), (1, 2, 1)])
def test_bias_depends_only_on_the_offset_between_two_tokens(window):
    attention = OffsetWindowAttention(8, (4, 3, 3), 2)
    attention.clipped_window = window
    bias = attention.position_bias().detach()
    table = attention.relative_position_bias_table.detach().view(7, 5, 5, 2)
    tokens = list(itertools.product(*map(range, window)))
    for (i, first), (j, second) in itertools.product(enumerate(tokens), repeat=2):
        offset = [a - b + full - 1 for a, b, full in zip(first, second, (4, 3, 3), strict=True)]
        assert torch.equal(bias[:, i, j], table[tuple(offset)])


def test_full_windows_give_the_same_as_mmaction2():
    ours = small_swin()
    stock = SwinTransformer3D(
        SMALL, pretrained2d=False, window_size=(4, 3, 3), out_indices=(1,), drop_path_rate=0.0
    )
    stock.load_state_dict(ours.state_dict(), strict=True)
    stock.eval()
    clip = torch.randn(2, 3, 11, 45, 50)
    with torch.no_grad():
        assert torch.allclose(ours(clip), stock(clip), atol=1e-5)


def reference_attention(attention, tokens, window):
    """Attention of a window written out token by token: (N, C) → (N, C)."""
    num_heads, full = attention.num_heads, attention.window_size
    table = attention.relative_position_bias_table
    places = list(itertools.product(*map(range, window)))
    query, key, value = (tokens @ attention.qkv.weight.T + attention.qkv.bias).chunk(3, dim=-1)
    rows = []
    for i, here in enumerate(places):
        heads = []
        for h, (q, k, v) in enumerate(
            zip(*(part.chunk(num_heads, -1) for part in (query, key, value)), strict=True)
        ):
            logits = []
            for j, there in enumerate(places):
                row = 0
                for a, b, size in zip(here, there, full, strict=True):
                    row = row * (2 * size - 1) + a - b + size - 1
                logits.append(q[i] @ k[j] / len(q[i]) ** 0.5 + table[row, h])
            heads.append(torch.stack(logits).softmax(0) @ v)
        rows.append(torch.cat(heads))
    return torch.stack(rows) @ attention.proj.weight.T + attention.proj.bias


@pytest.mark.parametrize("size", [(4, 8, 8), (8, 8, 12), (2, 12, 4)])
def test_clipped_windows_equal_attention_written_out(size):
    """One block without shift on a map smaller than the window in some dimensions."""
    model = small_swin()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
        stage, block = model.layers[0], model.layers[0].blocks[0]
        seen = []
        block.attn.register_forward_hook(lambda _, inputs, output: seen.append((inputs, output)))
        model(torch.randn(2, 3, *size))
        window = tuple(
            min(a, b)
            for a, b in zip(
                (size[0] // 2, size[1] // 4, size[2] // 4), stage.window_size, strict=True
            )
        )
        (tokens, *_), output = seen[0]
        for given, got in zip(tokens, output, strict=True):
            assert torch.allclose(reference_attention(block.attn, given, window), got, atol=1e-4)


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
def test_state_dict_has_the_names_and_shapes_of_mmaction2(arch):
    ours, stock = VideoSwin(arch), SwinTransformer3D(arch, pretrained2d=False)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (ours, stock)]
    assert shapes[0] == shapes[1]


def test_is_built_from_the_registry():
    built = MODELS.build({"type": "VideoSwin", "arch": SMALL, "window_size": (4, 3, 3)})
    assert isinstance(built, VideoSwin)
    with pytest.raises(TypeError):
        MODELS.build({"type": "VideoSwin", "arch": SMALL, "pretrained": None})


def test_train_and_eval_give_the_module():
    model = small_swin()
    assert model.train() is model and model.training
    assert model.eval() is model and not model.training


def test_frozen_stages_stay_frozen():
    model = small_swin(frozen_stages=1).train()
    assert not any(p.requires_grad for p in model.layers[0].parameters())
    assert not any(p.requires_grad for p in model.patch_embed.parameters())
    assert all(p.requires_grad for p in model.layers[1].parameters())
    assert not model.layers[0].blocks[0].attn.training


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
    assert 0.015 < block.attn.relative_position_bias_table.std() < 0.023
    assert (block.attn.qkv.bias == 0).all() and (block.norm1.weight == 1).all()
    assert (model.norm1.bias == 0).all()


def test_trains_after_an_evaluation_in_inference_mode():
    """The attention mask is cached by size: one made in inference mode must not break training."""
    model = VideoSwin(SMALL, window_size=(4, 3, 3))
    clip = torch.randn(1, 3, 18, 36, 36)
    with torch.inference_mode():
        model.eval()(clip)
    model.train()(clip).square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_attention_stays_in_bfloat16_under_autocast():
    attention, tokens = OffsetWindowAttention(8, (2, 3, 3), 2), torch.randn(4, 18, 8)
    with torch.autocast("cpu", torch.bfloat16):
        output = attention(tokens, torch.zeros(2, 18, 18))
    assert output.dtype == torch.bfloat16
    assert torch.allclose(output.float(), attention(tokens, torch.zeros(2, 18, 18)), atol=2e-2)


def test_upstream_still_gets_clipped_windows_wrong():
    """Fails when mmaction2 indexes by offset: our attention can go then."""
    stock = WindowAttention3D(8, (2, 3, 3), 2)
    index, clipped = stock.relative_position_index, [0, 1, 3, 4]
    assert not torch.equal(index[:4, :4], index[clipped][:, clipped])


def test_upstream_train_still_returns_nothing():
    """Fails when mmaction2's `train` gives the module: ours can go then."""
    assert SwinTransformer3D(SMALL, pretrained2d=False, out_indices=(1,)).train() is None
