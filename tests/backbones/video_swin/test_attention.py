import math

import pytest
import torch

from autox_video.backbones.video_swin import attention
from autox_video.backbones.video_swin.attention import attend

SHAPES = [(6, 5, 2, 4), (8, 12, 3, 16), (4, 1, 1, 8), (1, 7, 2, 4)]
"""Windows, tokens, heads, channels of a head."""


def inputs(shape, *, windows_per_clip, dtype=torch.float32):
    windows, tokens, heads, channels = shape
    torch.manual_seed(0)
    qkv = torch.randn(windows, tokens, 3, heads, channels).to(dtype).requires_grad_()
    bias = torch.randn(heads, tokens, tokens).to(dtype).requires_grad_()
    mask = None
    if windows_per_clip and windows % windows_per_clip == 0:
        apart = torch.rand(windows_per_clip, 1, tokens, tokens) < 0.3
        mask = (-100.0 * (apart & ~torch.eye(tokens, dtype=torch.bool))).to(dtype)
    return qkv, bias, mask


def written_out(qkv, bias, mask):
    """The definition, in float64."""
    query, key, value = (part.transpose(1, 2).double() for part in qkv.unbind(2))
    logits = query @ key.transpose(-1, -2) / qkv.shape[-1] ** 0.5 + bias.double()
    if mask is not None:
        logits = logits + mask.double().repeat(len(qkv) // len(mask), 1, 1, 1)
    return (logits.softmax(-1) @ value).transpose(1, 2)


KERNELS = {
    "chunked": lambda qkv, bias, mask: attention._Chunked.apply(qkv, bias, mask),
    "fused": lambda qkv, bias, mask: attention._fused(qkv, bias, mask),
}


@pytest.mark.parametrize("chunk_bytes", [1, 600, 2**21])
@pytest.mark.parametrize("windows_per_clip", [None, 2, 4])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_computes_the_definition(
    kernel, shape, windows_per_clip, chunk_bytes, monkeypatch
):
    monkeypatch.setattr(attention, "CHUNK_BYTES", chunk_bytes)
    qkv, bias, mask = inputs(shape, windows_per_clip=windows_per_clip)
    given = qkv.detach().clone()
    output, expected = KERNELS[kernel](qkv, bias, mask), written_out(qkv, bias, mask)
    assert torch.allclose(output.double(), expected, atol=1e-5)
    weight = torch.randn_like(output)
    wanted = torch.autograd.grad((expected * weight).sum(), (qkv, bias))
    got = torch.autograd.grad((output * weight).sum(), (qkv, bias))
    for one, other in zip(got, wanted, strict=True):
        assert torch.allclose(one, other, atol=2e-5)
    assert torch.equal(qkv, given)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("windows_per_clip", [None, 4])
def test_in_bfloat16_the_error_is_that_of_rounded_logits(kernel, windows_per_clip):
    qkv, bias, mask = inputs(
        (8, 196, 3, 16), windows_per_clip=windows_per_clip, dtype=torch.bfloat16
    )
    expected = written_out(qkv, bias, mask)
    error = KERNELS[kernel](qkv, bias, mask).double() - expected
    assert error.square().mean() < 0.02**2 * expected.square().mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("level", [-3000.0, -120.0, 0.0, 120.0, 3000.0])
def test_logits_of_any_level_give_the_weights_of_their_differences(level, dtype):
    """A constant on all logits changes nothing, not even where their exponentials overflow."""
    qkv, bias, _ = inputs((4, 6, 2, 4), windows_per_clip=None, dtype=dtype)
    bias = torch.round(bias.detach())
    wanted = written_out(qkv, bias, None)
    got = attention._Chunked.apply(qkv, bias + level, None)
    # Rounded with the logits: eps is that of a number of their size.
    allowed = 1e-4 + 8 * torch.finfo(dtype).eps * max(1.0, abs(level))
    if allowed < 0.5:
        assert torch.allclose(got.double(), wanted, atol=allowed)
    assert got.isfinite().all()


def test_a_row_far_below_the_others_keeps_its_weights():
    """Its exponentials underflow, theirs do not."""
    qkv, bias, _ = inputs((2, 4, 1, 8), windows_per_clip=None)
    bias = bias.detach()
    low = bias.clone()
    low[:, 1] -= 200.0
    wanted = attention._Chunked.apply(qkv, bias, None)
    assert torch.allclose(attention._Chunked.apply(qkv, low, None), wanted, atol=1e-3)


def test_what_is_no_number_stays_none():
    qkv, bias, _ = inputs((2, 4, 1, 8), windows_per_clip=None)
    with torch.no_grad():
        qkv[0, 0, 0] = math.nan
    assert attention._Chunked.apply(qkv, bias, None)[0, 0].isnan().all()


def test_the_gradient_of_the_bias_is_summed_in_float32(monkeypatch):
    """Many windows with the same small gradient: summed in bfloat16 it would stop growing."""
    monkeypatch.setattr(attention, "CHUNK_BYTES", 1)
    qkv, bias, _ = inputs((1, 4, 1, 8), windows_per_clip=None, dtype=torch.bfloat16)
    many = qkv.detach().repeat(2000, 1, 1, 1, 1)
    one = torch.autograd.grad(attend(qkv, bias, None).sum(), bias)[0].float()
    all_of_them = torch.autograd.grad(attend(many, bias, None).sum(), bias)[0].float()
    assert torch.allclose(all_of_them, 2000 * one, rtol=0.02, atol=0.02 * 2000 * one.abs().max())


def test_the_kernel_follows_device_type_and_purpose():
    qkv, *_ = inputs((1, 4, 1, 8), windows_per_clip=None)
    assert attention.in_chunks(qkv, training=True)
    assert not attention.in_chunks(qkv, training=False)
    assert attention.in_chunks(qkv.bfloat16(), training=False)
    assert not attention.in_chunks(qkv.to("meta"), training=True)


def test_both_paths_of_one_model_agree():
    qkv, bias, mask = inputs((8, 12, 3, 16), windows_per_clip=4)
    with torch.no_grad():
        fused = attend(qkv, bias, mask)
    assert torch.allclose(attend(qkv, bias, mask), fused, atol=1e-5)
