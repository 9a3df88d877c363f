"""Checks that every backbone from another library must pass, on a built network."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from autox_video.backbones.libraries.library_backbone import LibraryBackbone
from autox_video.backbones.lora import is_adapter, merged, published_name, reset_adapters
from autox_video.training.optimizer import blocks_above

Build = Callable[..., LibraryBackbone]
"""Builds a backbone with random weights from the options of LibraryBackbone."""


def random_weights(module: nn.Module, *, seed: int = 0) -> None:
    """Set all weights, biases and statistics to values other than 0 and 1, so that each matters."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            drawn = (
                torch.randn(tensor.shape, generator=generator) / max(1, tensor[0].numel()) ** 0.5
            )
            if tensor.dim() < 2:
                drawn = 1 + 0.2 * drawn if name.endswith(("weight", "var")) else 0.1 * drawn
            tensor.copy_(drawn)


def gradients(backbone: LibraryBackbone, clips: Tensor, *, seed: int = 0) -> dict[str, Tensor]:
    """Return the gradient of each parameter that a weighted sum of the features depends on."""
    torch.manual_seed(seed)
    backbone.zero_grad()
    features = backbone(clips)
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    return {n: p.grad.clone() for n, p in backbone.named_parameters() if p.grad is not None}


def check_gradients(backbone: LibraryBackbone, clips: Tensor, *, unused: tuple[str, ...] = ()):
    """Check that every parameter, except those named as unused, gets a nonzero gradient."""
    backbone.train()
    found = gradients(backbone, clips)
    none = [n for n, _ in backbone.named_parameters() if n not in found or not found[n].any()]
    assert none == [n for n in none if any(part in n for part in unused)]


def check_freezing(build: Build, clips: Tensor) -> None:
    """Check that frozen stages stay in evaluation mode without gradients; later stages learn."""
    stages = len(build().stage_modules())
    assert stages > 1
    for count in (1, stages - 1):
        backbone = build(frozen_stages=count).train()
        found = gradients(backbone, clips)
        held = [m for stage in backbone.stage_modules()[:count] for m in stage]
        frozen = {p for module in held for p in module.parameters()}
        assert not any(module.training for part in held for module in part.modules())
        assert not any(p.requires_grad for p in frozen)
        free = {n for n, p in backbone.named_parameters() if p.requires_grad}
        assert found.keys() <= free and found
    inside = {p for s in backbone.stage_modules() for m in s for p in m.parameters()}
    outside = set(backbone.parameters()) - inside
    assert not any(p.requires_grad for p in outside)
    everything = build(frozen_stages=stages)
    assert not any(p.requires_grad for p in everything.parameters())


def check_layer_decay(backbone: LibraryBackbone) -> None:
    """Check that block numbers fall to 0 in forward order, and each parameter has a block."""
    above = blocks_above(backbone)
    blocks = list(backbone.blocks())
    assert set(above) == set(backbone.parameters())
    counts = [{above[p] for p in block.parameters()} for block in blocks]
    assert counts == [{len(blocks) - 1 - number} for number in range(len(blocks))]


def check_checkpointing(build: Build, clips: Tensor) -> None:
    """Check that recomputing activations does not change features, gradients or statistics."""
    plain, recomputing = build().train(), build(with_cp=True).train()
    recomputing.load_state_dict(plain.state_dict())
    first, second = gradients(plain, clips), gradients(recomputing, clips)
    assert first.keys() == second.keys()
    for name, gradient in first.items():
        torch.testing.assert_close(second[name], gradient, rtol=1e-4, atol=1e-5, msg=name)
    other = recomputing.state_dict()
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(other[name], tensor, msg=name)


def check_file(backbone: LibraryBackbone, published: Mapping[str, Tensor]) -> None:
    """Check that a file in the library's format has all of the network's tensors and shapes."""
    own = backbone.own_names(published)
    shapes = {name: tensor.shape for name, tensor in backbone.net.state_dict().items()}
    assert {name: own[name].shape for name in shapes} == shapes
    backbone.net.load_state_dict({name: own[name] for name in shapes}, strict=True)


def check_adapters(build: Build, linears: Mapping[str, int], clips: Tensor) -> None:
    """LoRA adapters begin without effect, are all that learns, and can be merged."""
    pytest.importorskip("peft")
    lora, plain = {"rank": 2, "layers": [*linears]}, build().eval()
    adapted, recomputing = build(lora=lora).eval(), build(lora=lora, with_cp=True).eval()
    reset_adapters(adapted.net)  # `build` may draw all weights
    ours, theirs = adapted.state_dict(), plain.state_dict()
    assert len(list(adapted.blocks())) == len(list(plain.blocks()))
    assert {published_name(n) for n in ours if not is_adapter(n)} == theirs.keys()
    of_net = {n: theirs[published_name(n)] for n in ours if not is_adapter(n)}
    adapted.load_state_dict({**ours, **of_net})
    with torch.no_grad():
        before = plain(clips)
        torch.testing.assert_close(adapted(clips), before, rtol=1e-5, atol=1e-5)
    trained = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    assert trained.keys() == {n for n in ours if is_adapter(n)}
    assert sum(p.numel() for p in trained.values()) == 2 * sum(linears.values())
    for parameter in trained.values():
        nn.init.normal_(parameter, std=0.1)
    check_layer_decay(adapted)
    first = gradients(adapted, clips)
    assert first.keys() == trained.keys()
    assert [name for name, gradient in first.items() if not gradient.any()] == []
    recomputing.load_state_dict(adapted.state_dict())
    for name, gradient in gradients(recomputing, clips).items():
        torch.testing.assert_close(first[name], gradient, rtol=1e-4, atol=1e-5, msg=name)
    plain.load_state_dict(merged(adapted.state_dict()))
    with torch.no_grad():
        after = plain(clips)
        torch.testing.assert_close(after, adapted(clips), rtol=1e-3, atol=1e-4)
    assert not torch.equal(after, before)
