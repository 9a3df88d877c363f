"""What models compute on a GPU is what they compute on a CPU, and what plain products give."""

import math

import pytest
import torch

from autox_video.backbones.video_conv.model import VideoConv
from autox_video.backbones.video_swin.attention import attend
from autox_video.backbones.video_swin.model import VideoSwin


@pytest.mark.parametrize("shape", [(8, 224, 224), (32, 112, 112), (8, 96, 160)])
def test_swin_gives_on_the_gpu_what_it_gives_on_the_cpu(device, shape):
    torch.manual_seed(0)
    model = VideoSwin("tiny").eval()
    clip = torch.randn(1, 3, *shape)
    with torch.no_grad():
        on_cpu = model(clip)
        on_gpu = model.to(device)(clip.to(device)).cpu()
    assert (on_gpu - on_cpu).abs().max() <= 1e-3 * on_cpu.abs().max()


def test_convolutions_give_on_the_gpu_what_they_give_on_the_cpu(device, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)
    model = VideoConv((16, 32, 64), (1, 2)).eval()
    clip = torch.randn(2, 3, 8, 112, 112)
    with torch.no_grad():
        on_cpu = model(clip)
        on_gpu = model.to(device)(clip.to(device)).cpu()
    assert (on_gpu - on_cpu).abs().max() <= 1e-3 * on_cpu.abs().max()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("tokens", [98, 196, 392])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attention_with_a_bias_that_learns_is_the_plain_product(device, dtype, tokens, masked):
    torch.manual_seed(0)
    windows, heads, channels = 8, 4, 32
    qkv = torch.randn(windows, tokens, 3, heads, channels, device=device)
    bias = torch.randn(heads, tokens, tokens, device=device)
    mask = None
    if masked:
        mask = -100.0 * (torch.rand(4, 1, tokens, tokens, device=device) < 0.3)
        mask.diagonal(dim1=-2, dim2=-1).zero_()
    grad = torch.randn(windows, tokens, heads, channels, device=device)
    leaves = [each.to(dtype).requires_grad_() for each in (qkv, bias)]
    exact = [each.detach().double().requires_grad_() for each in leaves]
    ours = attend(*leaves, None if mask is None else mask.to(dtype))
    ours.backward(grad.to(dtype))
    theirs = plain_attention(*exact, mask)
    theirs.backward(grad.double())
    allowed = 1e-4 if dtype == torch.float32 else 2e-2
    for one, other in (
        (ours, theirs),
        *((a.grad, b.grad) for a, b in zip(leaves, exact, strict=True)),
    ):
        assert (one.double() - other).norm() <= allowed * other.norm()


def plain_attention(qkv, bias, mask):
    """softmax(query keyᵀ / √D + bias + mask) value, as it is written."""
    query, key, value = (part.transpose(1, 2) for part in qkv.unbind(2))
    logits = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]) + bias
    if mask is not None:
        logits = (logits.unflatten(0, (-1, len(mask))) + mask.to(logits)).flatten(0, 1)
    return (logits.softmax(-1) @ value).transpose(1, 2)
