"""The network of separated 3D convolutions."""

import autox_video.mm_compat  # noqa: F401

import pytest
import torch
import torch.nn.functional as F

from autox_video.models.conv3d import VideoConv

SMALL = {"widths": (16, 16, 24, 32), "depths": (1, 2, 1)}


def model(seed=0, **options):
    torch.manual_seed(seed)
    made = VideoConv(**{**SMALL, **options})
    made.init_weights()
    for parameter in made.parameters():  # biases and norms start where they would prove nothing
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    return made


def plain(net, x):
    """The network by its definition, in float64."""
    weights = {name: p.detach().double() for name, p in net.named_parameters()}

    def conv(name, x, stride=(1, 1, 1)):
        weight = weights[f"{name}.weight"]
        padding = [size // 2 for size in weight.shape[2:]]
        return F.conv3d(x, weight, weights[f"{name}.bias"], stride, padding)

    def norm(name, x):
        grouped = x.reshape(len(x), 8, -1)
        mean, var = grouped.mean(2, keepdim=True), grouped.var(2, keepdim=True, unbiased=False)
        scaled = ((grouped - mean) / (var + 1e-5).sqrt()).reshape(x.shape)
        shape = (1, -1, 1, 1, 1)
        return scaled * weights[f"{name}.weight"].view(shape) + weights[f"{name}.bias"].view(shape)

    x = conv("stem", x.double(), (1, 2, 2))
    x[:, 8:] -= x[:, 8:].mean(2, keepdim=True)
    x = x.relu()
    for i, depth in enumerate(SMALL["depths"]):
        x = conv(f"layers.{i}.downsample", x, (2, 2, 2) if i == 1 else (1, 2, 2))
        for j in range(depth):
            block = f"layers.{i}.blocks.{j}"
            y = conv(f"{block}.space", norm(f"{block}.norm", x).relu())
            x = x + conv(f"{block}.time", y.relu())
    x = norm("norm", x).relu()
    return torch.cat([x, x.amax((2, 3, 4), keepdim=True).expand_as(x)], 1)


@pytest.mark.parametrize(("frames", "side"), [(4, 32), (7, 36)])
def test_it_computes_what_it_says(frames, side):
    net, x = model(), torch.randn(2, 3, frames, side, side + 4)
    out = net(x)
    assert out.dtype == torch.float32
    assert out.shape == (2, 64, -(-frames // 2), -(-side // 16), -(-(side + 4) // 16))
    assert torch.allclose(out.double(), plain(net, x), atol=2e-5)


def test_bfloat16_is_close():
    x = torch.randn(2, 3, 4, 32, 32)
    exact, rough = model()(x), model(precision="bfloat16")(x)
    assert rough.dtype == torch.float32
    assert (rough - exact).norm() < 0.03 * exact.norm()


def test_what_stands_still_reaches_a_few_channels_only():
    net, x = model(), torch.randn(1, 3, 6, 32, 32)
    seen = []
    net.layers[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    net(x)
    net(x + torch.randn(1, 3, 1, 32, 32))
    inner = slice(1, -1)  # the frames whose neighbours are there
    before, after = (x[:, :, inner] for x in seen)
    moved = (before - after).abs().amax((0, 2, 3, 4))
    assert (moved[:8] > 0.1).all()
    # At both ends of time the background counts less: a little of that is in the mean.
    assert moved[8:].max() < moved[:8].min()


def test_a_clip_is_computed_alone():
    net, x = model(), torch.randn(3, 3, 4, 32, 32)
    assert torch.allclose(net(x)[1:2], net(x[1:2]), atol=1e-5)


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_computing_again_gives_the_same_gradients(drop_path):
    x, found = torch.randn(2, 3, 4, 32, 32), []
    for with_cp in (False, True):
        net = model(with_cp=with_cp, drop_path_rate=drop_path)
        torch.manual_seed(1)
        net(x).square().mean().backward()
        found.append([p.grad for p in net.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_dropped_paths_leave_out_blocks_and_keep_the_mean():
    block = model(drop_path_rate=0.4).layers[2].blocks[0]
    x = torch.randn(1, 32, 2, 4, 4).expand(4000, -1, -1, -1, -1)
    block.eval()
    whole = block(x[:1]) - x[:1]
    block.train()
    with torch.no_grad():
        parts = block(x) - x
    assert torch.allclose(parts.mean(0), whole[0], atol=0.1 * float(whole.abs().max()))
    left_out = (parts.abs().amax((1, 2, 3, 4)) == 0).float().mean()
    assert left_out == pytest.approx(0.4, abs=0.04)
