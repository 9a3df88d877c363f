"""The convolution network against a plain one, written out in torch's own functions."""

import pytest
import torch
import torch.nn.functional as F
from mmaction.registry import MODELS

from autox_video.backbones.video_conv.model import VideoConv
from autox_video.backbones.video_conv.structure_tensor import structure_tensor
from autox_video.machine.hardware import has_compiler

CHANNELS, DEPTHS = (6, 8, 16, 24), (1, 2, 1)


def small(**options) -> VideoConv:
    """A small model in which every parameter matters."""
    torch.manual_seed(0)
    model = VideoConv(CHANNELS, DEPTHS, **options)
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def clips(count=2, *, frames=5, rows=36, columns=44):
    return torch.randn(count, 3, frames, rows, columns, generator=torch.Generator().manual_seed(1))


def plain(model: VideoConv, x: torch.Tensor) -> torch.Tensor:
    """The same by the names of the state dict alone."""
    state = dict(model.named_parameters())

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        padding = [n // 2 for n in weight.shape[2:]]
        return F.conv3d(x, weight, state.get(f"{name}.bias"), stride, padding)

    def norm(x, name):
        grouped = x.unflatten(1, (8, -1)).flatten(2)
        centred = grouped - grouped.mean(2, keepdim=True)
        scaled = centred / (grouped.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
        shape = (-1, 1, 1, 1)
        return scaled.view_as(x) * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(
            shape
        )

    pixels = x
    colours = conv(x, "stem.conv", (1, 2, 2))[:, : CHANNELS[0] // 3]
    moving = conv(x - x.mean(2, keepdim=True), "stem.conv", (1, 2, 2))[:, CHANNELS[0] // 3 :]
    x = F.relu(torch.cat([colours, moving], 1))
    for stage, depth in enumerate(DEPTHS):
        pixels = F.avg_pool3d(pixels, (1, 2, 2), ceil_mode=True, count_include_pad=False)
        x = torch.cat([x, 5 * structure_tensor(pixels)], 1)
        x = conv(x, f"stages.{stage}.0", (2 if stage == 2 else 1, 2, 2))
        for block in range(1, depth + 1):
            name = f"stages.{stage}.{block}"
            inner = F.relu(conv(F.relu(norm(x, f"{name}.norm")), f"{name}.space"))
            x = x + conv(inner, f"{name}.time")
    x = F.relu(norm(x, "norm"))
    return torch.cat([x, x.amax((2, 3, 4), keepdim=True) + 0 * x], 1)


def error(got, expected) -> float:
    return ((got - expected).abs().max() / expected.abs().max()).item()


def gradients(model, x, compute=None):
    """Gradients of a sum in which each output counts otherwise."""
    model.zero_grad()
    out = (compute or model)(x)
    out = out * torch.linspace(-1, 1, out.numel()).view_as(out)
    out.sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize(("frames", "rows"), [(5, 36), (2, 32), (1, 33)])
def test_outputs_are_those_of_the_plain_network(frames, rows):
    model, x = small(), clips(frames=frames, rows=rows)
    got = model(x)
    assert got.shape == (2, 48, (frames + 1) // 2, -(-rows // 16), 3)
    assert got.is_contiguous() and got.dtype == torch.float32
    assert error(got, plain(model, x)) < 1e-5


def test_gradients_are_those_of_the_plain_network():
    model, x = small(), clips()
    ours, expected = gradients(model, x), gradients(model, x, lambda x: plain(model, x))
    assert all(error(ours[name], expected[name]) < 1e-3 for name in expected)


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_other_number_types(precision, tolerance):
    model, x = small(precision=precision), clips()
    got = model(x)
    assert got.dtype == torch.float32
    assert 0 < error(got, plain(model, x)) < tolerance


def test_checkpointing_changes_no_gradient():
    kept, again = small(drop_path_rate=0.5).train(), small(drop_path_rate=0.5, with_cp=True).train()
    x = clips()
    torch.manual_seed(3)
    expected = gradients(kept, x)
    torch.manual_seed(3)
    got = gradients(again, x)
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_a_clip_does_not_depend_on_its_batch():
    model, x = small(), clips(3)
    alone = torch.cat([model(clip[None]) for clip in x])
    assert error(model(x), alone) < 1e-5


def test_what_stands_still_is_seen_by_the_colours_alone():
    model = small()
    still = clips(frames=1).expand(-1, -1, 4, -1, -1)
    colours, moving = model.stem(still).split([CHANNELS[0] // 3, 2 * CHANNELS[0] // 3], 1)
    bias = F.relu(model.stem.conv.bias[CHANNELS[0] // 3 :]).view(-1, 1, 1, 1)
    assert torch.allclose(moving, bias.expand_as(moving), atol=1e-5)
    assert colours.std() > 0.1


def test_drop_path_leaves_branches_out_in_training_only():
    model, x = small(drop_path_rate=0.9), clips(8)
    torch.manual_seed(0)
    assert error(model.train()(x), model.eval()(x)) > 0.01
    assert torch.equal(model(x), small()(x))


def test_training_begins_with_activations_of_ordinary_size():
    torch.manual_seed(0)
    model = VideoConv((24, 32, 64, 128, 256), (1, 1, 2, 1))
    model.init_weights()
    stages = []
    for stage in model.stages:
        stage[-1].register_forward_hook(lambda _m, _i, out: stages.append(out.std().item()))
    model(torch.randn(2, 3, 4, 56, 56))
    assert all(0.2 < std < 20 for std in stages)


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="there is no C compiler")
def test_compiled_blocks_compute_the_same():
    model, x = small(compile=True), clips()
    assert error(model(x), plain(model, x)) < 1e-4


def test_is_built_from_a_config():
    config = {"type": "VideoConv", "channels": CHANNELS, "depths": DEPTHS, "with_cp": True}
    assert isinstance(MODELS.build(config), VideoConv)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 8])
def test_gradients_in_bfloat16_are_those_of_float32_for_any_number_of_frames(frames):
    x = torch.randn(2, 3, frames, 32, 32)
    found = []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        net = VideoConv([24, 32, 64, 128, 256], [1, 1, 2, 1], precision=precision)
        net.init_weights()
        net(x).mean((2, 3, 4)).square().sum().backward()
        found.append([p.grad for p in net.parameters()])
    for exact, rough in zip(*found, strict=True):
        assert (rough - exact).norm() < 0.3 * exact.norm() + 1e-3
